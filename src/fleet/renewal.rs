//! From one reading of the settings to the next: which nodes stay as they are, which get another keeper, which go.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::account::Account;
use super::keeper::{self, Keeper};
use super::node::Shared;
use super::power::{Power, Refused};
use super::traffic::Traffic;
use super::{Fleet, KnownMac, MacSource, Node, Roster, View};
use crate::catalog::{Holding, NodeSnapshot, Snapshot, Stamp};
use crate::config::NodeConfig;
use crate::values::{NodeName, boxed};

#[cfg(test)]
mod tests;

/// What is known of so many nodes that are not in the settings is kept: they may come back.
const ABSENT: usize = 32;

/// What outlives a reading of the settings.
#[derive(Default)]
pub(super) struct Memory {
    /// Whose slot is whose. A name that comes back finds its own as long as anything is known of it; `None`: another may
    /// have the slot.
    slots: Vec<Option<NodeName>>,
    /// Slots that were another's, until a plan tells of them.
    taken_over: Vec<usize>,
    absent: BTreeMap<String, NodeSnapshot>,
    /// Nodes that went, some of them perhaps still in use.
    gone: Vec<(NodeName, Weak<Shared>)>,
}

impl Memory {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { absent: snapshot.nodes.clone(), ..Self::default() }
    }

    /// What is known of nodes that are not in the settings now.
    pub(super) fn absent(&self) -> &BTreeMap<String, NodeSnapshot> {
        &self.absent
    }

    fn slot(&mut self, name: &NodeName) -> usize {
        if let Some(own) = self.slots.iter().position(|known| known.as_ref() == Some(name)) {
            return own;
        }
        let free = self.slots.iter().position(Option::is_none);
        self.taken_over.extend(free);
        let slot = free.unwrap_or(self.slots.len());
        self.slots.resize(self.slots.len().max(slot + 1), None);
        self.slots[slot] = Some(name.clone());
        slot
    }

    /// Frees the slots of names of which nothing is left: neither `stays`, nor kept for its return, nor still in use.
    fn free_slots(&mut self, stays: impl Fn(&NodeName) -> bool) {
        let Self { slots, absent, gone, .. } = self;
        let is_known = |name: &NodeName| absent.contains_key(name.as_str()) || gone.iter().any(|(other, _)| other == name);
        for slot in slots {
            *slot = slot.take().filter(|name| stays(name) || is_known(name));
        }
    }

    /// The one that was seen least lately makes room.
    fn bound(&mut self) {
        while self.absent.len() > ABSENT {
            let oldest = self.absent.iter().min_by_key(|(_, known)| known.last_seen).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.absent.remove(&name));
        }
    }
}

/// The names that a renewal touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New ones.
    pub added: Vec<NodeName>,
    /// Those that are not there any more.
    pub removed: Vec<NodeName>,
    /// Those with other settings than before.
    pub changed: Vec<NodeName>,
}

/// The next roster, made and not yet in force.
pub struct Plan {
    roster: Arc<Roster>,
    pub(super) keepers: Vec<Keeper>,
    /// Handles that are replaced by another machine, another keeper, or nothing.
    retired: Vec<Node>,
    /// Slots whose nodes are other machines now, or have another name.
    moved: Vec<usize>,
    changes: Changes,
}

impl Plan {
    /// The nodes to be.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The slots of nodes that are other machines than before: what their predecessors did says nothing of them.
    pub fn moved(&self) -> &[usize] {
        &self.moved
    }

    /// What will be otherwise.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }
}

