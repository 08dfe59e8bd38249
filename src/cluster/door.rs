//! What a worker answers itself, for its controllers: `POST /hold` keeps its machine awake for a time, `POST /sleep` sends it to
//! sleep. And the guard of every request that is work.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::access::Access;
use super::controller::{refused, turned_away, wrong_method};
use super::hold::{Holds, Work};
use super::rest::{Refusal, Wishes};
use crate::exporter::Exporter;
use crate::http::{Body, Budget, body, reply};
use crate::values::Kind;

/// A lease is one number.
const LARGEST: usize = 1024;

/// All bodies of leases that are read at once.
const BUFFER: usize = 64 * 1024;

/// A worker's own endpoints. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    access: Access,
    holds: Holds,
    wishes: Wishes,
    exporter: Option<Exporter>,
    budget: Budget,
}

impl Door {
    /// `exporter` watches the Ollama of this machine.
    pub fn new(access: Access, holds: Holds, wishes: Wishes, exporter: Option<Exporter>) -> Self {
        Self(Arc::new(Shared { access, holds, wishes, exporter, budget: Budget::new(BUFFER) }))
    }

    /// Whether a path is one of these endpoints.
    pub fn has(path: &str) -> bool {
        matches!(path, "/hold" | "/sleep")
    }

    /// Whether controllers must show a key.
    pub fn has_key(&self) -> bool {
        self.0.access.has_key()
    }

    /// Who watches the Ollama of this machine.
    pub fn exporter(&self) -> Option<&Exporter> {
        self.0.exporter.as_ref()
    }

    /// The guard of a request, if it is work: whatever only looks holds nobody awake.
    pub fn work(&self, method: &Method) -> Option<Work> {
        let looks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        (!looks).then(|| self.0.holds.work())
    }

    /// Answers a request for one of these endpoints.
    pub async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        if let Err(stranger) = self.0.access.admit(request.headers(), client.ip()) {
            tracing::warn!(client = %client.ip(), path = request.uri().path(), "turned away: {}", stranger.words());
            return turned_away(stranger);
        }
        if request.method() != Method::POST {
            return wrong_method("POST");
        }
        if request.uri().path() == "/sleep" {
            return self.sleep().await;
        }
        match body::read(request.into_body(), LARGEST, &self.0.budget).await {
            Ok(read) => self.hold(read.bytes()),
            Err(fault) if fault.kind == Kind::TooLarge => refused(StatusCode::PAYLOAD_TOO_LARGE, TTL),
            Err(fault) => refused(reply::status(fault.kind), &fault.text),
        }
    }

    fn hold(&self, bytes: &[u8]) -> Response<Body> {
        let Some(ttl) = ttl(bytes) else { return refused(StatusCode::BAD_REQUEST, TTL) };
        let held = self.0.holds.lease(ttl);
        reply::json(StatusCode::OK, &json!({ "held_for": (held.as_secs_f64() * 10.0).round() / 10.0 }))
    }

    async fn sleep(&self) -> Response<Body> {
        match self.0.wishes.sleep().await {
            Ok(()) => reply::json(StatusCode::ACCEPTED, &json!({ "state": "sleeping" })),
            Err(why @ Refusal::Busy) => refused(StatusCode::CONFLICT, &why.to_string()),
            Err(why @ Refusal::Failed(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
        }
    }
}

const TTL: &str = "the body must be {\"ttl\": SECONDS} with more than 0 seconds, or a time such as \"2m\"";

/// A number of seconds, or a text such as `90s`.
fn ttl(bytes: &[u8]) -> Option<Duration> {
    let told: Value = serde_json::from_slice(bytes).ok()?;
    let ttl = match told.get("ttl")? {
        Value::String(text) => humantime::parse_duration(text).ok()?,
        number => Duration::try_from_secs_f64(number.as_f64()?).ok()?,
    };
    (!ttl.is_zero()).then_some(ttl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_seconds_or_a_time_with_its_unit() {
        let of = |text: &str| ttl(text.as_bytes()).map(|ttl| ttl.as_millis());
        assert_eq!(
            [of(r#"{"ttl":120}"#), of(r#"{"ttl":1.5}"#), of(r#"{"ttl":"2m","more":1}"#)],
            [Some(120_000), Some(1500), Some(120_000)]
        );
        for bad in ["", "{}", "[1]", r#"{"ttl":0}"#, r#"{"ttl":-1}"#, r#"{"ttl":1e300}"#, r#"{"ttl":"soon"}"#, r#"{"ttl":null}"#]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
