//! Reading the node file again, on SIGHUP and when it has changed: the one place that changes the nodes of a running proxy.
//!
//! A file that cannot be used changes nothing and is told in the log, in `/metrics`, in `/nodes` and on the page.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::cluster::with_workers;
use super::discovery::Discovery;
use super::file_watch::{FileWatch, changed};
use super::ourselves;
use crate::cluster::{self, Registry};
use crate::config::{NodeConfig, NodeSettings, NodeSource};
use crate::fleet::{Changes, Fleet, Plan};
use crate::proxy;
use crate::schedule::{self, Scheduler};
use crate::telemetry::metrics::{self, Counter, Gauge};
use crate::values::NodeName;

/// Who reads the node file again, and who is told of it.
pub(super) struct Reloader {
    pub(super) source: NodeSource,
    /// Our own listeners, which no node may be.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) fleet: Fleet,
    pub(super) scheduler: Scheduler,
    pub(super) requests: proxy::Metrics,
    pub(super) registry: metrics::Registry,
    pub(super) counts: Counts,
    /// Of a kilowatt-hour.
    pub(super) price: watch::Sender<Option<f64>>,
    /// What is wrong with the file, for people.
    pub(super) error: watch::Sender<Option<String>>,
    /// Notes that were told already.
    pub(super) notes: Vec<String>,
    /// The nodes of the settings, as they were last read.
    pub(super) settled: Vec<NodeConfig>,
    /// The addresses of names among them.
    pub(super) discovery: Discovery,
    /// The nodes that workers are, where they may register.
    pub(super) workers: Option<Registry>,
    /// Tells when those are others.
    pub(super) worker_changes: Option<cluster::Changes>,
}

/// How the readings went.
pub(super) struct Counts {
    ok: Counter,
    failed: Counter,
    last: Gauge,
}

impl Counts {
    /// To be called once per registry.
    pub(super) fn register(registry: &metrics::Registry) -> Self {
        let help = "Times that the node file was read again while running";
        let reloads = registry.counters("ollama_proxy_config_reloads_total", help, ["result"]);
        let help = "Whether the node file could be used when it was last read (1), or what was read before it still holds (0)";
        let last = registry.gauges("ollama_proxy_config_last_reload_successful", help, []).with([]);
        last.set(1.0);
        Self { ok: reloads.with(["ok"]), failed: reloads.with(["failed"]), last }
    }
}

impl Reloader {
    /// Minds the keepers, and reloads when asked; ends only with the failure of a keeper.
    pub(super) async fn run(mut self, mut keepers: JoinSet<anyhow::Result<()>>, mut hangups: Hangups) -> anyhow::Result<()> {
        let mut watched = self.watched();
        loop {
            tokio::select! {
                number = registered(&mut self.worker_changes) => {
                    self.enlist("workers", &mut keepers);
                    self.workers.iter().for_each(|workers| workers.is_in_force(number));
                }
                () = self.discovery.changed() => self.enlist("a name has other addresses", &mut keepers),
                Some(ended) = keepers.join_next() => self.keeper_ended(ended)?,
                () = hangups.next() => self.reload(&mut keepers).await,
                () = changed(&mut watched) => {
                    if self.source.has_changed() {
                        self.reload(&mut keepers).await;
                    }
                }
            }
            if watched.is_none() {
                watched = self.watched();
            }
        }
    }

    fn watched(&self) -> Option<FileWatch> {
        let path = self.source.file()?;
        let watch = FileWatch::over(path.to_owned(), self.source.stamp());
        watch.map_err(|error| tracing::warn!(%error, "changes of the node file go unseen; SIGHUP reloads it")).ok()
    }

    /// A keeper whose node went ends in order; any other end is a failure of the whole.
    fn keeper_ended(&self, ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
        ended.context("a keeper panicked")??;
        self.forget_departed();
        Ok(())
    }

    /// Nothing runs any more on nodes that are not in the settings: what was counted of them goes, too.
    fn forget_departed(&self) {
        for node in self.fleet.departed() {
            self.registry.forget("node", node.as_str());
            self.requests.forget(&node);
        }
    }

