//! `GET /events`: everything that a page shows, as it happens, as server-sent events.
//!
//! Each event has an `id` that counts up; every 15 s of silence there is a comment as a heartbeat. Events:
//!
//! - `snapshot`: [`super::facts::snapshot`]; first on connect, and again when `Last-Event-ID` is too old to go on from
//! - `node`: NODE, replaces the node of that name; `{"name":…,"gone":true}` when it was removed
//! - `requests`: `[LIVE,…]`, all that run or are held now; at most twice a second, only when changed
//! - `traffic`: `{"now":T,"nodes":{NAME:{"sent":bytes,"received":bytes,"active":n}}}`, running totals; at most once a second, only
//!   when changed
//! - `journal`: ENTRY; one that comes again under its `seq` has learnt more
//!
//! One `teller` finds out what is new, and only while somebody listens; it hands each event to the bounded queue of every
//! reader. Who does not keep up is dropped: nothing is buffered for him, and he may come back and go on.

mod stream;
mod teller;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{House, facts};
use crate::http::{Body, reply};
use crate::values::{Dialect, Fault, Kind, Retry, boxed};
use stream::EventStream;
use teller::Teller;

/// Readers at once.
const READERS: usize = 256;

/// Events that wait for one reader.
const QUEUE: usize = 256;

/// Bytes that wait for one reader; as many are remembered for those who come back.
const WAITING: usize = 1024 * 1024;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Hands events to all readers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Hub(Arc<Shared>);

struct Shared {
    house: Arc<House>,
    desk: Mutex<Desk>,
    end: watch::Receiver<bool>,
    /// The process ends: streams end in order.
    ended: AtomicBool,
}

struct Desk {
    /// The id of the last event.
    last: u64,
    /// The last events with their ids, for those who come back.
    past: VecDeque<(u64, Bytes)>,
    readers: BTreeMap<u64, Reader>,
    /// Readers so far.
    came: u64,
    /// A teller is at work.
    telling: bool,
}

struct Reader {
    queue: mpsc::Sender<Bytes>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
}

impl Hub {
    pub(super) fn new(house: Arc<House>, end: watch::Receiver<bool>) -> Self {
        // Greater than any id of an earlier run, so that none of those seems to be one of ours.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970 are neither")]
        let last = house.started.max(0.0) as u64 * 1_000_000;
        let desk = Desk { last, past: VecDeque::new(), readers: BTreeMap::new(), came: 0, telling: false };
        Self(Arc::new(Shared { house, desk: Mutex::new(desk), end, ended: AtomicBool::new(false) }))
    }

    /// A stream from now on, or from where `Last-Event-ID` left off; 503 when too many read already.
    pub(super) fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let last_seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).and_then(|id| id.trim().parse().ok());
        let Some(stream) = self.join(last_seen) else {
            let text =
                "as many pages as may follow the events do so already, or the proxy is ending; close one or try again later";
            return reply::fault(&Fault::ours(Kind::Busy, Retry::After(Duration::from_secs(30)), text), Dialect::Native);
        };
        let mut response = Response::new(stream.boxed_unsync());
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // nginx would collect events until its buffer is full.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        response
    }

    fn join(&self, last_seen: Option<u64>) -> Option<EventStream> {
        let mut desk = self.desk();
        if desk.readers.len() >= READERS || self.0.ended.load(Ordering::Relaxed) || *self.0.end.borrow() {
            return None;
        }
        if !desk.telling {
            desk.telling = true;
            // It begins with what is known before the snapshot is made, so that no change falls between the two.
            tokio::spawn(boxed(Teller::new(self.clone()).run()));
        }
        let mut first = VecDeque::from([Bytes::from_static(b"retry: 2000\n\n")]);
        match last_seen.and_then(|id| desk.missed(id)) {
            Some(missed) => first.extend(missed),
            None => first.push_back(event(desk.last, "snapshot", &facts::snapshot(&self.0.house))),
        }
        let (queue, news) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        desk.came += 1;
        let number = desk.came;
        desk.readers.insert(number, Reader { queue, waiting: waiting.clone() });
        Some(EventStream { first, news, waiting, number, hub: self.clone() })
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all readers.
    fn tell(&self, kind: &str, data: &Value) {
        let mut desk = self.desk();
        desk.last += 1;
        let id = desk.last;
        let text = event(id, kind, data);
        desk.remember(id, text.clone());
        desk.send(&text);
    }

    /// A sign of life for connections and those between.
    fn beat(&self) {
        self.desk().send(&Bytes::from_static(b":\n\n"));
    }

    /// The process ends: all streams end in order.
    fn end(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
        self.desk().readers.clear();
    }

    /// Whether streams end in order when their queue does.
    fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    fn leave(&self, number: u64) {
        self.desk().readers.remove(&number);
    }

    fn has_readers(&self) -> bool {
        !self.desk().readers.is_empty()
    }

    /// Nobody has listened for a while. `false`: somebody came at this very moment.
    fn rest(&self) -> bool {
        let mut desk = self.desk();
        if !desk.readers.is_empty() {
            return false;
        }
        desk.telling = false;
        desk.past.clear();
        // What happens from now on is told to nobody: no id of before leads on from here.
        desk.last += 1;
        true
    }
}

impl Desk {
    fn send(&mut self, text: &Bytes) {
        self.readers.retain(|number, reader| {
            let waiting = reader.waiting.fetch_add(text.len(), Ordering::Relaxed) + text.len();
            let keeps_up = waiting <= WAITING && reader.queue.try_send(text.clone()).is_ok();
            if !keeps_up {
                tracing::debug!(reader = number, waiting, "a reader of events does not keep up and is dropped");
            }
            keeps_up
        });
    }

    fn remember(&mut self, id: u64, text: Bytes) {
        self.past.push_back((id, text));
        let mut bytes: usize = self.past.iter().map(|(_, text)| text.len()).sum();
        while self.past.len() > QUEUE || bytes > WAITING {
            match self.past.pop_front() {
                Some((_, text)) => bytes -= text.len(),
                None => break,
            }
        }
    }

    /// What was told after this id; `None` when not all of it is remembered.
    fn missed(&self, id: u64) -> Option<Vec<Bytes>> {
        // A rest makes a gap, so that whoever has the last id has missed nothing.
        if id == self.last {
            return Some(Vec::new());
        }
        let first = self.past.front()?.0;
        let known = id + 1 >= first && id <= self.last;
        known.then(|| self.past.iter().filter(|(told, _)| *told > id).map(|(_, text)| text.clone()).collect())
    }
}

/// One event in the form of the wire; JSON has no line breaks of its own.
fn event(id: u64, kind: &str, data: &Value) -> Bytes {
    Bytes::from(format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests;
