//! Evaluates models with HumanEval's problems, through the proxy: who writes programs that pass their tests, and how fast?
//!
//! ```text
//! cargo run --release --example humaneval -- --problems HumanEval.jsonl.gz --model llama3.2:3b --model qwen3:8b --execute
//! ```
//!
//! The problems are not here: take `HumanEval.jsonl.gz` from its authors. All samples of one model are asked one after the other,
//! so that no model is loaded twice. Each result is written at once; the same command goes on after a break. Programs of models run
//! only with `--execute`, on Linux, without network and within limits (see `sandbox.rs`).

mod ask;
mod problem;
mod progress;
mod records;
mod sandbox;
mod score;
mod summary;

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use ask::Interview;
use problem::Problem;
use progress::Progress;
use records::{Key, Record, Results};
use sandbox::{Limits, Sandbox};

/// So many failures one after the other end the run: the proxy or the model is not there.
const FAILURES: u32 = 5;

/// Evaluates models with HumanEval's problems, through the proxy.
#[derive(Parser)]
struct Arguments {
    /// The proxy; else GATEWAY, else http://localhost:11434
    #[arg(long, env = "OLLAMA_BASE_URL", default_value_t = gateway())]
    base_url: String,
    /// A model to evaluate; repeat it, or separate by commas
    #[arg(long = "model", env = "OLLAMA_MODEL", value_delimiter = ',', required = true)]
    models: Vec<String>,
    /// HumanEval's problems: .jsonl or .jsonl.gz
    #[arg(long, default_value = "data/HumanEval.jsonl.gz")]
    problems: PathBuf,
    /// One line per sample; what it holds already is not asked again
    #[arg(long, default_value = "data/results.jsonl")]
    out: PathBuf,
    /// Only the first so many problems
    #[arg(long)]
    limit: Option<usize>,
    /// Samples per problem
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    num_samples: u32,
    /// The k of pass@k; those above the number of samples are left out
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    k: Vec<u32>,
    /// 0 gives one answer however often it is asked: set 0.8 or so for several samples
    #[arg(long, env = "OLLAMA_TEMPERATURE", default_value_t = 0.0)]
    temperature: f64,
    #[arg(long, env = "OLLAMA_TOP_P", default_value_t = 1.0)]
    top_p: f64,
    /// The seed of the first sample; the next ones count up
    #[arg(long, env = "OLLAMA_SEED")]
    seed: Option<u64>,
    /// The most tokens of an answer
    #[arg(long, env = "OLLAMA_NUM_PREDICT")]
    num_predict: Option<u32>,
    /// The longest wait for one answer, a wake and the load of the model included
    #[arg(long, env = "OLLAMA_TIMEOUT", default_value = "10m", value_parser = seconds_or_text)]
    timeout: Duration,
    /// Run the programs with their tests
    #[arg(long)]
    execute: bool,
    /// Run them without walls when there are none: they may then do whatever you may
    #[arg(long, requires = "execute")]
    without_isolation: bool,
    /// The longest run of one program
    #[arg(long, default_value = "8s", value_parser = seconds_or_text)]
    execution_limit: Duration,
    /// The most memory of one program, in MiB
    #[arg(long, default_value_t = 512)]
    memory_limit: u64,
    /// The Python that runs them
    #[arg(long, default_value_t = python())]
    python: String,
}

fn gateway() -> String {
    std::env::var("GATEWAY").unwrap_or_else(|_| "http://localhost:11434".to_owned())
}

/// The system's own, which `nobody` may run too.
fn python() -> String {
    let usual = "/usr/bin/python3";
    if std::path::Path::new(usual).exists() { usual } else { "python3" }.to_owned()
}

/// `120` is seconds, as it was for the runner before this one.
fn seconds_or_text(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|fault| fault.to_string());
    }
    humantime::parse_duration(text).map_err(|fault| fault.to_string())
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(evaluate(&arguments))
}

async fn evaluate(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let problems = problem::read(&arguments.problems, arguments.limit)?;
    let mut models = arguments.models.clone();
    let mut seen = HashSet::new();
    models.retain(|model| seen.insert(model.clone()));
    let work = order(&models, &problems, arguments.num_samples);
    let mut results = Results::open(&arguments.out)?;
    ask_all(arguments, &work, &mut results).await?;
    let keys: Vec<Key> = work.into_iter().map(|(key, _)| key).collect();
    let records = results.tidy(&keys)?;
    let summary = summary::of(&models, &records, keys.len(), &arguments.k);
    records::replace(&arguments.out.with_extension("summary.json"), &format!("{summary:#}\n"))?;
    print!("{}", summary::text(&summary));
    if records.len() == keys.len() && records.iter().all(|record| record.code.is_some()) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not every sample was answered; the same command asks for the rest");
    Ok(ExitCode::FAILURE)
}

/// Asks for what is not there, and runs what has not run.
async fn ask_all(arguments: &Arguments, work: &[(Key, &Problem)], results: &mut Results) -> anyhow::Result<()> {
    let sandbox = arguments.execute.then(|| arguments.sandbox()).transpose()?;
    let interview = arguments.interview();
    let mut progress = Progress::new(work.len());
    let mut failures = 0;
    for (key, problem) in work {
        let held = results.get(key).filter(|record| record.code.is_some()).cloned();
        let to_run = sandbox.as_ref().filter(|_| held.as_ref().is_none_or(|record| record.ok.is_none()));
        if held.is_some() && to_run.is_none() {
            progress.skip();
            continue;
        }
        let mut record = match held {
            Some(record) => record,
            None => interview.ask(&key.0, problem, key.2).await,
        };
        if let (Some(sandbox), Some(code)) = (to_run, record.code.clone()) {
            judge(sandbox, problem, &code, &mut record)?;
        }
        failures = if record.code.is_none() { failures + 1 } else { 0 };
        progress.step(&format!("{} {}: {}", key.0, key.1, summary::word(&record)));
        results.put(record)?;
        if failures == FAILURES {
            break;
        }
    }
    Ok(())
}

/// Model by model: with one sample of each in turn, a machine with room for one model would load at every step.
fn order<'a>(models: &'a [String], problems: &'a [Problem], samples: u32) -> Vec<(Key, &'a Problem)> {
    let of_model = |model: &'a String| {
        problems
            .iter()
            .flat_map(move |problem| (0..samples).map(move |sample| ((model.clone(), problem.task_id.clone(), sample), problem)))
    };
    models.iter().flat_map(of_model).collect()
}

fn judge(sandbox: &Sandbox, problem: &Problem, code: &str, record: &mut Record) -> anyhow::Result<()> {
    let verdict = sandbox.run(|proof| problem.program(code, proof))?;
    record.ok = Some(verdict.passed);
    record.exec_time_s = Some(ask::seconds(verdict.took));
    (record.stdout, record.stderr, record.error) = (verdict.stdout, verdict.stderr, verdict.error);
    Ok(())
}

impl Arguments {
    fn sandbox(&self) -> anyhow::Result<Sandbox> {
        let limits = Limits { time: self.execution_limit, memory: self.memory_limit << 20 };
        if self.without_isolation { Sandbox::open(&self.python, limits) } else { Sandbox::isolated(&self.python, limits) }
    }

    fn interview(&self) -> Interview {
        Interview {
            timeout: self.timeout,
            base_url: self.base_url.trim_end_matches('/').to_owned(),
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            num_predict: self.num_predict,
        }
    }
}
