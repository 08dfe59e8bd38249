//! One line per request in the log and one entry in the journal, written when it ends or is dropped: never prompts, never keys.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::time::Instant;

use super::metrics::{Account, End, Metrics, Reason, method_label};
use super::tally::Figures;
use crate::classify::{Ask, Class};
use crate::fleet::Node;
use crate::http::headers;
use crate::telemetry::journal::{self, Cause, Journal, Running, Ticket};
use crate::values::{Fault, Kind, ModelKey, agent_family};

/// What all steps of a request share. Its drop accounts for the request.
pub struct Trace {
    id: HeaderValue,
    client: SocketAddr,
    /// The client's address in words: it is told three times.
    address: String,
    agent: &'static str,
    metrics: Metrics,
    journal: Journal,
    /// Its place among the running requests; none for what only asks for lists.
    ticket: Option<Ticket>,
    method: Method,
    route: &'static str,
    model: Option<String>,
    key: Option<ModelKey>,
    infers: bool,
    node: Option<Node>,
    provider: Option<&'static str>,
    /// Of a provider's: its name as listed.
    cloud_model: Option<String>,
    started: Instant,
    /// What it waits for now, and since when.
    holding: Option<(Reason, Instant)>,
    held: Option<f64>,
    queued: Option<f64>,
    first_byte: Option<f64>,
    brought: u64,
    bytes: u64,
    status: u16,
    outcome: Outcome,
    failed_by: Option<Kind>,
    streams: bool,
    figures: Figures,
    fault: Option<String>,
    moved: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Still under way; at the drop this means that the client left.
    Open,
    /// Answered whole.
    Done,
    /// Failed before or within the answer.
    Failed,
}

impl Trace {
    /// Begins the account of a request.
    pub fn begin(request: &Request<Incoming>, client: SocketAddr, metrics: Metrics, journal: &Journal) -> Self {
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Self {
            id: headers::given_request_id(request.headers()).unwrap_or_else(new_id),
            client,
            address: in_words(client.ip()),
            agent: agent_family(agent),
            metrics,
            journal: journal.clone(),
            ticket: None,
            method: request.method().clone(),
            route: "other",
            model: None,
            key: None,
            infers: false,
            node: None,
            provider: None,
            cloud_model: None,
            started: Instant::now(),
            holding: None,
            held: None,
            queued: None,
            first_byte: None,
            brought: request.body().size_hint().exact().unwrap_or_default(),
            bytes: 0,
            status: 0,
            outcome: Outcome::Open,
            failed_by: None,
            streams: false,
            figures: Figures::default(),
            fault: None,
            moved: false,
        }
    }

    /// The request's id.
    pub fn id(&self) -> &HeaderValue {
        &self.id
    }

    /// When it came.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What it asks for.
    pub fn classified(&mut self, ask: &Ask) {
        self.route = ask.route;
        self.model.clone_from(&ask.model);
        self.key.clone_from(&ask.key);
        self.infers = ask.class == Class::Inference;
        if !matches!(ask.class, Class::Metadata(_)) {
            self.ticket = Some(self.journal.enter(self.running()));
        }
    }

    fn running(&self) -> Running {
        Running {
            id: self.id.to_str().unwrap_or_default().to_owned(),
            client: self.address.clone(),
            agent: self.agent,
            route: self.route,
            model: self.kept_model(),
            node: None,
            held: false,
            since: journal::unix(SystemTime::now()),
        }
    }

    fn kept_model(&self) -> Option<String> {
        self.model.as_deref().map(|model| journal::clipped(model, journal::MODEL))
    }

    /// So many bytes came with it.
    pub fn brought(&mut self, bytes: usize) {
        self.brought = bytes as u64;
    }

    /// It begins to wait.
    pub(super) fn holds(&mut self, reason: Reason) {
        if self.holding.is_none() {
            self.holding = Some((reason, Instant::now()));
            self.show_held(true);
        }
    }

    fn show_held(&self, held: bool) {
        if let Some(ticket) = &self.ticket {
            ticket.held(held);
        }
    }

