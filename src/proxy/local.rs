//! Answers that need no GPU: metadata from the catalog, the unload of what is not there. None of it waits for a sleeping node.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Proxy;
use super::metrics::Recall;
use crate::catalog::{self, Cached, Lookup};
use crate::classify::{self, Ask, Class, Metadata, Shape};
use crate::fleet::Node;
use crate::http::{Body, body, headers, reply};
use crate::translate;
use crate::upstream::{self, Call};
use crate::values::{Fault, Kind, Retry, boxed};

/// A node in use that has not told its running models by then is left out.
const PS: Duration = Duration::from_secs(2);

impl Proxy {
    /// `None`: the ask needs a node.
    pub(super) async fn answer_from_catalog(
        &self,
        ask: &Ask,
        head: &Parts,
        body: &Bytes,
    ) -> Result<Option<Response<Body>>, Fault> {
        match &ask.class {
            Class::Metadata(metadata) => self.metadata(metadata, ask, head).await,
            Class::Unload(shape) if self.is_beyond_ollama(ask) => Ok(Some(unloaded(*shape, ask))),
            Class::Other { .. } if is_count(head) && self.is_beyond_ollama(ask) => counted(head, body).map(Some),
            Class::Unload(_) | Class::Inference | Class::Mutation(_) | Class::Other { .. } => Ok(None),
        }
    }

    /// Whether nodes hold the model, none of which is an Ollama: those have no words for much that is asked of Ollama.
    fn is_beyond_ollama(&self, ask: &Ask) -> bool {
        let Some(key) = &ask.key else { return false };
        let (nodes, holders) = (self.0.fleet.nodes(), self.0.fleet.holders(key));
        let holders = nodes.among(&holders);
        !holders.is_empty() && !holders.into_iter().any(Node::is_ollama)
    }

    async fn metadata(&self, metadata: &Metadata, ask: &Ask, head: &Parts) -> Result<Option<Response<Body>>, Fault> {
        let nodes = self.0.fleet.nodes();
        // For strict test servers: what they get is what the client sent, no more.
        let can_answer = |node: &Node| node.is_ollama() && node.may_be_asked() && !node.view().power.in_progress();
        if self.0.settings.no_own_calls && nodes.iter().any(can_answer) {
            self.0.metrics.recalled(ask.route, Recall::Bypass);
            return Ok(None);
        }
        if *metadata == Metadata::Ps {
            self.0.metrics.recalled(ask.route, Recall::Bypass);
            return Ok(Some(self.running().await));
        }
        let lookup = self.look_up(metadata, ask, head);
        self.0.metrics.recalled(ask.route, recall(&lookup));
        for node in &*nodes {
            node.list_asked();
        }
        self.looked_up(lookup, ask, head)
    }

    fn look_up(&self, metadata: &Metadata, ask: &Ask, head: &Parts) -> Lookup {
        let (now, ttl) = (Instant::now(), self.0.settings.cache_ttl);
        let compose = |views: &[catalog::View<'_>]| match metadata {
            Metadata::Tags => Lookup::Found(catalog::tags(views, now, ttl)),
            Metadata::Version => Lookup::Found(catalog::version(views, now, ttl)),
            Metadata::Status => Lookup::Found(catalog::status(views, now, ttl)),
            Metadata::Models => Lookup::Found(catalog::models_v1(views, now, ttl)),
            Metadata::ModelById(id) => catalog::model_v1(views, id, now, ttl),
            Metadata::Show { plain } => match &ask.model {
                Some(name) if *plain || self.is_beyond_ollama(ask) => {
                    let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
                    catalog::show(views, self.0.fleet.shows(), name, agent, now, ttl)
                }
                _ => Lookup::Unknown,
            },
            // What runs is never remembered.
            Metadata::Ps => Lookup::Unknown,
        };
        let model = match metadata {
            Metadata::ModelById(id) => Some(id.as_str()),
            Metadata::Show { .. } => ask.model.as_deref(),
            _ => None,
        };
        // What the holders of a model cannot tell, all lists together may.
        match model.map(|model| self.0.fleet.with_holders(model, compose)) {
            Some(found @ Lookup::Found(_)) => found,
            _ => self.0.fleet.with_catalog(compose),
        }
    }

    /// A node that may be asked tells better than a catalog that cannot; a sleeping one is left alone.
    fn looked_up(&self, lookup: Lookup, ask: &Ask, head: &Parts) -> Result<Option<Response<Body>>, Fault> {
        let name = ask.model.as_deref().unwrap_or_default();
        let askable = self.0.fleet.nodes().iter().any(|node| node.is_ollama() && node.may_be_asked());
        match lookup {
            Lookup::Found(cached) => Ok(Some(answer(self.with_cloud_models(ask, cached), &head.method))),
            Lookup::Unlisted | Lookup::Unknown if askable => Ok(None),
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

    /// Only nodes in use are asked what runs on them; on the others nothing runs.
    async fn running(&self) -> Response<Body> {
        let mut asking = JoinSet::new();
        for node in self.0.fleet.nodes().iter().filter(|node| node.is_ollama() && node.may_be_asked()) {
            asking.spawn(boxed(running_on(node.clone(), self.0.settings.timeouts.connect)));
        }
        let answers: Vec<Bytes> = asking.join_all().await.into_iter().flatten().collect();
        reply::whole(StatusCode::OK, reply::JSON, catalog::ps_merged(&answers))
    }
}

/// How the catalog did, for the count.
fn recall(lookup: &Lookup) -> Recall {
    match lookup {
        Lookup::Found(cached) if cached.fresh => Recall::Hit,
        Lookup::Found(_) => Recall::Stale,
        Lookup::Unlisted | Lookup::Unknown => Recall::Miss,
    }
}

/// `ollama stop` of a PC that is not there: nothing is loaded on it, so this is Ollama's own answer.
pub(super) fn unloaded(shape: Shape, ask: &Ask) -> Response<Body> {
    let model = ask.model.as_deref().unwrap_or_default();
    reply::whole(StatusCode::OK, reply::JSON, catalog::unload_answer(shape == Shape::Chat, model, SystemTime::now()))
}

/// Whether tokens are to be counted.
pub(super) fn is_count(head: &Parts) -> bool {
    head.uri.path() == "/v1/messages/count_tokens" && head.method == Method::POST
}

/// About how many tokens an Anthropic client would send.
fn counted(head: &Parts, body: &Bytes) -> Result<Response<Body>, Fault> {
    let body = classify::decoded(head.uri.path(), &head.headers, body).unwrap_or_default();
    let tokens = translate::count_tokens(&body)?;
    Ok(reply::whole(StatusCode::OK, "application/json", json!({ "input_tokens": tokens }).to_string()))
}

async fn running_on(node: Node, connect: Duration) -> Option<Bytes> {
    let path = format!("{}/api/ps", node.config().path_prefix);
    let began = Instant::now();
    let called = async {
        let link = node.connect(connect).await?;
        let call = Call { method: Method::GET, path, host: node.host().clone(), authorization: None, body: Bytes::new() };
        upstream::call_over(link, PS, call).await
    };
    match called.await {
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
