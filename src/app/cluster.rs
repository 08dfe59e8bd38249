//! Wiring of controllers and workers: what a controller takes in, and what a worker tells.

use std::net::SocketAddr;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::catalog::Snapshot;
use crate::cluster::{Access, Announcer, Controller, Registry, Watchman, Worker};
use crate::config::{Config, NodeConfig};
use crate::fleet::Fleet;
use crate::schedule::Scheduler;

/// The workers that are known from before, where workers may register.
pub(super) fn registry(config: &Config, addresses: &[SocketAddr], snapshot: &Snapshot) -> Option<Registry> {
    let rules = config.registration.as_ref()?;
    let registry = Registry::new(rules.timeout, addresses.to_vec(), &snapshot.workers);
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
    tasks.spawn(Watchman { registry: registry.clone(), fleet: fleet.clone(), every: rules.check_interval }.run());
    Some(Controller::new(registry.clone(), access, fleet.clone(), scheduler.clone()))
}

/// Tells controllers of this worker, if it is one. Returns the end that the rest goes by: a worker says farewell first, so
/// that nobody sends it anything when it stops listening.
pub(super) fn worker(
    config: &Config,
    addresses: &[SocketAddr],
    fleet: &Fleet,
    end: watch::Receiver<bool>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> watch::Receiver<bool> {
    let (Some(worker), Some(port)) = (&config.worker, addresses.first().map(SocketAddr::port)) else { return end };
    let (left, has_left) = watch::channel(false);
    let worker = Worker { config: worker.clone(), port, fleet: fleet.clone(), announcer: Announcer::default() };
    tasks.spawn(worker.run(end, left));
    has_left
}
