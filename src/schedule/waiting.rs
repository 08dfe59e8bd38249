//! The waiting room: clients take turns, among all nodes that would do; of one client who came first is served first.
//!
//! Whoever comes is given a round: the one that is being served, or the one after his own last. So a client with a
//! hundred requests has one in each round, and no other waits for more than one of them (start-time fair queueing).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::breaker::{Pass, Verdict};
use super::desk::{Lease, Shared};
use super::survey::Need;
use crate::values::ClientId;

/// Beyond so many clients those are forgotten whose turns make no difference any more.
const CLIENTS: usize = 512;

/// Those who wait, in the order in which they shall be served.
#[derive(Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    last: u64,
    /// The round that is being served.
    round: u64,
    /// The round in which each client was last served. Empty when nobody waits.
    served: HashMap<ClientId, u64>,
}

struct Waiter {
    place: Place,
    client: ClientId,
    /// The nodes that would do.
    on: Vec<usize>,
    /// Taken when called.
    tell: oneshot::Sender<(usize, Pass)>,
}

/// A place in the order: by round, and within it by who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    round: u64,
    ticket: u64,
}

impl Queue {
    /// A place for one more request of the client.
    fn place(&mut self, client: ClientId) -> Place {
        self.last += 1;
        let waits = self.waiters.iter().rev().find(|waiter| waiter.client == client).map(|waiter| waiter.place.round);
        let last = waits.max(self.served.get(&client).copied());
        Place { round: last.map_or(self.round, |last| self.round.max(last + 1)), ticket: self.last }
    }

    fn insert(&mut self, waiter: Waiter) {
        let at = self.waiters.partition_point(|other| other.place < waiter.place);
        self.waiters.insert(at, waiter);
    }

    fn remove(&mut self, at: usize) -> Option<Waiter> {
        let waiter = self.waiters.remove(at);
        if self.waiters.is_empty() {
            self.served.clear();
            self.round = 0;
        }
        waiter
    }

    fn find(&self, place: Place) -> Option<usize> {
        self.waiters.binary_search_by_key(&place, |waiter| waiter.place).ok()
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether somebody waits for this node.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.waiters.iter().any(|waiter| waiter.on.contains(&index))
    }

    /// Calls the first who waits for this node; `false` when that one has just left.
    pub(super) fn call(&mut self, index: usize, pass: Pass) -> bool {
        let Some(first) = self.waiters.iter().position(|waiter| waiter.on.contains(&index)) else { return false };
        let (place, client) = (self.waiters[first].place, self.waiters[first].client);
        self.round = self.round.max(place.round);
        if self.served.len() >= CLIENTS {
            let round = self.round;
            self.served.retain(|_, served| *served >= round);
        }
        self.served.insert(client, place.round);
        self.remove(first).is_some_and(|waiter| waiter.tell.send((index, pass)).is_ok())
    }
}

/// A place in the waiting room; left on drop. A place on a node that was already handed over goes to the next.
pub struct Queued {
    shared: Arc<Shared>,
    client: ClientId,
    place: Place,
    since: Instant,
    called: oneshot::Receiver<(usize, Pass)>,
    renewed: watch::Receiver<()>,
}

impl Queued {
    pub(super) fn new(shared: Arc<Shared>, client: ClientId) -> Self {
        let (tell, called) = oneshot::channel();
        let mut desk = shared.desk();
        let place = desk.queue.place(client);
        desk.queue.insert(Waiter { place, client, on: Vec::new(), tell });
        drop(desk);
        let renewed = shared.renewed.subscribe();
        Self { shared, client, place, since: Instant::now(), called, renewed }
    }

    /// How long it has waited.
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waiters before it that wait for one of its nodes.
    pub fn ahead(&self) -> u32 {
        let desk = self.shared.desk();
        let waiters = &desk.queue.waiters;
        let Some(at) = desk.queue.find(self.place) else { return 0 };
        let mine = &waiters[at].on;
        let before = waiters.iter().take(at).filter(|waiter| waiter.on.iter().any(|node| mine.contains(node))).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// Waits for these nodes from now on, without losing its turn. A place that is free already is its own at once, if
    /// nobody came before.
    pub fn wait_on(&mut self, nodes: &[usize]) {
        let mut desk = self.shared.desk();
        if let Some(at) = desk.queue.find(self.place) {
            nodes.clone_into(&mut desk.queue.waiters[at].on);
        }
        let now = Instant::now();
        for index in nodes {
            desk.call_waiters(*index, now);
        }
    }

    /// Waits until its turn comes; `None` when the nodes are others now and are to be looked at again. Dropping the future
    /// loses nothing: what was handed over is received by the next call. Once its turn has come it waits no more.
    pub async fn turn(&mut self, need: &Need<'_>) -> Option<Lease> {
        tokio::select! {
            biased;
            Ok((index, pass)) = &mut self.called => Some(Lease::new(self.shared.clone(), index, pass, need)),
            _ = self.renewed.changed() => None,
        }
    }

    /// Waits on in its old turn: the node that it was called to has gone since.
    pub fn rejoin(&mut self) {
        let (tell, called) = oneshot::channel();
        let queue = &mut self.shared.desk().queue;
        // Rounds begin anew when nobody waits.
        self.place.round = self.place.round.min(queue.round);
        queue.insert(Waiter { place: self.place, client: self.client, on: Vec::new(), tell });
        self.called = called;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        if let Some(at) = desk.queue.find(self.place) {
            desk.queue.remove(at);
        }
        // Under the lock: nobody can call it after this look.
        if let Ok((index, pass)) = self.called.try_recv() {
            desk.give_back(index, 1, pass, Verdict::Nothing, Instant::now());
        }
    }
}