    async fn reload(&mut self, keepers: &mut JoinSet<anyhow::Result<()>>) {
        match self.renew(keepers).await {
            Ok(changes) => {
                self.error.send_replace(None);
                self.counts.last.set(1.0);
                // Whoever sees it counted, or reads the line, sees all of it.
                self.counts.ok.one();
                let Changes { added, removed, changed } = &changes;
                let (added, removed, changed) = (listed(added), listed(removed), listed(changed));
                let found = if self.source.file().is_some() { "the node file was read again" } else { "there is no node file" };
                tracing::info!(added, removed, changed, "{found}");
            }
            Err(faults) => {
                self.error.send_replace(Some(faults.clone()));
                self.counts.last.set(0.0);
                self.counts.failed.one();
                tracing::warn!(faults, "the node file cannot be used; the nodes stay as they were");
            }
        }
    }

    /// # Errors
    /// All faults in one line; then nothing has changed.
    async fn renew(&mut self, keepers: &mut JoinSet<anyhow::Result<()>>) -> Result<Changes, String> {
        let mut source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || (source.read(), source)).await;
        let (read, source) = read.map_err(|ended| ended.to_string())?;
        self.source = source;
        let NodeSettings { nodes, sizes, fallback, stand_ins, price_per_kwh, notes } =
            read.map_err(|faults| faults.0.join("; "))?;
        let faults = ourselves(&nodes, &self.addresses);
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let plan = self
            .fleet
            .plan(&with_workers(&self.discovery.nodes(&nodes), self.workers.as_ref()))
            .map_err(|error| format!("{error:#}"))?;
        for note in notes.iter().filter(|note| !self.notes.contains(note)) {
            tracing::warn!("{note}");
        }
        self.notes = notes;
        if let Some(workers) = &self.workers {
            workers.settle(&nodes);
        }
        self.discovery.settle(&nodes);
        self.settled = nodes;
        self.price.send_replace(price_per_kwh);
        let strategy = self.scheduler.rules().strategy;
        Ok(self.adopt(plan, schedule::Rules { strategy, fallback, sizes, stand_ins }, keepers))
    }

    /// Workers, or machines behind a name, have come or gone, or are others than before.
    fn enlist(&self, what: &str, keepers: &mut JoinSet<anyhow::Result<()>>) {
        match self.fleet.plan(&with_workers(&self.discovery.nodes(&self.settled), self.workers.as_ref())) {
            Ok(plan) => {
                let Changes { added, removed, changed } = self.adopt(plan, (*self.scheduler.rules()).clone(), keepers);
                let (added, removed, changed) = (listed(&added), listed(&removed), listed(&changed));
                tracing::info!(added, removed, changed, "{what}");
            }
            Err(error) => tracing::warn!(%error, "the nodes stay as they were"),
        }
    }

    fn adopt(&self, plan: Plan, rules: schedule::Rules, keepers: &mut JoinSet<anyhow::Result<()>>) -> Changes {
        // First the seats, then the nodes, without a step between: no request finds one without the other.
        self.scheduler.renew(&plan, rules);
        let changes = self.fleet.adopt(plan, keepers);
        self.fleet.nodes().enabled().for_each(|node| self.requests.expect(node));
        self.forget_departed();
        changes
    }
}

async fn registered(workers: &mut Option<cluster::Changes>) -> u64 {
    match workers {
        Some(workers) => workers.next().await,
        None => std::future::pending().await,
    }
}

fn listed(names: &[NodeName]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ") }
}

/// SIGHUP, heard from the moment on when this is made: before that it would end the process.
#[cfg(unix)]
pub(super) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    pub(super) fn heard() -> anyhow::Result<Self> {
        Ok(Self(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).context("cannot hear SIGHUP")?))
    }

    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// There is no such signal here.
#[cfg(not(unix))]
pub(super) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    #[allow(clippy::unnecessary_wraps, reason = "it can fail where there are signals")]
    pub(super) fn heard() -> anyhow::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}
