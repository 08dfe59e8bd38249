//! Wiring of controllers and workers: what a controller takes in, and what a worker tells.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::catalog::Snapshot;
use crate::cluster::hold::{Holds, Means};
use crate::cluster::rest::{Machine, Rest};
use crate::cluster::{Access, Announcer, Controller, Door, Registry, Watchman, Worker};
use crate::config::{Config, NodeConfig};
use crate::exporter::Exporter;
use crate::fleet::{self, Fleet};
use crate::schedule::Scheduler;
use crate::values::boxed;

/// The workers that are known from before, where workers may register.
pub(super) fn registry(config: &Config, addresses: &[SocketAddr], snapshot: &Snapshot) -> Option<Registry> {
    let rules = config.registration.as_ref()?;
    let registry = Registry::new(rules.timeout, addresses.to_vec(), &snapshot.workers).showing(rules.key.clone());
    registry.settle(&config.nodes);
    Some(registry)
}

/// The nodes of the settings, and those that workers are.
pub(super) fn with_workers(settled: &[NodeConfig], workers: Option<&Registry>) -> Vec<NodeConfig> {
    let registered = workers.map(Registry::nodes).unwrap_or_default();
    let free = |node: &NodeConfig| settled.iter().all(|known| known.name != node.name);
    settled.iter().cloned().chain(registered.into_iter().filter(free)).collect()
}

/// What is worth keeping over a restart.
pub(super) fn snapshot(fleet: &Fleet, workers: Option<&Registry>) -> Snapshot {
    Snapshot { workers: workers.map(Registry::kept).unwrap_or_default(), ..fleet.snapshot() }
}

/// Takes workers in and watches over them, where they may register.
pub(super) fn controller(
    config: &Config,
    workers: Option<&Registry>,
    fleet: &Fleet,
    scheduler: &Scheduler,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> Option<Controller> {
    let (rules, registry) = config.registration.as_ref().zip(workers)?;
    let access = Access::new(rules.key.clone());
    if access.has_key() {
        tracing::info!("workers may register with the key");
    } else {
        tracing::warn!("no INTERNAL_API_KEY is set: only workers on this machine may register");
    }
    tasks.spawn(boxed(Watchman { registry: registry.clone(), fleet: fleet.clone(), every: rules.check_interval }.run()));
    Some(Controller::new(registry.clone(), access, fleet.clone(), scheduler.clone()))
}

/// Tells controllers of this worker, if it is one. Returns the end that all else goes by, and what a worker
/// answers itself: it says farewell first, so
/// that nobody sends it anything when it stops listening.
pub(super) fn worker(
    config: &Config,
    addresses: &[SocketAddr],
    fleet: &Fleet,
    end: watch::Receiver<bool>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> (watch::Receiver<bool>, Option<Door>) {
    let (Some(worker), Some(port)) = (&config.worker, addresses.first().map(SocketAddr::port)) else { return (end, None) };
    let Some(node) = fleet.nodes().first().cloned() else { return (end, None) };
    let (left, has_left) = watch::channel(false);
    let (announcer, holds) = (Announcer::default(), Holds::default());
    let exporter = local_port(node.config()).map(|port| Exporter::start(worker.node_name.clone(), port));
    let (exported, quiet_after) = (exporter.clone(), config.timeouts.quiet_after);
    let machine = Machine { holds: holds.clone(), node, exporter, announcer: announcer.clone(), quiet_after };
    let (rest, wishes) = Rest::new(worker.rest.clone(), machine);
    tasks.spawn(boxed(holds.clone().keep(Means::here())));
    tasks.spawn(boxed(rest.run()));
    let door = Door::new(Access::new(worker.key.clone()), holds.clone(), wishes.clone(), exported);
    let health_interval = config.health_interval;
    let worker = Worker { config: worker.clone(), port, fleet: fleet.clone(), health_interval, announcer, holds, wishes };
    tasks.spawn(boxed(worker.run(end, left)));
    (has_left, Some(door))
}

/// The port of an Ollama on this machine: only its connections can be seen.
fn local_port(node: &NodeConfig) -> Option<u16> {
    let here = |host: &str| host == "localhost" || host.parse().is_ok_and(fleet::is_own_address);
    node.hosts.first().filter(|host| here(&host.host)).map(|host| host.port)
}
