//! Which workers a controller knows. Decides by values and `now`, sends nothing; what follows for the nodes is published.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::message::{Heartbeat, PowerWord, Refusal, Registration, Slots, Status};
use super::name::unique;
use crate::catalog::RawJson;
use crate::config::{HostPort, NodeConfig, Secret, WorkerHand};
use crate::values::NodeName;

#[cfg(test)]
mod tests;

/// More workers than this are no home any more.
const WORKERS: usize = 512;

/// A machine that may sleep, is awake, and had nothing to do for so long, wastes energy: its owner is told.
const TOO_LONG: Duration = Duration::from_secs(4 * 60 * 60);

/// How long whoever registers waits until its node is in force.
const PATIENCE: Duration = Duration::from_secs(2);

/// The workers of a controller. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    workers: Mutex<BTreeMap<String, Worker>>,
    /// After this silence a worker counts as silent.
    timeout: Duration,
    /// Our own listeners, which no worker can be.
    own: Vec<SocketAddr>,
    /// What shows workers that it is we who want something of them.
    key: Option<Secret>,
    /// Names of nodes that stand in the settings.
    settled: Mutex<Vec<NodeName>>,
    /// Counts the changes of nodes.
    changed: watch::Sender<u64>,
    /// The last change that is in force.
    in_force: watch::Sender<u64>,
}

/// One worker, as it says and as it was heard.
#[derive(Clone, Debug)]
pub struct Worker {
    pub(super) told: Registration,
    pub(super) at: SocketAddr,
    pub(super) name: NodeName,
    pub(super) status: Status,
    pub(super) load: u32,
    pub(super) slots: Slots,
    /// The number of its last word.
    number: Option<u64>,
    /// When it was heard last, or known first.
    pub(super) heard: Instant,
    /// By the clock on the wall; `None`: not since we started.
    pub(super) heard_at: Option<SystemTime>,
}

/// What is kept of a worker over a restart.
#[derive(Serialize, Deserialize)]
struct KeptWorker {
    told: Registration,
    address: SocketAddr,
    name: String,
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    /// Its name here: another one than it asked for when that is a living worker's.
    pub(super) id: String,
    pub(super) node: NodeName,
    /// Whether it was not known before.
    pub(super) is_new: bool,
    /// The change of nodes that makes it one.
    pub(super) change: u64,
}

/// What a heartbeat told.
pub(super) struct Heard {
    pub(super) worker: Worker,
    /// It came later than one that was said after it: nothing follows from it.
    pub(super) is_old: bool,
    /// Its list is another one than before.
    pub(super) relisted: bool,
    /// It may sleep, and has been awake and without work for too long. Told once.
    pub(super) wastes: bool,
}

/// Why a registration is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    Refused(Refusal),
    /// It would be this controller itself.
    Ourselves,
    Full,
}

impl Registry {
    /// With what was kept of workers; `own` are our own listeners.
    pub fn new(timeout: Duration, own: Vec<SocketAddr>, kept: &BTreeMap<String, RawJson>) -> Self {
        let mut workers = BTreeMap::new();
        for (id, text) in kept.iter().take(WORKERS) {
            let Ok(kept) = serde_json::from_slice::<KeptWorker>(&text.bytes()) else { continue };
            let KeptWorker { told, address, name } = kept;
            let worker = Worker {
                told,
                at: address,
                name: NodeName::new(&name),
                status: Status::Healthy,
                load: 0,
                slots: Slots::default(),
                number: None,
                heard: Instant::now(),
                heard_at: None,
            };
            workers.insert(id.clone(), worker);
        }
        let (changed, in_force) = (watch::channel(0).0, watch::channel(0).0);
        let (workers, settled) = (Mutex::new(workers), Mutex::default());
        Self(Arc::new(Shared { workers, timeout, own, settled, key: None, changed, in_force }))
    }

