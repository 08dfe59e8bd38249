//! One line per request, written when it ends or is dropped: never prompts, never keys.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use hyper::Request;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use tokio::time::Instant;

use crate::classify::Ask;
use crate::fleet::Node;
use crate::http::headers;
use crate::values::Fault;

/// What all steps of a request share. Its drop accounts for the request.
pub struct Trace {
    id: HeaderValue,
    client: SocketAddr,
    agent: String,
    method: String,
    route: &'static str,
    model: Option<String>,
    node: Option<String>,
    started: Instant,
    held: Option<f64>,
    first_byte: Option<f64>,
    bytes: u64,
    status: u16,
    outcome: Outcome,
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
    pub fn begin(request: &Request<Incoming>, client: SocketAddr) -> Self {
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Self {
            id: headers::given_request_id(request.headers()).unwrap_or_else(new_id),
            client,
            agent: agent.chars().take(60).collect(),
            method: request.method().to_string(),
            route: "other",
            model: None,
            node: None,
            started: Instant::now(),
            held: None,
            first_byte: None,
            bytes: 0,
            status: 0,
            outcome: Outcome::Open,
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
    }

    /// Who shall serve it.
    pub fn on_node(&mut self, node: &Node) {
        self.node = Some(node.name().to_string());
    }

    /// It waited for a wake.
    pub fn held_for(&mut self, time: std::time::Duration) {
        self.held = Some(self.held.unwrap_or_default() + time.as_secs_f64());
    }

    /// It failed.
    pub fn failed(&mut self, fault: &Fault) {
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
            method: std::mem::take(&mut self.method),
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
            method = self.method,
            route = self.route,
            model = self.model,
            node = self.node,
            status,
            outcome,
            held = self.held.map(rounded),
            first_byte = self.first_byte.map(rounded),
            took = rounded(self.started.elapsed().as_secs_f64()),
            bytes = self.bytes,
            why = self.fault,
            "request"
        );
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
