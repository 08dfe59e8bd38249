//! The only wiring: from settings to listeners, keepers, proxy, front and back to an orderly end.

mod certificates;
mod cluster;
mod descriptors;
mod discovery;
mod file_watch;
mod greeting;
mod keys;
mod listening;
mod records;
mod reload;
mod state;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::catalog::Snapshot;
use crate::cluster::Registry;
use crate::config::{Config, NodeConfig};
use crate::dashboard::Dashboard;
use crate::fleet::{self, FirstModel, Fleet, Rules};
use crate::front::{self, Front, Origins, Troubles};
use crate::http::outward;
use crate::notify::{Notifier, Targets};
use crate::provider::Providers;
use crate::proxy::{self, Proxy};
use crate::schedule::{self, Scheduler};
use crate::server::{self, Bounds, Cores, Door};
use crate::telemetry::journal::Journal;
use crate::telemetry::metrics;
use crate::values::boxed;
use discovery::Discovery;
pub use listening::bind;
use reload::{Counts, Hangups, Reloader};

/// What running answers get after the end was asked for; the container's grace must be longer.
const GRACE: Duration = Duration::from_secs(30);

/// Several changes in a row are one write.
const SETTLE: Duration = Duration::from_secs(1);

/// An SD card is not written more often than this.
const BETWEEN_WRITES: Duration = Duration::from_secs(10);

/// A worker looks at its Ollama with its heartbeats: a second clock would wake its processor for nothing.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

const NO_NODE: &str = "no Ollama node is set: start the proxy with OLLAMA_URL=http://<address of the GPU PC>:11434";
const NO_WORKER: &str = "no worker has registered yet: start `ollama-proxy worker` beside an Ollama with CONTROLLER_URL=http://<address of this machine>:8000";

/// Why the program cannot go on; each has its exit code.
#[derive(Debug)]
pub enum Failure {
    /// The settings are wrong: 2.
    Settings(String),
    /// Anything else: 1.
    Other(anyhow::Error),
}

impl Failure {
    /// 1 or 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) => 2,
            Self::Other(_) => 1,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Settings(text) => f.write_str(text),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// Serves until `end` turns true or a long-lived task fails.
///
/// # Errors
/// Settings that point at ourselves, and the first failure of a keeper.
pub async fn serve(config: Config, doors: Vec<Door>, end: watch::Receiver<bool>, cores: Cores) -> Result<(), Failure> {
    let addresses: Vec<SocketAddr> = doors.iter().filter_map(|door| door.local_addr().ok()).collect();
    outward::also_trust(&config.roots.0);
    refuse_ourselves(&config, &addresses)?;
    let (hangups, of_keys) = (Hangups::heard()?, Hangups::heard()?);
    let snapshot = state::load(config.data_dir.as_deref()).await;
    let workers = cluster::registry(&config, &addresses, &snapshot);
    let journal = records::load(config.data_dir.as_deref()).await;
    let (mut tasks, mut keepers) = (JoinSet::new(), JoinSet::new());
    let rules = keeper_rules(&config, journal.clone());
    let registry = metrics::Registry::default();
    let discovery = Discovery::start(&config.nodes, &mut tasks).await;
    let nodes = cluster::with_workers(&discovery.nodes(&config.nodes), workers.as_ref());
    let fleet = Fleet::start(&nodes, &rules, &snapshot, &fleet::Metrics::register(&registry), &mut keepers)?;
    greeting::say(&config, &fleet, &doors);
    wish(&config, &fleet);
    let scheduler = Scheduler::new(&fleet, schedule_rules(&config));
    let requests = proxy::Metrics::register(&registry);
    let (price, price_now) = watch::channel(config.price_per_kwh);
    let (mut end, door) = cluster::worker(&config, &addresses, &fleet, end, &mut tasks);
    let dashboard = Dashboard::new(fleet.clone(), scheduler.clone(), price_now, end.clone());
    let controller = cluster::controller(&config, workers.as_ref(), &fleet, &scheduler, &mut tasks);
    let ((error, node_file), (key_error, key_file)) = (watch::channel(None), watch::channel(None));
    let reloader = Reloader {
        source: config.source.clone(),
        addresses,
        fleet: fleet.clone(),
        scheduler: scheduler.clone(),
        requests: requests.clone(),
        registry: registry.clone(),
        counts: Counts::register(&registry),
        price,
        error,
        notes: config.notes.clone(),
        settled: config.nodes.clone(),
        discovery,
        worker_changes: workers.as_ref().map(Registry::changes),
        workers: workers.clone(),
    };
    tasks.spawn(boxed(reloader.run(keepers, hangups)));
    let providers = cloud(&config, &mut tasks)?;
    let proxy = Proxy::new(fleet.clone(), scheduler, proxy_settings(&config, providers), requests, end.clone());
    notifications(&config, &fleet, &mut tasks);
    let (open, bounds) = (server::Open::default(), bounds(&config));
    let rules = front_rules(&config, &open, &bounds);
    let troubles = Troubles { node_file, key_file, certificate: certificates::start(&config, &doors, &registry, &mut tasks)? };
    let front = Front::new(proxy, dashboard, registry.clone(), rules, troubles, controller, door);
    keys::start(&config, &front, &registry, key_error, of_keys, &mut tasks);
    keep_data(&config, &fleet, workers.as_ref(), snapshot, &journal, &mut tasks);
    let cut = tokio::select! {
        cut = server::serve_counted(doors, bounds, front, end.clone(), open, &cores) => cut,
        () = cores.clone().lost() => return Err(anyhow::anyhow!("a thread that serves connections has ended").into()),
        failed = first_failure(&mut tasks) => return Err(failed.into()),
    };
    let _ = end.wait_for(|asked| *asked).await;
    tracing::info!(cut, "ended");
    save_data(config.data_dir.as_deref(), &fleet, workers, &journal).await;
    Ok(())
}

/// What was learnt since the last write, at the end.
async fn save_data(dir: Option<&Path>, fleet: &Fleet, workers: Option<Registry>, journal: &Journal) {
    if let Some(dir) = dir {
        state::save(dir, fleet, workers).await;
        records::save(dir, journal).await;
    }
}

fn bounds(config: &Config) -> Bounds {
    let connections = descriptors::clients(config.limits.connections);
    Bounds { connections, head: Duration::from_secs(120), grace: GRACE }
}

/// Writes down what is learnt and what happens, if there is a place for it.
fn keep_data(
    config: &Config,
    fleet: &Fleet,
    workers: Option<&Registry>,
    snapshot: Snapshot,
    journal: &Journal,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    if let Some(dir) = config.data_dir.clone() {
        tasks.spawn(boxed(state::keep(fleet.clone(), workers.cloned(), dir.clone(), snapshot)));
        tasks.spawn(boxed(records::keep(journal.clone(), dir)));
    }
}

/// The providers, and who keeps their lists.
fn cloud(config: &Config, tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<Providers> {
    let providers = Providers::new(&config.providers)?;
    if !providers.all().is_empty() {
        tasks.spawn(boxed(providers.clone().keep_lists(config.cache_ttl)));
    }
    Ok(providers)
}

/// Follows the journal for what the owner should be told, if he wants to be told.
fn notifications(config: &Config, fleet: &Fleet, tasks: &mut JoinSet<anyhow::Result<()>>) {
    let targets = Targets::new(&config.notify);
    if !targets.is_empty() {
        tasks.spawn(boxed(Notifier::new(fleet.clone(), targets).run()));
    }
}

/// The bound that is shown is the one that holds: the system may allow fewer connections than were asked for.
fn front_rules<'a>(config: &'a Config, open: &server::Open, bounds: &Bounds) -> front::Rules<'a> {
    let (open, most_connections) = (open.clone(), bounds.connections);
    front::Rules { origins: Origins::new(&config.cors_origins), access: &config.access, open, most_connections }
}

