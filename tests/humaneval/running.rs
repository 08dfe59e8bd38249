//! One run of the example against a simulated model behind the real proxy.

use std::process::{Command, Output};

use ollama_proxy::simulator::{Settings, SimulatedModel};
use serde_json::Value;

use crate::built::example;
use crate::rig::{Node, Proxy, Scratch, bare};

pub const PROBLEMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/humaneval/problems.jsonl");

pub const RIGHT: &str = "def running_total(numbers):\n    sums = []\n    for number in numbers:\n        sums.append(number + (sums[-1] if sums \
                         else 0))\n    return sums\n\ndef vowels(text):\n    return len([letter for letter in text if is_vowel(letter)])\n\n\
                         def boxes(things, size):\n    return math.ceil(things / size)\n";

/// A model behind the proxy that always writes the same, and a folder for results.
pub struct House {
    pub node: Node,
    proxy: Proxy,
    pub scratch: Scratch,
}

impl House {
    pub fn of(code: &str) -> Self {
        Self::of_models(code, &["llama3.2:3b"])
    }

    /// Room for one loaded model.
    pub fn of_models(code: &str, models: &[&str]) -> Self {
        let models: Vec<_> = models.iter().map(|name| SimulatedModel::chat(name, "3B", 2_000_000_000)).collect();
        let word = format!("Here it is.\n```python\n{code}```\n");
        let scratch = Scratch::new();
        let node = Node::with(Settings { models, word, tokens: 1, max_loaded: 1, ..Settings::default() });
        let proxy = Proxy::before(&node, &scratch, &[]);
        proxy.until("/api/tags", "digest");
        Self { node, proxy, scratch }
    }

    /// The example with its usual arguments and these.
    pub fn run(&self, more: &[&str]) -> Ran {
        self.run_on(PROBLEMS, more)
    }

    pub fn run_on(&self, problems: &str, more: &[&str]) -> Ran {
        let url = format!("http://{}", self.proxy.address);
        let out = self.out();
        let mut command = Command::new(example("humaneval", &["--example", "humaneval"]));
        bare(&mut command, &self.scratch);
        command.args(["--base-url", &url, "--problems", problems, "--out", &out]).args(more);
        // A busy machine takes its time to start a Python.
        if more.contains(&"--execute") && !more.contains(&"--execution-limit") {
            command.args(["--execution-limit", "60"]);
        }
        if !more.contains(&"--model") {
            command.args(["--model", "llama3.2:3b"]);
        }
        Ran(command.output().unwrap())
    }

    pub fn out(&self) -> String {
        self.scratch.join("results.jsonl")
    }

    pub fn results(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What the summary says of the first model.
    pub fn summary(&self) -> Value {
        let text = std::fs::read_to_string(self.scratch.join("results.summary.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["models"][0].take()
    }

    pub fn asked(&self) -> u64 {
        self.node.counters().requests("POST /api/generate")
    }
}

/// How a run ended.
pub struct Ran(Output);

impl Ran {
    #[track_caller]
    pub fn well(self) -> Self {
        assert!(self.0.status.success(), "{}", self.said());
        self
    }

    #[track_caller]
    pub fn badly(self) -> Self {
        assert_eq!(self.0.status.code(), Some(1), "{}", self.said());
        self
    }

    pub fn said(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.0.stderr), String::from_utf8_lossy(&self.0.stdout))
    }
}
