//! The internal routes: registration, heartbeat, list, removal.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::access::{Access, Stranger};
use super::message::{Heartbeat, Registration, Status};
use super::registry::{Heard, NotTaken, Registry, Worker};
use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node};
use crate::http::{Body, Budget, body, reply};
use crate::schedule::Scheduler;
use crate::telemetry::journal::{Event, Unused};
use crate::values::{Kind, ModelName, decoded};

/// A registration has some hundred bytes.
const LARGEST: usize = 64 * 1024;

/// All bodies of workers that are read at once.
const BUFFER: usize = 1024 * 1024;

/// Answers workers. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Controller(Arc<Shared>);

struct Shared {
    registry: Registry,
    access: Access,
    fleet: Fleet,
    scheduler: Scheduler,
    budget: Budget,
}

impl Controller {
    /// Its workers become nodes of the fleet by way of the registry's changes.
    pub fn new(registry: Registry, access: Access, fleet: Fleet, scheduler: Scheduler) -> Self {
        Self(Arc::new(Shared { registry, access, fleet, scheduler, budget: Budget::new(BUFFER) }))
    }

    /// The routes, as templates, and what they take.
    pub const ROUTES: [(&str, &str); 4] = [
        ("/internal/workers", "GET, HEAD"),
        ("/internal/workers/register", "POST"),
        ("/internal/workers/heartbeat", "POST"),
        ("/internal/workers/{id}", "DELETE"),
    ];

    /// Whether a path is one of these routes.
    pub fn has(path: &str) -> bool {
        path.strip_prefix("/internal/workers").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether workers must show a key.
    pub fn has_key(&self) -> bool {
        self.0.access.has_key()
    }

    /// Answers a request for one of these routes.
    pub async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        if let Err(stranger) = self.0.access.admit(request.headers(), client.ip()) {
            tracing::warn!(client = %client.ip(), path = request.uri().path(), "turned away: {}", stranger.words());
            return turned_away(stranger);
        }
        let path = request.uri().path().trim_start_matches("/internal/workers").trim_start_matches('/').to_owned();
        match (path.as_str(), request.method().clone()) {
            ("", Method::GET | Method::HEAD) => self.list(request.uri().query()),
            ("register", Method::POST) => match self.read(request).await {
                Ok(told) => self.register(told, client.ip()).await,
                Err(answer) => answer,
            },
            ("heartbeat", Method::POST) => match self.read(request).await {
                Ok(said) => self.heartbeat(said, client.ip()),
                Err(answer) => answer,
            },
            ("", _) => wrong_method("GET, HEAD"),
            ("register" | "heartbeat", _) => wrong_method("POST"),
            (id, Method::DELETE) => self.remove(id, request.uri().query()).await,
            (_, _) => wrong_method("DELETE"),
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request<Incoming>) -> Result<T, Response<Body>> {
        let read = body::read(request.into_body(), LARGEST, &self.0.budget).await;
        let read = read.map_err(|fault| match fault.kind {
            Kind::TooLarge => {
                refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 64 KiB; no worker has so much to say")
            }
            kind => refused(reply::status(kind), &fault.text),
        })?;
        serde_json::from_slice(read.bytes())
            .map_err(|bad| refused(StatusCode::BAD_REQUEST, &format!("the body is not the JSON that is expected here: {bad}")))
    }

    async fn register(&self, told: Registration, peer: IpAddr) -> Response<Body> {
        let asleep = told.is_sleeping();
        let registered = match self.0.registry.register(told, peer) {
            Ok(registered) => registered,
            Err(why) => return not_taken(&why),
        };
        self.0.registry.in_force(registered.change).await;
        if registered.is_new {
            tracing::info!(worker = %registered.id, node = %registered.node, address = %peer, "registered");
        }
        if let Some(node) = self.0.fleet.find(registered.node.as_str()) {
            if asleep {
                node.goes_to_sleep();
            } else {
                hears_from(&node, peer);
                node.relisted();
            }
        }
        let status = if registered.is_new { StatusCode::CREATED } else { StatusCode::OK };
        let told = json!({ "worker_id": registered.id, "status": "registered", "node": registered.node.as_str() });
        reply::json(status, &told)
    }

    fn heartbeat(&self, said: Heartbeat, peer: IpAddr) -> Response<Body> {
        let id = said.worker_id.clone();
        let loaded = said.loaded_models.is_some();
        let Some(Heard { worker, is_old, relisted, wastes }) = self.0.registry.heard(said, peer) else {
            return refused(
                StatusCode::NOT_FOUND,
                "this worker is not registered here, or another process is by its name: register again",
            );
        };
        if is_old {
            return reply::json(StatusCode::OK, &json!({ "status": "ok" }));
        }
        if wastes {
            let unused =
                Unused { seconds: worker.told.power.unused.unwrap_or_default(), why: worker.told.power.why_awake.clone() };
            self.0.fleet.journal().note(Some(worker.name.as_str()), Event::Unused(unused));
        }
        if let Some(node) = self.0.fleet.find(worker.name.as_str()) {
            match worker.status {
                Status::Healthy => hears_from(&node, peer),
                Status::Unhealthy => node.service_is_down(),
                Status::Sleeping => {
                    tracing::info!(worker = %id, node = %worker.name, "it says that it goes to sleep");
                    node.goes_to_sleep();
                }
                Status::Draining => {}
            }
            if relisted && worker.status == Status::Healthy {
                node.relisted();
            }
            self.0.scheduler.works_elsewhere(node.slot(), worker.load);
            if loaded {
                self.0.scheduler.has_loaded(node.slot(), &worker.told.loaded_models);
            }
        }
        reply::json(StatusCode::OK, &json!({ "status": "ok" }))
    }

    async fn remove(&self, id: &str, query: Option<&str>) -> Response<Body> {
        let force = flag(query, "force");
        let Some(change) = self.0.registry.leaves(id, force) else {
            return refused(StatusCode::NOT_FOUND, "there is no such worker");
        };
        self.0.registry.in_force(change).await;
        tracing::info!(worker = id, force, "leaves");
        let status = if force { "removed" } else { "draining" };
        reply::json(StatusCode::OK, &json!({ "worker_id": id, "status": status }))
    }

    fn list(&self, query: Option<&str>) -> Response<Body> {
        let wanted = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("model_id=")));
        let workers: Vec<Value> = self
            .0
            .registry
            .all()
            .into_iter()
            .filter(|(_, worker)| wanted.is_none_or(|model| self.serves(worker, &decoded(model))))
            .map(|(id, worker)| self.told_of(&id, &worker))
            .collect();
        reply::json(StatusCode::OK, &json!({ "total": workers.len(), "workers": workers }))
    }

    fn serves(&self, worker: &Worker, model: &str) -> bool {
        let canonical = |name: &str| ModelName::parse(name).map_or_else(|| name.to_owned(), |name| name.canonical());
        match &worker.told.model_id {
            Some(own) => canonical(own) == canonical(model),
            None => self.0.fleet.find(worker.name.as_str()).is_some_and(|node| node.view().holding.find(model).is_some()),
        }
    }

    fn told_of(&self, id: &str, worker: &Worker) -> Value {
        let node = self.0.fleet.find(worker.name.as_str());
        let slot = node.as_ref().map(Node::slot);
        let told = &worker.told;
        json!({
            "worker_id": id,
            "model_id": told.model_id,
            "endpoint": format!("http://{}", worker.at),
            "status": worker.status.word(),
            "current_load": worker.load,
            "capacity": slot.map(|slot| self.0.scheduler.places(slot).1).filter(|places| *places < u32::MAX).or(told.capacity),
            "circuit_state": slot.map(|slot| self.0.scheduler.circuit(slot).word()),
            "last_heartbeat": worker.heard_at.map(rfc3339),
            "node": worker.name.as_str(),
            "state": node.as_ref().map(Node::state),
            "leases": slot.map(|slot| self.0.scheduler.places(slot).0),
            "power": told.power,
            "mac": told.mac_of(worker.at.ip()).map(|mac| mac.to_string()),
            "interfaces": told.interfaces,
            "os": told.os,
            "version": told.version,
            "loaded_models": told.loaded_models,
            "slots": worker.slots,
        })
    }
}

