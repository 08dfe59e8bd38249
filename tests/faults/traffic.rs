//! The traffic programs as the test drives them, and what their judgements amount to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;

use crate::program::{Dialogue, example};

/// Every request must have ended by then: a wake, two more attempts and a slow stream.
pub const BOUND: Duration = Duration::from_secs(75);

/// What is zero, or nobody has taken anything of, when no request is under way.
pub const AT_REST: [&str; 4] = [
    "gateway_active_connections",
    "ollama_proxy_requests_waiting",
    "ollama_proxy_bound_used{bound=\"held\"}",
    "ollama_proxy_bound_used{bound=\"buffer_bytes\"}",
];

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// An answer that has to be looked at.
#[derive(Debug, Deserialize)]
pub struct Story {
    /// When its connection was made, if it was not made for it.
    #[serde(default)]
    since: Option<u64>,
    began: u64,
    ended: u64,
    verdict: String,
    what: String,
}

/// What came of many requests.
#[derive(Debug, Default, Deserialize)]
pub struct Tally {
    /// How many answers each verdict had, by route and status.
    pub counts: BTreeMap<String, u64>,
    /// Those that have to be looked at.
    pub stories: Vec<Story>,
    /// The longest request.
    pub longest_ms: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.stories.extend(other.stories);
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }

    /// How many had this verdict.
    pub fn of(&self, verdict: &str) -> u64 {
        self.counts.iter().filter(|(key, _)| key.split(' ').next() == Some(verdict)).map(|(_, count)| count).sum()
    }

    /// Breaches of what is promised. While the proxy itself was down (`pauses`) a connection may break or be refused, or
    /// be told so, and nothing else.
    pub fn breaches(&self, pauses: &[(u64, u64)]) -> Vec<String> {
        let excused = |story: &Story| {
            // That its connection is gone is said only once, and frames to the phone get lost.
            let unheard = story.verdict == "Late" && story.what.starts_with("phone ");
            let broken = unheard || matches!(story.verdict.as_str(), "Nothing" | "Cut");
            let told = story.what.contains("the proxy is shutting down");
            // That a kept connection is gone may be found out only now.
            let began = if story.verdict == "Nothing" { story.since.unwrap_or(story.began) } else { story.began };
            (broken || told) && pauses.iter().any(|(from, to)| began <= *to && story.ended >= *from)
        };
        let told = |story: &Story| {
            let Story { since, began, ended, verdict, what } = story;
            format!("{verdict} from {began} to {ended}, connected {since:?}: {what}")
        };
        self.stories.iter().filter(|story| !excused(story)).map(told).collect()
    }
}

/// Clients in one namespace.
pub struct Traffic {
    dialogue: Dialogue,
}

impl Traffic {
    /// Starts them, resting.
    pub fn start(namespace: &str, logs: &Path, name: &str, to: &str, clients: usize, seed: u64) -> Self {
        let program = example("lab_traffic").to_str().unwrap().to_owned();
        let numbers = [clients.to_string(), seed.to_string(), BOUND.as_secs().to_string()];
        let command: Vec<String> = [program, to.into(), name.into()].into_iter().chain(numbers).collect();
        Self { dialogue: Dialogue::start(namespace, logs, name, &command) }
    }

    /// Python's ollama, openai and anthropic likewise. `None`, loudly, where they have not been fetched.
    pub fn of_packages(namespace: &str, logs: &Path, to: &str, clients: usize, seed: u64) -> Option<Self> {
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("venv/bin/python3");
        if !python.exists() {
            let reason = "Python's ollama, openai and anthropic are not here (tests/all faults fetches them)";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            println!("SKIPPED: {reason}");
            return None;
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/packages.py").to_owned();
        let numbers = [clients.to_string(), seed.to_string(), BOUND.as_secs().to_string()];
        let command: Vec<String> =
            [python.display().to_string(), script, to.into(), "packages".into()].into_iter().chain(numbers).collect();
        Some(Self { dialogue: Dialogue::start(namespace, logs, "packages", &command) })
    }

    /// What they do from now on: `all`, `lookups` or `none`.
    pub fn mode(&self, mode: &str) {
        assert_eq!(self.dialogue.ask(mode), "ok");
    }

    /// How many requests are under way.
    pub fn busy(&self) -> usize {
        self.dialogue.ask("busy").parse().unwrap()
    }

    /// What came of their requests since the last time.
    pub fn tally(&self) -> Tally {
        serde_json::from_str(&self.dialogue.ask("tally")).unwrap()
    }

    /// A page of the proxy; status 0 when it does not answer.
    pub fn get(&self, path: &str) -> (u64, String) {
        let told: Value = serde_json::from_str(&self.dialogue.ask(&format!("GET {path}"))).unwrap();
        (told["status"].as_u64().unwrap(), told["body"].as_str().unwrap().to_owned())
    }
}