    /// The same, with the key that workers want to see.
    pub fn showing(mut self, key: Option<Secret>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.key = key;
        }
        self
    }

    /// What is worth keeping over a restart.
    pub fn kept(&self) -> BTreeMap<String, RawJson> {
        let kept = |worker: &Worker| {
            // What changes with every word is not worth a write.
            let told = Registration {
                instance: None,
                list: None,
                loaded_models: Vec::new(),
                slots: Slots::default(),
                power: PowerWord {
                    always_on: worker.told.power.always_on,
                    can_sleep: worker.told.power.can_sleep,
                    ..PowerWord::default()
                },
                ..worker.told.clone()
            };
            let kept = KeptWorker { told, address: worker.at, name: worker.name.to_string() };
            RawJson::new(&serde_json::to_vec(&kept).ok()?)
        };
        let workers = self.workers();
        workers.iter().filter_map(|(id, worker)| Some((id.clone(), kept(worker)?))).collect()
    }

    /// The nodes that the workers are.
    pub fn nodes(&self) -> Vec<NodeConfig> {
        self.workers().iter().map(|(id, worker)| worker.node(id, self.0.key.as_ref())).collect()
    }

    /// These nodes stand in the settings now: their names are no worker's.
    pub fn settle(&self, nodes: &[NodeConfig]) {
        *self.settled() = nodes.iter().map(|node| node.name.clone()).collect();
    }

    /// All changes up to this one are in force.
    pub fn is_in_force(&self, number: u64) {
        self.0.in_force.send_replace(number);
    }

    /// Follows the nodes that the workers are.
    pub fn changes(&self) -> Changes {
        Changes(self.0.changed.subscribe())
    }

    /// All workers by their names.
    pub fn all(&self) -> Vec<(String, Worker)> {
        self.workers().iter().map(|(id, worker)| (id.clone(), worker.clone())).collect()
    }

    /// Takes a worker in, in the place of what it was before. A name that belongs to another living one gets a suffix.
    pub(super) fn register(&self, told: Registration, peer: IpAddr) -> Result<Registered, NotTaken> {
        let peer = peer.to_canonical();
        let (told, port) = told.checked(peer).map_err(NotTaken::Refused)?;
        let at = SocketAddr::new(peer, port);
        if self.0.own.contains(&at) || (self.0.own.iter().any(|own| own.port() == port) && crate::fleet::is_own_address(peer)) {
            return Err(NotTaken::Ourselves);
        }
        if matches!(peer, IpAddr::V6(peer) if peer.is_unicast_link_local()) {
            // It means something only together with an interface of ours.
            return Err(NotTaken::Refused(Refusal::Bad(
                "an IPv6 address that begins with fe80 cannot be registered: name the controller by its IPv4 address",
            )));
        }
        let now = Instant::now();
        let mut workers = self.workers();
        let id = self.id_for(&workers, &told, at, now);
        // Whoever listened there before does so no more.
        workers.retain(|other, worker| *other == id || worker.at != at);
        if !workers.contains_key(&id) && workers.len() >= WORKERS {
            return Err(NotTaken::Full);
        }
        let wanted = told.node_name.clone().unwrap_or_else(|| id.clone());
        let settled = self.settled();
        let name_is_taken = |name: &str| {
            settled.iter().any(|known| known.as_str() == name)
                || workers.iter().any(|(other, worker)| *other != id && worker.name.as_str() == name)
        };
        let name = NodeName::new(&unique(&wanted, name_is_taken));
        if name.as_str() != wanted || id != told.worker_id {
            tracing::warn!(worker = %told.worker_id, as = %id, node = %name, "its name is another's, so it got a suffix");
        }
        let before = workers.get(&id).map(|worker| worker.node(&id, self.0.key.as_ref()));
        let status = if told.is_sleeping() { Status::Sleeping } else { Status::Healthy };
        let (load, slots, heard_at) = (0, told.slots, Some(SystemTime::now()));
        let same_process = |worker: &&Worker| worker.told.instance == told.instance;
        let number = workers.get(&id).filter(same_process).and_then(|worker| worker.number);
        let worker = Worker { told, at, name: name.clone(), status, load, slots, number, heard: now, heard_at };
        let is_same = before.as_ref() == Some(&worker.node(&id, self.0.key.as_ref()));
        workers.insert(id.clone(), worker);
        drop(workers);
        let change = if is_same { *self.0.changed.borrow() } else { self.change() };
        Ok(Registered { id, node: name, is_new: before.is_none(), change })
    }

    /// Resolves when a change is in force, or after two seconds.
    pub(super) async fn in_force(&self, change: u64) {
        let mut in_force = self.0.in_force.subscribe();
        let _ = tokio::time::timeout(PATIENCE, in_force.wait_for(|last| *last >= change)).await;
    }

    /// Hears how a worker is, and what of it is news; `None`: it is not known here, as it says it
    /// is, and shall register.
    pub(super) fn heard(&self, said: Heartbeat, peer: IpAddr) -> Option<Heard> {
        let said = said.bounded();
        let status = said.status();
        let mut workers = self.workers();
        let worker = workers.get_mut(&said.worker_id)?;
        let is_it = worker.at.ip() == peer.to_canonical()
            && (said.instance.is_none() || worker.told.instance.is_none() || said.instance == worker.told.instance);
        if !is_it {
            return None;
        }
        let is_old = said.number.is_some_and(|number| worker.number.is_some_and(|last| number <= last));
        if is_old {
            return Some(Heard { worker: worker.clone(), is_old, relisted: false, wastes: false });
        }
        worker.number = said.number;
        // Kept workers were known without the number of their process.
        worker.told.instance = said.instance.or(worker.told.instance.take());
        let was_draining = worker.status == Status::Draining;
        // Who was told to leave does not come back by being well.
        let status = if was_draining { Status::Draining } else { status };
        (worker.status, worker.load, worker.slots) = (status, said.current_load, said.slots);
        (worker.heard, worker.heard_at) = (Instant::now(), Some(SystemTime::now()));
        if let Some(loaded) = said.loaded_models {
            worker.told.loaded_models = loaded;
        }
        let relisted = said.list.is_some() && said.list != worker.told.list;
        worker.told.list = said.list.or(worker.told.list.take());
        // Its class and its abilities are those of its registration.
        let PowerWord { always_on, can_sleep, unused: before, .. } = worker.told.power;
        let is_long = |unused: Option<f64>| unused.is_some_and(|seconds| seconds >= TOO_LONG.as_secs_f64());
        let wastes = is_long(said.power.unused) && !is_long(before) && !always_on && status == Status::Healthy;
        worker.told.power = PowerWord { always_on, can_sleep, ..said.power };
        let worker = worker.clone();
        drop(workers);
        if was_draining != (status == Status::Draining) {
            self.change();
        }
        Some(Heard { worker, is_old, relisted, wastes })
    }

    /// A worker leaves: at once, or once it has ended what runs. The change that this is; `None`: it is not known.
    pub(super) fn leaves(&self, id: &str, at_once: bool) -> Option<u64> {
        let mut workers = self.workers();
        let worker = workers.get_mut(id)?;
        worker.status = Status::Draining;
        worker.heard = Instant::now();
        if at_once {
            workers.remove(id);
        }
        drop(workers);
        Some(self.change())
    }

    /// Drops a worker that has not been heard since.
    pub(super) fn drop_silent(&self, id: &str, since: Instant) -> bool {
        let mut workers = self.workers();
        if workers.get(id).is_none_or(|worker| worker.heard > since) {
            return false;
        }
        workers.remove(id);
        drop(workers);
        self.change();
        true
    }

    /// It answered although it says nothing: it is looked after again after another silence.
    pub(super) fn answers(&self, id: &str) {
        if let Some(worker) = self.workers().get_mut(id) {
            worker.heard = Instant::now();
        }
    }

    /// How long a worker may be silent.
    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// The name that a worker gets: its own, unless another process that lives has it.
    fn id_for(&self, workers: &BTreeMap<String, Worker>, told: &Registration, at: SocketAddr, now: Instant) -> String {
        let is_itself = |worker: &Worker| (told.instance.is_some() && worker.told.instance == told.instance) || worker.at == at;
        if let Some((id, _)) = workers.iter().find(|(id, worker)| is_itself(worker) && stems_from(id, &told.worker_id)) {
            return id.clone();
        }
        let lives = |worker: &Worker| {
            worker.heard_at.is_some()
                && matches!(worker.status, Status::Healthy | Status::Unhealthy)
                && now.saturating_duration_since(worker.heard) < self.0.timeout
        };
        unique(&told.worker_id, |id| workers.get(id).is_some_and(lives))
    }

    fn change(&self) -> u64 {
        self.0.changed.send_modify(|changes| *changes += 1);
        *self.0.changed.borrow()
    }

    fn settled(&self) -> MutexGuard<'_, Vec<NodeName>> {
        self.0.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<String, Worker>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a name is this one, or this one with a number behind it.
fn stems_from(id: &str, name: &str) -> bool {
    id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.strip_prefix('-').is_some_and(|n| n.parse::<u32>().is_ok()))
}

impl Worker {
    /// The node that it is.
    fn node(&self, id: &str, key: Option<&Secret>) -> NodeConfig {
        let told = &self.told;
        let at = HostPort { host: self.at.ip().to_string(), port: self.at.port() };
        let mut node = NodeConfig::new(self.name.clone(), at, String::new());
        node.always_on = told.power.always_on;
        node.enabled = self.status != Status::Draining;
        node.capacity = told.capacity;
        node.models = told.model_id.iter().cloned().collect();
        node.description = format!("worker {id}");
        if told.power.can_sleep {
            node.sleep.worker = Some(WorkerHand { url: format!("http://{}/sleep", self.at), key: key.cloned() });
        }
        if !told.power.always_on && !self.at.ip().is_loopback() {
            node.wake.mac = told.mac_of(self.at.ip());
        }
        node
    }
}

/// The changes of the nodes that workers are.
pub struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Resolves when they have changed, with the number of the change.
    pub async fn next(&mut self) -> u64 {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        *self.0.borrow_and_update()
    }
}