impl Fleet {
    /// Makes the nodes of other settings, with what is known of them, and sends nothing. A node whose settings are the
    /// same is the same; one that only ranks otherwise keeps its keeper.
    ///
    /// # Errors
    /// When no TLS roots can be loaded for wake URLs; then all stays as it is.
    pub fn plan(&self, configs: &[NodeConfig]) -> anyhow::Result<Plan> {
        let before = self.nodes();
        let is_wanted = |name: &NodeName| configs.iter().any(|config| config.name == *name);
        self.memory().free_slots(|name| is_wanted(name) || before.find(name.as_str()).is_some());
        let (mut nodes, mut keepers, mut retired, mut changes) = (Vec::new(), Vec::new(), Vec::new(), Changes::default());
        for config in configs {
            let name = &config.name;
            match before.find(name.as_str()) {
                Some(old) if old.config() == config => nodes.push(old.clone()),
                Some(old) if old.config().enabled && config.enabled && is_same_service(old.config(), config) => {
                    changes.changed.push(name.clone());
                    nodes.push(old.preferring(config.clone()));
                }
                Some(old) => {
                    changes.changed.push(name.clone());
                    retired.push(old.clone());
                    nodes.push(self.make(config, self.view_after(old, config), traffic_after(old, config), &mut keepers)?);
                }
                None => {
                    changes.added.push(name.clone());
                    let known = self.memory().absent.get(name.as_str()).cloned().unwrap_or_default();
                    nodes.push(self.make(config, self.view_of(config, known), Arc::default(), &mut keepers)?);
                }
            }
        }
        for node in before.iter().filter(|node| !is_wanted(node.name())) {
            changes.removed.push(node.name().clone());
            retired.push(node.clone());
        }
        let has_moved =
            |old: &&Node| configs.iter().any(|config| config.name == *old.name() && !is_same_machine(old.config(), config));
        let taken_over = std::mem::take(&mut self.memory().taken_over);
        let moved = before.iter().filter(has_moved).map(Node::slot).chain(taken_over).collect();
        Ok(Plan { roster: Arc::new(Roster::new(nodes)), keepers, retired, moved, changes })
    }

    /// Puts a plan in force: from now on requests go by it. Requests that run keep the nodes they have.
    pub fn adopt(&self, plan: Plan, tasks: &mut JoinSet<anyhow::Result<()>>) -> Changes {
        let Plan { roster, keepers, retired, moved: _, changes } = plan;
        let mut memory = self.memory();
        for node in &retired {
            node.retire();
            memory.gone.push((node.name().clone(), node.remains()));
            if roster.find(node.name().as_str()).is_none() {
                memory.absent.insert(node.name().to_string(), self.snapshot_of(node));
            }
        }
        memory.absent.retain(|name, _| roster.find(name).is_none());
        memory.bound();
        drop(memory);
        self.common.holders.renew(&self.nodes(), &roster);
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = roster;
        for keeper in keepers {
            tasks.spawn(boxed(keeper.run()));
        }
        self.common.changed.notify_one();
        changes
    }

    /// The names of which nothing is left: not in the settings, and the last request has ended. Each is told once.
    pub fn departed(&self) -> Vec<NodeName> {
        let (roster, mut memory) = (self.nodes(), self.memory());
        let mut departed = Vec::new();
        memory.gone.retain(|(name, remains)| {
            if remains.strong_count() > 0 {
                return true;
            }
            departed.push(name.clone());
            false
        });
        departed.retain(|name| roster.find(name.as_str()).is_none() && memory.gone.iter().all(|(other, _)| other != name));
        for name in &departed {
            self.shows().forget_unlisted(name, &Holding::empty());
        }
        departed
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, config: &NodeConfig, view: View, traffic: Arc<Traffic>, keepers: &mut Vec<Keeper>) -> anyhow::Result<Node> {
        let slot = self.memory().slot(&config.name);
        if config.enabled {
            let (node, keeper) = Keeper::new(slot, config.clone(), view, traffic, &self.common)?;
            keepers.push(keeper);
            return Ok(node);
        }
        let metrics = self.common.metrics.of_node(config.name.as_str());
        Ok(Node::new(slot, config.clone(), watch::channel(Arc::new(view)).1, traffic, metrics)?)
    }