    /// Who shall serve it.
    pub fn on_node(&mut self, node: &Node) {
        self.node = Some(node.clone());
        if let Some(ticket) = &self.ticket {
            ticket.on_node(node.name().as_str());
        }
    }

    /// Which cloud provider serves it, and its name for the model.
    pub fn on_provider(&mut self, word: &'static str, model: &str) {
        self.provider = Some(word);
        self.cloud_model = Some(model.to_owned());
    }

    /// It waited for a wake or a place.
    pub(super) fn was_held(&mut self, reason: Reason, time: Duration) {
        self.holding = None;
        self.show_held(false);
        self.add_wait(reason, time);
    }

    fn add_wait(&mut self, reason: Reason, time: Duration) {
        let sum = match reason {
            Reason::Wake => &mut self.held,
            Reason::Capacity => &mut self.queued,
        };
        *sum.get_or_insert_default() += time.as_secs_f64();
    }

    /// Held for a wake or a place.
    fn waited(&self) -> Option<f64> {
        [self.held, self.queued].into_iter().flatten().reduce(|held, queued| held + queued)
    }

    /// It failed.
    pub fn failed(&mut self, fault: &Fault) {
        self.failed_by = Some(fault.kind);
        self.broke(&fault.text);
    }

    /// Its answer broke off, or never began.
    pub fn broke(&mut self, why: &str) {
        self.outcome = Outcome::Failed;
        self.fault = Some(why.to_owned());
    }

    /// Its head has been sent. What is not relayed is thereby done.
    pub fn replied(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        if self.outcome == Outcome::Open {
            self.outcome = Outcome::Done;
        }
    }

    /// So many bytes passed.
    pub fn passed(&mut self, bytes: usize) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.started.elapsed().as_secs_f64());
            if let Some(node) = self.node.as_ref().filter(|_| self.held.is_some()) {
                node.first_byte();
            }
        }
        self.bytes += bytes as u64;
    }

    /// It is an answer in pieces: the first of them is worth timing.
    pub fn streams(&mut self) {
        self.streams = self.infers;
    }

    /// What its end told.
    pub(super) fn told(&mut self, figures: Figures) {
        self.figures = figures;
    }

    /// Whole.
    pub fn done(&mut self) {
        if self.outcome == Outcome::Open {
            self.outcome = Outcome::Done;
        }
    }

    /// How it stands.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Hands the account on to the body, which ends later than the handler.
    pub fn hand_on(&mut self, status: StatusCode) -> Self {
        self.moved = true;
        Self {
            id: self.id.clone(),
            address: std::mem::take(&mut self.address),
            metrics: self.metrics.clone(),
            journal: self.journal.clone(),
            ticket: self.ticket.take(),
            method: self.method.clone(),
            model: self.model.take(),
            key: self.key.take(),
            node: self.node.take(),
            cloud_model: self.cloud_model.take(),
            fault: self.fault.take(),
            status: status.as_u16(),
            outcome: Outcome::Open,
            moved: false,
            ..*self
        }
    }

    /// Who asks and for what, should it wake a node.
    pub fn cause(&self) -> Cause {
        Cause::request(self.client.ip(), self.agent, self.route, self.model.as_deref())
    }
}

impl Trace {
    fn count(&self) {
        let end = match self.outcome {
            Outcome::Open => End::Left,
            Outcome::Failed if self.failed_by == Some(Kind::Timeout) => End::Timeout,
            Outcome::Failed if self.first_byte.is_some() => End::Error,
            Outcome::Done | Outcome::Failed => End::Status(self.status),
        };
        let (took, first) = (self.started.elapsed(), self.first_byte.filter(|_| self.streams));
        let seconds = |seconds| Duration::try_from_secs_f64(seconds).ok();
        self.metrics.account(&Account {
            method: method_label(&self.method),
            route: self.route,
            node: self.node.as_ref(),
            provider: self.provider,
            cloud_model: self.cloud_model.as_deref(),
            end,
            took,
            model: self.key.as_ref().filter(|_| self.infers),
            figures: self.figures,
            first_token: first.and_then(|first| seconds(first - self.waited().unwrap_or_default())),
            streamed: first.and_then(|first| seconds(took.as_secs_f64() - first)),
        });
    }

