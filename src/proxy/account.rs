//! One line per request, written when it ends or is dropped: never prompts, never keys.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::time::Instant;

use super::metrics::{Account, End, Metrics, method_label};
use super::tally::Figures;
use crate::classify::{Ask, Class};
use crate::fleet::Node;
use crate::http::headers;
use crate::values::{Fault, Kind};

/// What all steps of a request share. Its drop accounts for the request.
pub struct Trace {
    id: HeaderValue,
    client: SocketAddr,
    agent: String,
    metrics: Metrics,
    method: Method,
    route: &'static str,
    model: Option<String>,
    infers: bool,
    node: Option<Node>,
    provider: Option<&'static str>,
    started: Instant,
    held: Option<f64>,
    first_byte: Option<f64>,
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
    pub fn begin(request: &Request<Incoming>, client: SocketAddr, metrics: Metrics) -> Self {
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Self {
            id: headers::given_request_id(request.headers()).unwrap_or_else(new_id),
            client,
            agent: agent.chars().take(60).collect(),
            metrics,
            method: request.method().clone(),
            route: "other",
            model: None,
            infers: false,
            node: None,
            provider: None,
            started: Instant::now(),
            held: None,
            first_byte: None,
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
        self.infers = ask.class == Class::Inference;
    }

    /// Who shall serve it.
    pub fn on_node(&mut self, node: &Node) {
        self.node = Some(node.clone());
    }

    /// Which cloud provider serves it.
    pub fn on_provider(&mut self, word: &'static str) {
        self.provider = Some(word);
    }

    /// It waited for a wake or a place.
    pub fn was_held(&mut self, time: Duration) {
        self.held = Some(self.held.unwrap_or_default() + time.as_secs_f64());
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
            agent: std::mem::take(&mut self.agent),
            metrics: self.metrics.clone(),
            method: self.method.clone(),
            model: self.model.take(),
            node: self.node.take(),
            fault: self.fault.take(),
            status: status.as_u16(),
            outcome: Outcome::Open,
            moved: false,
            ..*self
        }
    }

    /// Who asks and for what, for the log of a wake.
    pub fn cause(&self) -> String {
        let (client, route) = (self.client.ip(), self.route);
        let agent = if self.agent.is_empty() { "unnamed client" } else { &self.agent };
        match &self.model {
            Some(model) => format!("{route} {model} from {client} ({agent})"),
            None => format!("{route} from {client} ({agent})"),
        }
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
            end,
            took,
            model: self.model.as_deref().filter(|_| self.infers),
            figures: self.figures,
            first_token: first.and_then(|first| seconds(first - self.held.unwrap_or_default())),
            streamed: first.and_then(|first| seconds(took.as_secs_f64() - first)),
        });
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.moved {
            return;
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
            client = %self.client.ip(),
            method = self.method.as_str(),
            route = self.route,
            model = self.model,
            node = self.node.as_ref().map(|node| node.name().as_str()).or(self.provider),
            status,
            outcome,
            held = self.held.map(rounded),
            first_byte = self.first_byte.map(rounded),
            took = rounded(self.started.elapsed().as_secs_f64()),
            bytes = self.bytes,
            why = self.fault,
            "request"
        );
        self.count();
    }
}

/// Milliseconds are enough for a reader.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Sixteen hex digits that no other request of this house has. The hasher's keys are random per call, and no secret
/// depends on them.
fn new_id() -> HeaderValue {
    let text = format!("{:016x}", RandomState::new().hash_one(Instant::now()));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("0"))
}
