//! The requests that run or are held at this moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// One request under way, as the event `requests` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Running {
    /// Its `X-Request-ID`.
    pub id: String,
    /// The client's address.
    pub client: String,
    /// The family of its `User-Agent`.
    pub agent: &'static str,
    /// The route as a template.
    pub route: &'static str,
    /// The model as the client named it, clipped.
    pub model: Option<String>,
    /// Who serves it, or shall.
    pub node: Option<String>,
    /// It waits: for a wake, or for a place.
    pub held: bool,
    /// When it came, in Unix seconds.
    pub since: f64,
}

/// All of them, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Live {
    running: Arc<Mutex<Table>>,
    pulse: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    all: BTreeMap<u64, Running>,
}

impl Live {
    pub(super) fn new(pulse: watch::Sender<u64>) -> Self {
        Self { running: Arc::default(), pulse }
    }

    pub(super) fn enter(&self, request: Running) -> Ticket {
        let key = self.change(|table| {
            table.next += 1;
            table.all.insert(table.next, request);
            table.next
        });
        Ticket { live: self.clone(), key }
    }

    pub(super) fn all(&self, most: usize) -> Vec<Running> {
        let table = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        table.all.values().take(most).cloned().collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let done = change(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner));
        super::beat(&self.pulse);
        done
    }
}

/// The place of one request among them, until it is dropped.
#[derive(Debug)]
pub struct Ticket {
    live: Live,
    key: u64,
}

impl Ticket {
    /// Who shall serve it.
    pub fn on_node(&self, name: &str) {
        self.update(|request| request.node = Some(name.to_owned()));
    }

    /// It begins or ends to wait.
    pub fn held(&self, held: bool) {
        self.update(|request| request.held = held);
    }

    fn update(&self, change: impl FnOnce(&mut Running)) {
        self.live.change(|table| table.all.get_mut(&self.key).map(change));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.change(|table| table.all.remove(&self.key));
    }
}
