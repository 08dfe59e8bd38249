//! The nodes: what is known of each, its power, and the one task per node that keeps it.
//!
//! A node's `keeper` is the only writer of what is known of the node and the only one that sends to a node on its own
//! account. Requests read the published [`View`], report what they observed, and say what they want.

mod account;
pub mod energy;
mod gate;
mod holders;
mod hosts;
mod keeper;
mod message;
mod metrics;
mod neighbours;
mod node;
pub mod power;
mod renewal;
mod roster;
mod sleep;
pub mod survey;
mod traffic;
mod view;
mod wake;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::catalog::{self, Listed, NodeSnapshot, Shows, Snapshot};
use crate::config::{NodeConfig, Timeouts, WakeRules};
use crate::telemetry::journal::Journal;
use crate::values::ModelKey;

pub use keeper::FirstModel;
pub use message::{Trigger, Want};
pub use metrics::{Metrics, NodeMetrics, UpstreamError};
pub use node::Node;
pub use renewal::{Changes, Plan};
pub use roster::Roster;
pub use sleep::NoSleep;
pub use traffic::InFlight;
pub use view::{KnownMac, MacSource, View};
pub use wake::url::refusal as wake_service_refusal;

use holders::Holders;
use keeper::Wish;
use renewal::Memory;

/// The nodes, as the settings name them now. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Fleet {
    roster: Arc<RwLock<Arc<Roster>>>,
    memory: Arc<Mutex<Memory>>,
    common: Common,
}

/// What all keepers have in common.
#[derive(Clone)]
struct Common {
    rules: Rules,
    metrics: Metrics,
    shows: Shows,
    holders: Holders,
    /// Rung when something worth keeping on disk has changed.
    changed: Arc<Notify>,
    /// The model that is to be there from the first day.
    wish: Wish,
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
    /// Makes the nodes with what the snapshot knew of them, and starts a keeper in `tasks` for each that takes part.
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
        let (rules, metrics) = (rules.clone(), metrics.clone());
        let (shows, holders, wish) = (Shows::default(), Holders::default(), Wish::default());
        let common = Common { rules, metrics, shows, holders, changed: Arc::default(), wish };
        let memory = Arc::new(Mutex::new(Memory::of(snapshot)));
        let fleet = Self { roster: Arc::default(), memory, common };
        let plan = fleet.plan(configs)?;
        fleet.adopt(plan, tasks);
        Ok(fleet)
    }

    /// Has a model pulled onto the first fitting node that is awake anyway, if no node has it. Wakes none.
    pub fn wish_for(&self, model: FirstModel) {
        self.common.wish.make(model);
    }

    /// The nodes in the order of the settings, as they are now. Ask again for the next step: a reload may come between.
    pub fn nodes(&self) -> Arc<Roster> {
        self.roster.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The node of that slot; `None` when it is not in the settings any more.
    pub fn at(&self, slot: usize) -> Option<Node> {
        self.nodes().at(slot).cloned()
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<Node> {
        self.nodes().find(name).cloned()
    }

    /// What has happened, and what runs now.
    pub fn journal(&self) -> &Journal {
        &self.common.rules.journal
    }

    /// The kept `show` answers of all nodes.
    pub fn shows(&self) -> &Shows {
        &self.common.shows
    }

    /// The slots of the nodes that may hold a model; costs what these are, whatever the size of the fleet. Only a proposal:
    /// what a node really holds is in its view.
    pub fn holders(&self, key: &ModelKey) -> Vec<usize> {
        self.common.holders.slots(key)
    }

    /// Whether some node that takes part lists a model by this name, or is said to hold it.
    pub fn listed(&self, name: &str) -> Listed {
        self.common.holders.listed(name)
    }

    /// What all nodes that take part hold, as the catalog composes its answers from it.
    pub fn with_catalog<T>(&self, compose: impl FnOnce(&[catalog::View<'_>]) -> T) -> T {
        compose_of(self.nodes().enabled(), compose)
    }

    /// The same of those nodes alone that may hold a model.
    pub fn with_holders<T>(&self, model: &str, compose: impl FnOnce(&[catalog::View<'_>]) -> T) -> T {
        let (nodes, holders) = (self.nodes(), self.holders(&ModelKey::of(model)));
        compose_of(nodes.among(&holders).into_iter().filter(|node| node.config().enabled), compose)
    }

    /// Resolves when something worth keeping on disk has changed.
    pub async fn changed(&self) {
        self.common.changed.notified().await;
    }

    /// What is worth keeping over a restart; that of nodes which are not in the settings now as well.
    pub fn snapshot(&self) -> Snapshot {
        let mut nodes = self.memory().absent().clone();
        nodes.extend(self.nodes().iter().map(|node| (node.name().to_string(), self.snapshot_of(node))));
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
            energy: view.energy.kept(node.last_seen()),
            ..NodeSnapshot::default()
        };
        own.with_catalog(node.name(), &view.holding, self.shows())
    }
}

fn compose_of<'a, T>(nodes: impl Iterator<Item = &'a Node>, compose: impl FnOnce(&[catalog::View<'_>]) -> T) -> T {
    let views: Vec<_> = nodes.map(|node| (node, node.view())).collect();
    let views: Vec<_> = views.iter().map(|(node, view)| catalog::View { node: node.name(), holding: &view.holding }).collect();
    compose(&views)
}

/// The IPv4 address that magic packets can be sent to.
pub fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address.to_canonical() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Whether an address is one of this machine's own.
pub fn is_own_address(address: IpAddr) -> bool {
    wake::interfaces::is_own(address)
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
        Some(IpAddr::V4(address)) => usable.iter().find(|interface| interface.reaches(address)),
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
