//! Finds out what is new and tells it. Works while somebody reads, a minute longer for those who come back, and then not
//! at all: with no page open nothing runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Hub;
use crate::dashboard::{House, facts, now};
use crate::fleet::{Node, View};

/// Proxies in between close what is silent for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Several changes in a row are told together.
const LOOKS: Duration = Duration::from_millis(100);

/// The list of running requests is told at most this often.
const REQUESTS: Duration = Duration::from_millis(500);

/// Running totals are told at most this often.
const TRAFFIC: Duration = Duration::from_secs(1);

/// Who comes back within this time goes on where he was.
const LINGERS: Duration = Duration::from_secs(60);

pub(super) struct Teller {
    hub: Hub,
    house: Arc<House>,
    pulse: watch::Receiver<u64>,
    nodes: BTreeMap<String, Known>,
    requests: Told,
    traffic: Told,
    /// The revision of the journal that was told.
    revision: u64,
}

/// A node as it was last told.
struct Known {
    view: Arc<View>,
    load: (u64, usize),
    lasting: Value,
}

/// Something that is told whole, and not too often.
struct Told {
    last: Value,
    at: Instant,
}

impl Told {
    fn new(last: Value) -> Self {
        Self { last, at: Instant::now() }
    }

    /// Takes note of a new value if it is one and its time has come.
    fn renew(&mut self, value: Value, between: Duration) -> bool {
        if self.at.elapsed() < between || self.last == value {
            return false;
        }
        *self = Self::new(value);
        true
    }
}

impl Teller {
    pub(super) fn new(hub: Hub) -> Self {
        let house = hub.0.house.clone();
        let pulse = house.journal().pulse();
        let (_, revision) = house.journal().changes(u64::MAX);
        let requests = Told::new(json!(house.journal().running()));
        let traffic = Told::new(traffic(&house));
        let mut teller = Self { hub, house, pulse, nodes: BTreeMap::new(), requests, traffic, revision };
        drop(teller.changed_nodes());
        teller
    }

    pub(super) async fn run(mut self) {
        let mut end = self.hub.0.end.clone();
        let mut beat = Instant::now() + HEARTBEAT;
        let mut alone_since = None;
        let mut look: Option<Instant> = None;
        loop {
            let leave = alone_since.map(|since: Instant| since + LINGERS);
            let due = [Some(beat), look, leave].into_iter().flatten().min().unwrap_or(beat);
            tokio::select! {
                stirred = self.pulse.changed(), if look.is_none() => match stirred {
                    Ok(()) => look = Some(Instant::now() + LOOKS),
                    Err(_) => return self.hub.end(),
                },
                () = sleep_until(due) => {}
                _ = end.wait_for(|asked| *asked) => return self.hub.end(),
            }
            let now = Instant::now();
            if look.is_some_and(|due| due <= now) {
                self.pulse.mark_unchanged();
                look = self.look().then(|| Instant::now() + REQUESTS);
            }
            if beat <= now {
                self.hub.beat();
                beat = now + HEARTBEAT;
            }
            alone_since = if self.hub.has_readers() { None } else { alone_since.or(Some(now)) };
            if leave.is_some_and(|leave| leave <= now) && self.hub.rest() {
                return;
            }
        }
    }

    /// Tells what is new; whether to look again soon, though nothing stirs: bytes flow without a word, and what was told
    /// a moment ago waits its time.
    fn look(&mut self) -> bool {
        let (entries, revision) = self.house.journal().changes(self.revision);
        self.revision = revision;
        for entry in entries {
            self.hub.tell("journal", &json!(*entry));
        }
        for node in self.changed_nodes() {
            self.hub.tell("node", &node);
        }
        let running = json!(self.house.journal().running());
        let (idle, behind) = (running == json!([]), running != self.requests.last);
        if self.requests.renew(running, REQUESTS) {
            self.hub.tell("requests", &self.requests.last);
        }
        let totals = traffic(&self.house);
        let flowed = totals != self.traffic.last;
        if self.traffic.renew(totals, TRAFFIC) {
            self.hub.tell("traffic", &json!({ "now": now(), "nodes": self.traffic.last }));
        }
        !idle || behind || flowed
    }

    /// The nodes whose lasting facts are others than told, whole; and those that are gone.
    fn changed_nodes(&mut self) -> Vec<Value> {
        let (house, mut told) = (self.house.clone(), std::mem::take(&mut self.nodes));
        let mut news = Vec::new();
        for node in house.fleet.nodes().iter() {
            let name = node.name().to_string();
            let (view, load) = (node.view(), load(node));
            let before = told.remove(&name);
            // Composing the facts of a node with a thousand models is not done for nothing.
            let before = match before {
                Some(same) if Arc::ptr_eq(&same.view, &view) && same.load == load => {
                    self.nodes.insert(name, same);
                    continue;
                }
                before => before,
            };
            let lasting = facts::lasting(&house, node);
            if before.is_none_or(|known| known.lasting != lasting) {
                news.push(facts::whole(&house, node));
            }
            self.nodes.insert(name, Known { view, load, lasting });
        }
        news.extend(told.into_keys().map(|name| json!({ "name": name, "gone": true })));
        news
    }
}

/// What changes when a node serves: what it has loaded may be another model then.
fn load(node: &Node) -> (u64, usize) {
    (node.totals().0, node.active())
}

/// The running totals of all nodes.
fn traffic(house: &House) -> Value {
    let total = |node: &Node| {
        let metrics = node.metrics();
        let totals = json!({ "sent": metrics.sent().get(), "received": metrics.received().get(), "active": node.active() });
        (node.name().to_string(), totals)
    };
    Value::Object(house.fleet.nodes().iter().map(total).collect::<Map<_, _>>())
}
