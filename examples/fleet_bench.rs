//! What choosing a node costs, by the size of the fleet: p50 and p99 of one choice, CPU and memory of the process.
//!
//! ```text
//! cargo run --release --example fleet_bench              # 1, 10, 100 and 1,000 nodes of 1,000 models each
//! cargo run --release --example fleet_bench -- 100       # only these
//! ```
//!
//! Nothing is simulated but the networks: real settings, a real snapshot, real keepers, and what a request does between its
//! classification and its connection: name the need, gather the candidates, choose, take the place. Nodes count as awake
//! and nobody asks them anything. Each size runs in a process of its own and prints three rows: each model on at most four
//! nodes; the same without the catalog's index, by a look at every node; one model on every node. The cost follows the
//! candidates, not the fleet.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ollama_proxy::catalog::{Kept, NodeSnapshot, RawJson, Snapshot};
use ollama_proxy::classify;
use ollama_proxy::config::{self, Config, Env, ServeArgs};
use ollama_proxy::fleet::power::Power;
use ollama_proxy::fleet::{self, Fleet};
use ollama_proxy::schedule::choose::{Choice, Order, Terms, Tried};
use ollama_proxy::schedule::{self, Lease, Need, Scheduler};
use ollama_proxy::telemetry::metrics::Registry;
use ollama_proxy::values::Strategy;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Sizes that are measured when none is named.
const FLEETS: [usize; 4] = [1, 10, 100, 1000];

/// Models on each node.
const MODELS: usize = 1000;

/// Nodes that hold the same model.
const COPIES: usize = 4;

/// The one model that every node holds.
const EVERYWHERE: &str = "everywhere:8b";

const CHOICES: u32 = 100_000;

/// Choices by a look at all nodes: so slow a thing needs no more.
const SURVEYS: u32 = 5_000;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    if let Some(flag) = args.next().filter(|flag| flag == "--one") {
        let nodes = args.next().with_context(|| format!("{flag} takes a number of nodes"))?.parse()?;
        return tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(nodes));
    }
    let named: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    println!("{CHOICES} choices each ({SURVEYS} by survey), {MODELS} models per node\n");
    println!("nodes  model on  look       candidates   p50 µs   p99 µs   max µs   CPU µs/choice   RSS MiB");
    for nodes in if named.is_empty() { FLEETS.to_vec() } else { named } {
        let status = Command::new(std::env::current_exe()?).args(["--one", &nodes.to_string()]).status()?;
        anyhow::ensure!(status.success(), "measuring {nodes} nodes failed");
    }
    Ok(())
}

async fn measure(nodes: usize) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("ollama-proxy-fleet-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let settings = settings(nodes, &dir);
    std::fs::remove_dir_all(&dir)?;
    let settings = settings?;
    let mut keepers = JoinSet::new();
    let fleet = fleet(&settings, &mut keepers)?;
    all_awake(&fleet).await?;
    let (strategy, fallback) = (settings.strategy, settings.fallback);
    let rules = schedule::Rules { strategy, fallback, sizes: settings.sizes.clone(), ..schedule::Rules::default() };
    let scheduler = Scheduler::new(&fleet, rules);
    let models = (nodes * MODELS).div_ceil(COPIES.min(nodes));
    let few: Vec<String> = (0..models).map(model_name).collect();
    let mut bench = Bench { fleet, scheduler, quiet_after: settings.timeouts.quiet_after, leases: VecDeque::new(), nodes };
    bench.row(Look::Shortlist, "≤ 4", &few)?;
    bench.row(Look::Survey, "≤ 4", &few)?;
    bench.row(Look::Shortlist, "all", &[EVERYWHERE.to_owned()])
}

