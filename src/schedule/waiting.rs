//! The waiting room: who came first is served first, among all nodes that would do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::breaker::{Pass, Verdict};
use super::desk::{Lease, Shared};
use super::survey::Need;

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    last: u64,
}

struct Waiter {
    ticket: u64,
    /// The nodes that would do.
    on: Vec<usize>,
    /// Taken when called.
    tell: oneshot::Sender<(usize, Pass)>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether somebody waits for this node.
    pub(super) fn wants(&self, index: usize) -> bool {
        self.waiters.iter().any(|waiter| waiter.on.contains(&index))
    }

    /// Calls the first who waits for this node; `false` when that one has just left.
    pub(super) fn call(&mut self, index: usize, pass: Pass) -> bool {
        let first = self.waiters.iter().position(|waiter| waiter.on.contains(&index));
        let called = first.and_then(|at| self.waiters.remove(at));
        called.is_some_and(|waiter| waiter.tell.send((index, pass)).is_ok())
    }
}

/// A place in the waiting room; left on drop. A place on a node that was already handed over goes to the next.
pub struct Queued {
    shared: Arc<Shared>,
    ticket: u64,
    since: Instant,
    called: oneshot::Receiver<(usize, Pass)>,
    renewed: watch::Receiver<()>,
}

impl Queued {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let (tell, called) = oneshot::channel();
        let mut desk = shared.desk();
        desk.queue.last += 1;
        let ticket = desk.queue.last;
        desk.queue.waiters.push_back(Waiter { ticket, on: Vec::new(), tell });
        drop(desk);
        let renewed = shared.renewed.subscribe();
        Self { shared, ticket, since: Instant::now(), called, renewed }
    }

    /// How long it has waited.
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waiters before it that wait for one of its nodes.
    pub fn ahead(&self) -> u32 {
        let desk = self.shared.desk();
        let waiters = &desk.queue.waiters;
        let Some(at) = waiters.iter().position(|waiter| waiter.ticket == self.ticket) else { return 0 };
        let mine = &waiters[at].on;
        let before = waiters.iter().take(at).filter(|waiter| waiter.on.iter().any(|node| mine.contains(node))).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// Waits for these nodes from now on, without losing its turn. A place that is free already is its own at once, if
    /// nobody came before.
    pub fn wait_on(&mut self, nodes: &[usize]) {
        let mut desk = self.shared.desk();
        if let Some(waiter) = desk.queue.waiters.iter_mut().find(|waiter| waiter.ticket == self.ticket) {
            nodes.clone_into(&mut waiter.on);
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
        let mut desk = self.shared.desk();
        let waiters = &mut desk.queue.waiters;
        let at = waiters.iter().position(|waiter| waiter.ticket > self.ticket).unwrap_or(waiters.len());
        waiters.insert(at, Waiter { ticket: self.ticket, on: Vec::new(), tell });
        self.called = called;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        desk.queue.waiters.retain(|waiter| waiter.ticket != self.ticket);
        // Under the lock: nobody can call it after this look.
        if let Ok((index, pass)) = self.called.try_recv() {
            desk.give_back(index, 1, pass, Verdict::Nothing, Instant::now());
        }
    }
}