/// A worker that says that it is well is awake, also when it has just said that it goes to sleep: words come in their order.
fn hears_from(node: &Node, peer: IpAddr) {
    if matches!(node.view().power, Power::Suspending { .. }) {
        node.stays_awake();
    }
    node.answered(peer.to_canonical());
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// `?force`, `?force=true` and `?force=1`.
fn flag(query: Option<&str>, name: &str) -> bool {
    let is_set = |pair: &str| matches!(pair.strip_prefix(name), Some("" | "=" | "=1" | "=true"));
    query.is_some_and(|query| query.split('&').any(is_set))
}

fn not_taken(why: &NotTaken) -> Response<Body> {
    match why {
        NotTaken::Refused(refusal) => {
            tracing::warn!("a registration was refused: {refusal}");
            refused(StatusCode::BAD_REQUEST, &refusal.to_string())
        }
        NotTaken::Ourselves => refused(StatusCode::BAD_REQUEST, "this address and port are the controller itself"),
        NotTaken::Full => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "there are as many workers as this controller takes; remove one")
        }
    }
}

pub(super) fn turned_away(stranger: Stranger) -> Response<Body> {
    let status = if stranger == Stranger::WithoutKey { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
    let mut response = refused(status, stranger.words());
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

pub(super) fn refused(status: StatusCode, why: &str) -> Response<Body> {
    reply::json(status, &json!({ "error": why }))
}

pub(super) fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, &format!("this endpoint takes {allowed}"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
