//! Answers that need no GPU: metadata from the catalog, unloads of what sleeps. None of it waits for a sleeping node.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Proxy;
use crate::catalog::{self, Cached, Lookup};
use crate::classify::{Ask, Class, Metadata, Shape};
use crate::fleet::{Node, View};
use crate::http::{Body, body, headers, reply};
use crate::upstream::{self, Call};
use crate::values::{Fault, Kind, Retry};

/// A node in use that has not told its running models by then is left out.
const PS: Duration = Duration::from_secs(2);

impl Proxy {
    /// `None`: the ask needs a node.
    pub(super) async fn answer_from_catalog(&self, ask: &Ask, head: &Parts) -> Result<Option<Response<Body>>, Fault> {
        match &ask.class {
            Class::Metadata(metadata) => self.metadata(metadata, ask, head).await,
            Class::Unload(shape) => Ok(self.unload_of_a_sleeper(*shape, ask).await),
            Class::Inference | Class::Mutation(_) | Class::Other { .. } => Ok(None),
        }
    }

    async fn metadata(&self, metadata: &Metadata, ask: &Ask, head: &Parts) -> Result<Option<Response<Body>>, Fault> {
        let nodes = self.0.fleet.nodes();
        let askable = nodes.iter().any(Node::may_be_asked);
        // For strict test servers: what they get is what the client sent, no more.
        if self.0.settings.no_own_calls && askable {
            return Ok(None);
        }
        if *metadata == Metadata::Ps {
            return Ok(Some(self.running().await));
        }
        let lookup = self.look_up(metadata, ask, head);
        for node in nodes {
            node.list_asked();
        }
        match lookup {
            // A node that may be asked tells better than a catalog that cannot; a sleeping one is left alone.
            Lookup::Unlisted | Lookup::Unknown if askable => Ok(None),
            lookup => told(lookup, ask, head).map(Some),
        }
    }

    /// The answer when no node can be asked, though one seemed to be awake.
    pub(super) fn answer_from_memory(&self, metadata: &Metadata, ask: &Ask, head: &Parts) -> Result<Response<Body>, Fault> {
        told(self.look_up(metadata, ask, head), ask, head)
    }

    fn look_up(&self, metadata: &Metadata, ask: &Ask, head: &Parts) -> Lookup {
        let views: Vec<_> = self.0.fleet.nodes().iter().map(|node| (node, node.view())).collect();
        let views: Vec<_> =
            views.iter().map(|(node, view)| catalog::View { node: node.name(), holding: &view.holding }).collect();
        let (now, ttl) = (Instant::now(), self.0.settings.cache_ttl);
        match metadata {
            Metadata::Tags => Lookup::Found(catalog::tags(&views, now, ttl)),
            Metadata::Version => Lookup::Found(catalog::version(&views, now, ttl)),
            Metadata::Status => Lookup::Found(catalog::status(&views, now, ttl)),
            Metadata::Models => Lookup::Found(catalog::models_v1(&views, now, ttl)),
            Metadata::ModelById(id) => catalog::model_v1(&views, id, now, ttl),
            Metadata::Show { plain } => match &ask.model {
                Some(name) if *plain => {
                    let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
                    catalog::show(&views, self.0.fleet.shows(), name, agent, now, ttl)
                }
                _ => Lookup::Unknown,
            },
            Metadata::Ps => Lookup::Unknown,
        }
    }

    /// Only nodes in use are asked what runs on them; on the others nothing runs.
    async fn running(&self) -> Response<Body> {
        let mut asking = JoinSet::new();
        for node in self.0.fleet.nodes().iter().filter(|node| node.may_be_asked() && !holds_up(&node.view())) {
            asking.spawn(running_on(node.clone(), self.0.settings.timeouts.connect));
        }
        let answers: Vec<Bytes> = asking.join_all().await.into_iter().flatten().collect();
        reply::whole(StatusCode::OK, reply::JSON, catalog::ps_merged(&answers))
    }

    /// `ollama stop` of a sleeping PC: nothing is loaded there. One plain connect makes sure that it sleeps.
    async fn unload_of_a_sleeper(&self, shape: Shape, ask: &Ask) -> Option<Response<Body>> {
        let nodes = self.0.fleet.nodes();
        if nodes.is_empty() || nodes.iter().any(|node| node.config().always_on || holds_up(&node.view())) {
            return None;
        }
        for node in nodes {
            let began = Instant::now();
            let addresses = node.addresses().await.unwrap_or_default();
            match upstream::connect(&addresses, self.0.settings.timeouts.connect).await {
                Ok(_awake) => return None,
                Err(trouble) => node.failed_to(&trouble, began),
            }
        }
        let model = ask.model.as_deref().unwrap_or_default();
        let bytes = catalog::unload_answer(shape == Shape::Chat, model, SystemTime::now());
        Some(reply::whole(StatusCode::OK, reply::JSON, bytes))
    }
}

fn told(lookup: Lookup, ask: &Ask, head: &Parts) -> Result<Response<Body>, Fault> {
    let name = ask.model.as_deref().unwrap_or_default();
    match lookup {
        Lookup::Found(cached) => Ok(answer(cached, &head.method)),
        _ if ask.malformed => Err(Fault::client(Kind::BadRequest, "the request body is not valid JSON")),
        Lookup::Unknown if ask.model.is_none() => Err(Fault::client(Kind::BadRequest, "model is required")),
        Lookup::Unlisted => Err(Fault::client(Kind::NotFound, catalog::not_found_text(ask.route, name))),
        Lookup::Unknown => {
            let text =
                format!("the GPU host sleeps, and what is known of it does not answer this about {name:?}; a chat wakes it");
            Err(Fault::node(Kind::Asleep, Retry::After(Duration::from_secs(30)), text))
        }
    }
}

/// A wake is under way: then the node itself shall answer.
fn holds_up(view: &View) -> bool {
    view.power.in_progress()
}

async fn running_on(node: Node, connect: Duration) -> Option<Bytes> {
    let path = format!("{}/api/ps", node.config().path_prefix);
    let call = Call { method: Method::GET, path, host: node.host().clone(), body: Bytes::new() };
    let addresses = node.addresses().await.ok()?;
    let began = Instant::now();
    match upstream::call(&addresses, connect, PS, call).await {
        Ok(reply) if reply.status.is_success() => Some(reply.body),
        Ok(_) => None,
        Err(trouble) => {
            node.failed_to(&trouble, began);
            None
        }
    }
}

/// `HEAD` has the same head and no body.
fn answer(cached: Cached, method: &Method) -> Response<Body> {
    let status = StatusCode::from_u16(cached.status).unwrap_or(StatusCode::OK);
    let length = cached.body.len();
    let mut response = reply::whole(status, cached.content_type, cached.body);
    let freshness = if cached.fresh { "fresh" } else { "stale" };
    response.headers_mut().insert(headers::CACHE, HeaderValue::from_static(freshness));
    if let Some(age) = cached.age {
        response.headers_mut().insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    if method == Method::HEAD {
        *response.body_mut() = body::empty();
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}
