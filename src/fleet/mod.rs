//! The nodes: what is known of each, its power, and the one task per node that keeps it.
//!
//! A node's `keeper` is the only writer of what is known of the node and the only one that sends to a node on its own
//! account. Requests read the published [`View`], report what they observed, and say what they want.

pub mod energy;
mod keeper;
mod metrics;
mod neighbours;
mod node;
pub mod power;
pub mod survey;
mod view;
mod wake;

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::catalog::{self, NodeSnapshot, Shows, Snapshot};
use crate::config::{NodeConfig, Timeouts, WakeRules};
use crate::telemetry::journal::Journal;

pub use metrics::{Metrics, NodeMetrics, UpstreamError};
pub use node::{InFlight, Node, Trigger, Want};
pub use view::{KnownMac, MacSource, View};

/// All nodes, in the order of the settings.
#[derive(Clone)]
pub struct Fleet {
    nodes: Arc<[Node]>,
    shows: Shows,
    changed: Arc<Notify>,
    journal: Journal,
}

/// What all keepers go by.
#[derive(Clone)]
pub struct Rules {
    /// Limits of waiting.
    pub timeouts: Timeouts,
    /// When to wake without being asked.
    pub wake: WakeRules,
    /// How often always-on nodes are checked; `None`: no own calls to awake nodes at all.
    pub health_interval: Option<std::time::Duration>,
    /// How long a list is fresh.
    pub cache_ttl: std::time::Duration,
    /// Where wakes, sleeps and changes of state are written down.
    pub journal: Journal,
}

impl Fleet {
    /// Makes the nodes with what the snapshot knew of them, and starts a keeper for each in `tasks`.
    ///
    /// # Errors
    /// When no TLS roots can be loaded for wake URLs.
    pub fn start(
        configs: &[NodeConfig],
        rules: &Rules,
        snapshot: &Snapshot,
        metrics: &Metrics,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Self> {
        let shows = Shows::default();
        let changed = Arc::new(Notify::new());
        let mut nodes = Vec::new();
        for config in configs.iter().filter(|config| config.enabled) {
            let known = snapshot.nodes.get(config.name.as_str()).cloned().unwrap_or_default();
            let (node, keeper) = keeper::Keeper::new(config, rules, known, metrics, shows.clone(), changed.clone())?;
            tasks.spawn(keeper.run());
            nodes.push(node);
        }
        Ok(Self { nodes: nodes.into(), shows, changed, journal: rules.journal.clone() })
    }

    /// The nodes in the order of the settings.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name().as_str() == name)
    }

    /// What has happened, and what runs now.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The kept `show` answers of all nodes.
    pub fn shows(&self) -> &Shows {
        &self.shows
    }

    /// What all nodes hold, as the catalog composes its answers from it.
    pub fn with_catalog<T>(&self, compose: impl FnOnce(&[catalog::View<'_>]) -> T) -> T {
        let views: Vec<_> = self.nodes.iter().map(|node| (node, node.view())).collect();
        let views: Vec<_> =
            views.iter().map(|(node, view)| catalog::View { node: node.name(), holding: &view.holding }).collect();
        compose(&views)
    }

    /// Resolves when something worth keeping on disk has changed.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is worth keeping over a restart.
    pub fn snapshot(&self) -> Snapshot {
        let nodes = self.nodes.iter().map(|node| (node.name().to_string(), self.snapshot_of(node))).collect();
        Snapshot { nodes, ..Snapshot::default() }
    }

    fn snapshot_of(&self, node: &Node) -> NodeSnapshot {
        let view = node.view();
        let learnt = view.mac.filter(|known| known.source == MacSource::Learnt);
        let own = NodeSnapshot {
            mac: learnt.map(|known| known.mac.to_string()),
            mac_source: learnt.map(|_| "learnt".to_owned()),
            address: view.address.map(|address| address.to_string()),
            wake_seconds: view.wake_history.clone(),
            last_seen: node.last_seen_unix(),
            energy: node.kept_energy(&view),
            ..NodeSnapshot::default()
        };
        own.with_catalog(node.name(), &view.holding, &self.shows)
    }
}

/// Whether an address is one of this machine's own.
pub fn is_own_address(address: std::net::IpAddr) -> bool {
    wake::interfaces::is_own(address)
}

/// The client for calls of our own to the outside, such as wake URLs: bounded in time, no proxy from the environment, no
/// redirects, nothing kept open.
///
/// # Errors
/// When no TLS roots can be loaded.
pub fn outward_client() -> Result<reqwest::Client, reqwest::Error> {
    wake::url::client()
}

/// How a node would be woken, in words: the interface and broadcast of its packets, its wake URL, or what is missing.
pub fn wake_path(node: &Node) -> String {
    let (view, wake) = (node.view(), &node.config().wake);
    let mut ways = Vec::new();
    if view.mac.is_some() || wake.url.is_none() {
        let once = if view.mac.is_some() { "" } else { ", once its MAC is known" };
        ways.push(format!("{}{once}", packet_path(node, &view)));
    }
    if let Some(url) = &wake.url {
        ways.push(format!("the wake URL {}", url.template.split('?').next().unwrap_or_default()));
    }
    ways.join(" and ")
}

fn packet_path(node: &Node, view: &View) -> String {
    let given = &node.config().wake.broadcast;
    if !given.is_empty() {
        let given: Vec<String> = given.iter().map(ToString::to_string).collect();
        return format!("magic packets to {}", given.join(", "));
    }
    let address = view.presumed_address(node.config());
    let usable = wake::interfaces::usable();
    let near = match address {
        Some(std::net::IpAddr::V4(address)) => usable.iter().find(|interface| interface.reaches(address)),
        _ => None,
    };
    match near {
        Some(interface) => format!("magic packets from {} ({}) to {}", interface.name, interface.address, interface.broadcast()),
        None if usable.is_empty() => {
            "nothing: no network interface here can carry a magic packet (in a container use host networking)".to_owned()
        }
        None => {
            let all: Vec<&str> = usable.iter().map(|interface| interface.name.as_str()).collect();
            format!("magic packets to 255.255.255.255 from {} (its network is not known or not one of ours)", all.join(", "))
        }
    }
}
