//! What requests leave behind on a node: how many run and wait there, how many there were, when it last answered.
//!
//! Kept apart from the view, so that the answers of an awake node cost its keeper nothing, and handed on when the
//! settings of a node change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The counts of one node; guards count down when they are dropped.
pub(super) struct Traffic {
    born: Instant,
    /// Milliseconds from `born` to the last answer, plus one; 0: none yet.
    seen: AtomicU64,
    in_flight: AtomicUsize,
    total: AtomicU64,
    failed: AtomicU64,
    held: AtomicUsize,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            seen: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            held: AtomicUsize::new(0),
        }
    }
}

impl Traffic {
    /// For another machine under the same name: the sums go on, all else was said of the old one.
    pub(super) fn of_another_machine(&self) -> Self {
        let (total, failed) = self.totals();
        Self { total: AtomicU64::new(total), failed: AtomicU64::new(failed), ..Self::default() }
    }

    pub(super) fn last_seen(&self) -> Option<Instant> {
        let seen = self.seen.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.born + Duration::from_millis(seen))
    }

    pub(super) fn seen_now(&self) {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.seen.store(now + 1, Ordering::Relaxed);
    }

    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    pub(super) fn hold(self: &Arc<Self>) -> Held {
        self.held.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    pub(super) fn active(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn totals(&self) -> (u64, u64) {
        (self.total.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    pub(super) fn count_failure(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request in flight on a node.
pub struct InFlight(Arc<Traffic>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request that waits for a node to wake.
pub struct Held(Arc<Traffic>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