/// The settings of so many nodes, through the same door as everybody's. The addresses are those set aside for benchmarks.
fn settings(nodes: usize, dir: &Path) -> anyhow::Result<Config> {
    let entry = |at: usize| {
        format!(
            r#"{{"name":"{}","hosts":["198.18.{}.{}"],"always_on":true,"capacity":1000}}"#,
            node_name(at),
            at / 250,
            at % 250 + 1
        )
    };
    let entries: Vec<String> = (0..nodes).map(entry).collect();
    std::fs::write(dir.join("node_config.json"), format!(r#"{{"nodes":[{}]}}"#, entries.join(",\n")))?;
    let values = [("PORT", "0"), ("HEALTH_INTERVAL", "0"), ("DATA_DIR", dir.to_str().unwrap_or_default())];
    let env: Env = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(config::load(&ServeArgs::default(), &env, dir)?)
}

fn fleet(settings: &Config, keepers: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<Fleet> {
    let rules = fleet::Rules {
        timeouts: settings.timeouts.clone(),
        wake: settings.wake.clone(),
        health_interval: settings.health_interval,
        cache_ttl: settings.cache_ttl,
        journal: ollama_proxy::telemetry::journal::Journal::default(),
    };
    let nodes = settings.nodes.len();
    let known: anyhow::Result<BTreeMap<String, NodeSnapshot>> = (0..nodes)
        .map(|at| Ok((node_name(at), NodeSnapshot { tags: Some(list(at, nodes)?), ..NodeSnapshot::default() })))
        .collect();
    let snapshot = Snapshot { nodes: known?, ..Snapshot::default() };
    Fleet::start(&settings.nodes, &rules, &snapshot, &fleet::Metrics::register(&Registry::default()), keepers)
}

/// What the node holds: each model lies on nodes that are spread over the fleet.
fn list(node: usize, nodes: usize) -> anyhow::Result<Kept> {
    let (copies, stride) = (COPIES.min(nodes), (nodes / COPIES).max(1));
    let models = (nodes * MODELS).div_ceil(copies);
    let copy = |copy: usize| ((node + nodes - copy * stride % nodes) % nodes..models).step_by(nodes);
    let mut entries: Vec<String> = (0..copies).flat_map(copy).map(|model| entry(&model_name(model), model)).collect();
    entries.push(entry(EVERYWHERE, models));
    let body = RawJson::new(format!(r#"{{"models":[{}]}}"#, entries.join(",")).as_bytes()).context("a list is JSON")?;
    Ok(Kept { read_unix: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(), body })
}

/// An entry as long as Ollama's own.
fn entry(name: &str, number: usize) -> String {
    format!(
        r#"{{"name":"{name}","model":"{name}","modified_at":"2026-11-20T16:21:06.382557779+01:00","size":4920753328,"digest":"{number:064x}","details":{{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B","quantization_level":"Q4_K_M"}}}}"#
    )
}

fn node_name(at: usize) -> String {
    format!("node{}", at + 1)
}

fn model_name(number: usize) -> String {
    format!("family{}-model:{}b-v{number}", number % 97, number % 120 + 1)
}

async fn all_awake(fleet: &Fleet) -> anyhow::Result<()> {
    for node in fleet.nodes().iter() {
        node.answered(IpAddr::V4(Ipv4Addr::LOCALHOST));
        node.watch().wait_for(|view| view.power == Power::Awake).await.context("a keeper has ended")?;
    }
    Ok(())
}

/// How the candidates are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// As every request does it.
    Shortlist,
    /// As explanations do it: every node.
    Survey,
}

struct Bench {
    fleet: Fleet,
    scheduler: Scheduler,
    quiet_after: Duration,
    /// Requests under way; the oldest ends when the next begins.
    leases: VecDeque<Lease>,
    nodes: usize,
}

impl Bench {
    fn row(&mut self, look: Look, held_by: &str, models: &[String]) -> anyhow::Result<()> {
        let mut next = numbers();
        let mut candidates = 0;
        let mut times = Vec::new();
        let (before, began) = (cpu_seconds(), Instant::now());
        let choices = if look == Look::Survey { SURVEYS } else { CHOICES };
        for _ in 0..choices {
            let model = &models[next(models.len())];
            let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"x"}}]}}"#);
            let ask = classify::classify(&hyper::Method::POST, "/api/chat", &hyper::HeaderMap::new(), &body.into());
            let start = Instant::now();
            let (lease, seen) = self.choose(look, model, ask.preload.as_ref())?;
            times.push(start.elapsed());
            candidates += seen;
            self.leases.push_back(lease);
            let surplus = self.leases.len().saturating_sub(2 * self.nodes);
            self.leases.drain(..surplus).for_each(|mut ended| ended.served());
        }
        let cpu = cpu_seconds().zip(before).map(|(after, before)| after - before);
        let cpu = cpu.map_or("-".to_owned(), |seconds| format!("{:.2}", seconds * 1e6 / f64::from(choices)));
        self.leases.clear();
        times.sort_unstable();
        let at = |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)].as_secs_f64() * 1e6;
        let (mean, rss) = (candidates / times.len(), resident_mib().map_or("-".to_owned(), |mib| mib.to_string()));
        println!(
            "{:5}  {held_by:<8}  {:<9}  {mean:10}  {:7.2}  {:7.2}  {:7.0}  {cpu:>14}  {rss:>8}",
            self.nodes,
            format!("{look:?}").to_lowercase(),
            at(500),
            at(990),
            at(1000)
        );
        anyhow::ensure!(began.elapsed() < Duration::from_secs(600), "that took too long");
        Ok(())
    }

    /// What a request does from its classification to its place on a node.
    fn choose(&self, look: Look, model: &str, preload: Option<&classify::Preload>) -> anyhow::Result<(Lease, usize)> {
        let need = Need::of_model(model, preload, true);
        let (fleet, quiet_after) = (&self.fleet, self.quiet_after);
        let candidates = match look {
            Look::Shortlist => self.scheduler.shortlist(fleet, &need, quiet_after, |_| Tried::Not),
            Look::Survey => self.scheduler.survey(fleet, &need, quiet_after, |_| Tried::Not),
        };
        let order = Order::By(Strategy::RoundRobin);
        let rules = self.scheduler.rules();
        let terms = Terms { fallback: rules.fallback, order, may_wake: true, waited: Duration::ZERO, ahead: 0 };
        let Choice::Serve { index, .. } = self.scheduler.choose(&candidates, &terms) else {
            anyhow::bail!("nobody serves {model}");
        };
        Ok((self.scheduler.claim(index, &need).context("the place was free")?, candidates.len()))
    }
}

/// A row of numbers that looks random and is the same each time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or_default()
    }
}

/// What all threads of this process have computed. `None`: this system does not tell.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/schedstat").ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}
