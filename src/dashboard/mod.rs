//! What pages, widgets and dashboards are told of us: records, live events, summaries. All of it comes from memory; looking
//! at any of it contacts no node.

mod events;
mod facts;
pub mod pages;
mod summary;
mod timeline;
mod topology;

use std::sync::Arc;
use std::time::SystemTime;

use hyper::{HeaderMap, Response, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use crate::fleet::Fleet;
use crate::http::{Body, reply};
use crate::schedule::Scheduler;
use crate::telemetry::journal::{Journal, unix};
use events::Hub;

/// The paths that this room answers to `GET`.
pub const PATHS: [&str; 4] = ["/journal", "/events", "/summary", "/topology.json"];

/// The room. Cheap to clone.
#[derive(Clone)]
pub struct Dashboard {
    house: Arc<House>,
    hub: Hub,
}

/// What there is to tell of.
struct House {
    fleet: Fleet,
    scheduler: Scheduler,
    /// In the owner's currency; a reload may change it.
    price: watch::Receiver<Option<f64>>,
    /// When this program started, in Unix seconds.
    started: f64,
}

impl House {
    fn journal(&self) -> &Journal {
        self.fleet.journal()
    }

    fn price_per_kwh(&self) -> Option<f64> {
        *self.price.borrow()
    }
}

impl Dashboard {
    /// `price` is that of a kilowatt-hour in the owner's currency; `end` turns true when the process is asked to end: then all event
    /// streams end too.
    pub fn new(fleet: Fleet, scheduler: Scheduler, price: watch::Receiver<Option<f64>>, end: watch::Receiver<bool>) -> Self {
        let house = Arc::new(House { fleet, scheduler, price, started: now() });
        Self { hub: Hub::new(house.clone(), end), house }
    }

    /// Answers a `GET` or `HEAD`; `None`: the path is not this room's.
    ///
    /// - `/journal?since=SEQ`: `{"now":T,"last":SEQ,"entries":[ENTRY,…]}`, oldest first; an ENTRY is a
    ///   [`crate::telemetry::journal::Entry`]
    /// - `/events`: see `events`
    /// - `/summary`: one flat object, numbers and strings only, see `summary`
    /// - `/topology.json`: `{"nodes":[…],"edges":[…]}` for Grafana's node graph, see `topology`
    pub fn answer(&self, path: &str, query: Option<&str>, headers: &HeaderMap) -> Option<Response<Body>> {
        Some(match path {
            "/journal" => self.journal(query),
            "/events" => self.hub.answer(headers),
            "/summary" => reply::json(StatusCode::OK, &summary::summary(&self.house)),
            "/topology.json" => reply::json(StatusCode::OK, &topology::graph(&self.house)),
            _ => return None,
        })
    }

    fn journal(&self, query: Option<&str>) -> Response<Body> {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let since = pairs.filter(|(name, _)| *name == "since").find_map(|(_, seq)| seq.parse().ok()).unwrap_or(0);
        let journal = self.house.journal();
        let entries: Vec<_> = journal.since(since).iter().map(|entry| json!(**entry)).collect();
        reply::json(StatusCode::OK, &json!({ "now": now(), "last": journal.last(), "entries": entries }))
    }
}

fn now() -> f64 {
    unix(SystemTime::now())
}
