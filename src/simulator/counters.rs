//! What the simulated server has seen, for tests to look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

/// A copy of the counts at one moment. Requests to `/sim/…` are in none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Requests by method and route, such as `POST /api/chat`; unknown paths under `METHOD other`.
    pub requests: BTreeMap<String, u64>,
    /// Requests in flight now, their bodies included.
    pub running: u64,
    /// Model loads begun.
    pub loads_started: u64,
    /// Model loads that came to their end.
    pub loads_finished: u64,
    /// Model loads thrown away because their client left.
    pub loads_aborted: u64,
    /// Generations begun (a preload is none).
    pub generations_started: u64,
    /// Generations that reached their last token.
    pub generations_finished: u64,
    /// Generations that ended because their client left, or by an injected failure.
    pub generations_cancelled: u64,
    /// TCP connections open now.
    pub connections_open: u64,
    /// TCP connections accepted so far.
    pub connections_total: u64,
    /// Bytes of blob uploads read.
    pub blob_bytes: u64,
    /// The `Host` of the last request.
    pub last_host: Option<String>,
    /// The `Origin` of the last request, `None` when it had none.
    pub last_origin: Option<String>,
    /// All headers of the last request, in order.
    pub last_headers: Vec<(String, String)>,
    /// The body of the last request whose body is JSON, as text.
    pub last_body: String,
}

impl Counters {
    /// How many requests came for `route`, such as `POST /api/chat`.
    pub fn requests(&self, route: &str) -> u64 {
        self.requests.get(route).copied().unwrap_or(0)
    }
}

/// The live counts, shared by everything in one server.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counters: Mutex<Counters>,
    last_work: Mutex<Option<Instant>>,
}

impl Tally {
    pub(super) fn read(&self) -> Counters {
        self.lock().clone()
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.lock());
    }

    /// When work last ended; `None` while any request runs.
    pub(super) fn idle_since(&self, start: Instant) -> Option<Instant> {
        if self.lock().running > 0 {
            return None;
        }
        let last = *self.last_work.lock().unwrap_or_else(PoisonError::into_inner);
        Some(last.map_or(start, |at| at.max(start)))
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request in flight. Work (what a GPU PC would stay awake for) restarts the idle clock when it ends.
#[derive(Debug)]
pub(super) struct InFlight {
    tally: Arc<Tally>,
    work: bool,
}

impl InFlight {
    pub(super) fn new(tally: &Arc<Tally>, work: bool) -> Self {
        tally.note(|c| c.running += 1);
        Self { tally: tally.clone(), work }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.work {
            *self.tally.last_work.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        self.tally.note(|c| c.running -= 1);
    }
}