fn keeper_rules(config: &Config, journal: Journal) -> Rules {
    Rules {
        timeouts: config.timeouts.clone(),
        wake: config.wake.clone(),
        health_interval: config.health_interval.map(|interval| if config.worker.is_some() { NEVER } else { interval }),
        cache_ttl: config.cache_ttl,
        journal,
    }
}

/// The model that is to be there from the first day, on a node that is meant for its size.
fn wish(config: &Config, fleet: &Fleet) {
    let Some(name) = config.first_model.clone() else { return };
    let size = schedule::size::Asked::of(&name, &config.sizes).size(None);
    let fits = Box::new(move |node: &NodeConfig| schedule::size::fit(size, &node.model_ranges).is_some());
    fleet.wish_for(FirstModel { name, fits });
}

fn schedule_rules(config: &Config) -> schedule::Rules {
    let (sizes, stand_ins) = (config.sizes.clone(), config.stand_ins.clone());
    schedule::Rules { strategy: config.strategy, fallback: config.fallback, sizes, stand_ins }
}

fn proxy_settings(config: &Config, providers: Providers) -> proxy::Settings {
    use std::hash::{BuildHasher, RandomState};
    let instance = format!("ollama-proxy-{:016x}", RandomState::new().hash_one(SystemTime::now()));
    proxy::Settings {
        timeouts: config.timeouts.clone(),
        limits: config.limits.clone(),
        wake: config.wake.clone(),
        wakes_per_hour: config.access.wakes_per_hour,
        cache_ttl: config.cache_ttl,
        no_own_calls: config.health_interval.is_none(),
        providers,
        list_cloud_models: config.list_cloud_models,
        nobody: if config.registration.is_some() { NO_WORKER } else { NO_NODE },
        repair_v1: config.repair_v1,
        fallback_wait: config.fallback_wait,
        instance,
    }
}

/// A long-lived task that ends takes the process with it: a proxy without its keeper would answer wrongly for ever.
async fn first_failure(tasks: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Error {
    match tasks.join_next().await {
        None => std::future::pending().await,
        Some(Ok(Ok(()))) => anyhow::anyhow!("a long-lived task ended by itself"),
        Some(Ok(Err(error))) => error,
        Some(Err(ended)) => anyhow::anyhow!("a long-lived task panicked: {ended}"),
    }
}

fn refuse_ourselves(config: &Config, listeners: &[SocketAddr]) -> Result<(), Failure> {
    let faults = ourselves(&config.nodes, listeners);
    if faults.is_empty() { Ok(()) } else { Err(Failure::Settings(faults.join("\n"))) }
}

/// An upstream at one of our own listeners would answer itself until the end of days: a fault each.
fn ourselves(nodes: &[NodeConfig], listeners: &[SocketAddr]) -> Vec<String> {
    let ours = |host: &str, port: u16| {
        let address: Option<IpAddr> = host.parse().ok().or((host == "localhost").then_some(Ipv4Addr::LOCALHOST.into()));
        listeners.iter().any(|own| own.port() == port) && address.is_some_and(fleet::is_own_address)
    };
    nodes
        .iter()
        .flat_map(|node| node.hosts.iter().map(move |host| (node, host)))
        .filter(|(_, host)| ours(&host.host, host.port))
        .map(|(node, host)| {
            format!(
                "{}: {host} is this proxy itself; set OLLAMA_URL to the GPU PC (inside a container localhost is the container)",
                node.name
            )
        })
        .collect()
}