    /// For the journal: all but what was said.
    fn write_down(&self, status: u16, outcome: &'static str) {
        let request = journal::Request {
            client: self.address.clone(),
            agent: self.agent.into(),
            method: method_label(&self.method).into(),
            route: self.route.into(),
            model: self.kept_model(),
            status,
            seconds: journal::seconds(self.started.elapsed()),
            held_seconds: self.held.map(journal::rounded),
            queued_seconds: self.queued.map(journal::rounded),
            first_byte_seconds: self.first_byte.map(journal::rounded),
            bytes_in: self.brought,
            bytes_out: self.bytes,
            tokens_in: self.figures.input,
            tokens_out: self.figures.output,
            outcome: outcome.into(),
        };
        let node = self.node.as_ref().map(|node| node.name().as_str());
        self.journal.note(node, journal::Event::Request(Box::new(request)));
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        // Whoever leaves while waiting has waited, too.
        if let Some((reason, since)) = self.holding.take() {
            self.add_wait(reason, since.elapsed());
        }
        // nginx's number for a client that left; not a fault of any node.
        let status = if self.outcome == Outcome::Open { 499 } else { self.status };
        let outcome = match self.outcome {
            Outcome::Open => "client_left",
            Outcome::Done => "done",
            Outcome::Failed => "failed",
        };
        tracing::info!(
            id = self.id.to_str().unwrap_or_default(),
            client = %self.address,
            method = self.method.as_str(),
            route = self.route,
            model = self.model,
            node = self.node.as_ref().map(|node| node.name().as_str()).or(self.provider),
            status,
            outcome,
            held = self.waited().map(journal::rounded),
            first_byte = self.first_byte.map(journal::rounded),
            took = journal::seconds(self.started.elapsed()),
            bytes = self.bytes,
            why = self.fault,
            "request"
        );
        self.count();
        if self.ticket.take().is_some() {
            self.write_down(status, outcome);
        }
    }
}

/// A UUID, which some servers insist on, that no other request of this house has. The hasher's keys are random per call,
/// and no secret depends on them.
fn new_id() -> HeaderValue {
    let hash = || RandomState::new().hash_one(Instant::now());
    // Version 4, variant 1.
    let mut left = (u128::from(hash()) << 64 | u128::from(hash())) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    // Digit by digit: formatting costs several times as much, and so with addresses.
    for place in text.iter_mut().rev().filter(|place| **place != b'-') {
        *place = b"0123456789abcdef"[(left & 0xf) as usize];
        left >>= 4;
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

/// An address as people write it.
fn in_words(address: IpAddr) -> String {
    const LONGEST: usize = "255.255.255.255".len();
    let IpAddr::V4(address) = address.to_canonical() else { return address.to_string() };
    let mut text = String::with_capacity(LONGEST);
    for (at, part) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (least, digit) in [(100, part / 100), (10, part / 10 % 10), (0, part % 10)] {
            if part >= least {
                text.push(char::from(b'0' + digit));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_as_people_write_it() {
        for text in ["0.0.0.0", "127.0.0.1", "192.168.10.105", "255.100.99.9", "fe80::1"] {
            assert_eq!(in_words(text.parse().unwrap()), text);
        }
        assert_eq!(in_words("::ffff:10.0.0.5".parse().unwrap()), "10.0.0.5");
    }

    #[test]
    fn a_made_id_is_a_uuid_of_the_random_kind() {
        for _ in 0..100 {
            let id = new_id();
            let text = id.to_str().unwrap();
            assert!(headers::is_uuid(&id) && text.len() == 36, "{text}");
            assert_eq!((&text[14..15], "89ab".contains(&text[19..20])), ("4", true), "{text}");
        }
        assert_ne!(new_id(), new_id());
    }
}