    /// What is known of a node that was not there before.
    fn view_of(&self, config: &NodeConfig, known: NodeSnapshot) -> View {
        let learnt = known.mac.as_deref().and_then(|mac| mac.parse().ok());
        let mac = mac(config, learnt.map(|mac| KnownMac { mac, source: MacSource::Learnt }));
        let now = Stamp { at: Instant::now(), wall: SystemTime::now() };
        View {
            power: Power::Unknown,
            since: SystemTime::now(),
            means: keeper::means(config, mac, self.common.rules.timeouts.wake),
            energy: Account::resumed(&known, &config.power),
            holding: known.restore(&config.name, self.shows(), now),
            loading: Vec::new(),
            mac,
            address: known.address.and_then(|address| address.parse().ok()),
            wake_history: known.wake_seconds,
            trouble: None,
            hindrance: None,
            advice: None,
            woken: None,
            asked_by: None,
        }
    }

    /// What still holds of a node under other settings.
    fn view_after(&self, old: &Node, config: &NodeConfig) -> View {
        let before = (*old.view()).clone();
        let same = is_same_machine(old.config(), config);
        // Of one that is disabled nothing is heard.
        let heard = same && old.config().enabled && config.enabled;
        let learnt = before.mac.filter(|known| same && known.source == MacSource::Learnt);
        let mac = mac(config, learnt);
        let power = if heard { settled(&before.power) } else { Power::Unknown };
        View {
            energy: before.energy.handed_on(old.last_seen(), &power, config),
            power,
            since: if heard { before.since } else { SystemTime::now() },
            means: keeper::means(config, mac, self.common.rules.timeouts.wake),
            loading: Vec::new(),
            mac,
            address: before.address.filter(|_| same),
            trouble: before.trouble.filter(|_| heard),
            // What hindered may be what was just mended.
            hindrance: None,
            advice: before.advice.filter(|_| heard),
            woken: before.woken.filter(|_| heard),
            ..before
        }
    }
}

fn traffic_after(old: &Node, config: &NodeConfig) -> Arc<Traffic> {
    let traffic = old.traffic();
    if is_same_machine(old.config(), config) { traffic.clone() } else { Arc::new(traffic.of_another_machine()) }
}

fn mac(config: &NodeConfig, learnt: Option<KnownMac>) -> Option<KnownMac> {
    config.wake.mac.map(|mac| KnownMac { mac, source: MacSource::Set }).or(learnt)
}

/// What a new keeper may take over: work that was under way stays with the old one.
fn settled(power: &Power) -> Power {
    match power {
        Power::Unknown => Power::Unknown,
        Power::Awake => Power::Awake,
        Power::ServiceDown(_) => Power::ServiceDown(Refused::Resting),
        Power::Asleep | Power::Waking(_) | Power::Suspending { .. } | Power::WakeFailed { .. } => Power::Asleep,
    }
}

/// Whether both are reached in the same way, so that what was learnt of one holds for the other.
fn is_same_machine(a: &NodeConfig, b: &NodeConfig) -> bool {
    a.hosts == b.hosts && a.path_prefix == b.path_prefix && a.tls == b.tls
}

/// Whether a keeper of one may keep the other: it reads nothing of the settings in which they may differ.
fn is_same_service(a: &NodeConfig, b: &NodeConfig) -> bool {
    // Named one by one, so that a key added later must be decided on here.
    let NodeConfig {
        name,
        hosts: _,
        path_prefix: _,
        tls: _,
        discovered: _,
        always_on,
        enabled,
        weight: _,
        capacity: _,
        description: _,
        memory_gb: _,
        model_ranges: _,
        kind,
        models: _,
        wake,
        sleep,
        power,
    } = b;
    is_same_machine(a, b)
        && (&a.name, a.always_on, a.enabled, a.kind) == (name, *always_on, *enabled, *kind)
        && (&a.wake, &a.sleep, a.power.sleeps_after) == (wake, sleep, power.sleeps_after)
}
