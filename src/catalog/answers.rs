//! The answers of metadata routes, composed from what the nodes are known to hold. Pure; nobody waits for a node here.
//!
//! One node's answer keeps the node's own bytes; several nodes' are merged out of raw entries. A name is "unlisted"
//! only when every node's list is known: a wrong "not found" makes `ollama run` start a download.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::holding::{Answer, Holding, Model};
use super::shows::Shows;
use super::versions;
use crate::values::{ModelName, NodeName, sort_by_key};

/// A node and what it is known to hold.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The node's name, the key of its shows.
    pub node: &'a NodeName,
    /// What it holds.
    pub holding: &'a Holding,
}

/// An answer from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// The HTTP status; 200 for all that is composed here.
    pub status: u16,
    /// As Ollama sends it: native routes name a charset, `/v1` does not.
    pub content_type: &'static str,
    /// The whole body.
    pub body: Bytes,
    /// Whether all that went into it was read within the time to live.
    pub fresh: bool,
    /// The age of the oldest part; `None` if nothing was ever read.
    pub age: Option<Duration>,
}

/// What can be said about one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The answer.
    Found(Cached),
    /// Every node's list is known and none has the name: 404.
    Unlisted,
    /// It cannot be told: a list was never read, the show is not held, or the name asks for the cloud, where models
    /// need not be listed.
    Unknown,
}

/// Whether some node lists a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// At least one does.
    Yes,
    /// Every list is known and none does.
    No,
    /// None of the known lists has it, which proves nothing here.
    Unknown,
}

impl Listed {
    /// What lists say of a model by this name. One in the cloud works without being on any.
    pub(super) fn of(name: &str, is_listed: bool, all_are_known: bool) -> Self {
        let in_cloud = || ModelName::parse(name).is_some_and(|name| name.is_cloud());
        if is_listed {
            Self::Yes
        } else if all_are_known && !in_cloud() {
            Self::No
        } else {
            Self::Unknown
        }
    }
}

/// `/api/tags`: one node's own bytes, or all nodes' models merged by name, the newest first.
pub fn tags(views: &[View<'_>], now: Instant, ttl: Duration) -> Cached {
    #[derive(Serialize)]
    struct Tags<'a> {
        models: Vec<&'a RawValue>,
    }
    let known: Vec<&Answer> = views.iter().filter_map(|view| view.holding.list_answer()).collect();
    let models = merged(views);
    let body = match known[..] {
        // An empty list may stand there as `null`, which clients stumble over.
        [only] if !models.is_empty() => only.body.clone(),
        _ => json(&Tags { models: models.into_iter().map(|model| &*model.raw).collect() }),
    };
    cached(NATIVE, body, freshness(views, now, ttl, Holding::list_answer))
}

/// `/api/version`: the lowest one as its node gave it, so that no client expects more than every node can do.
pub fn version(views: &[View<'_>], now: Instant, ttl: Duration) -> Cached {
    let known = views.iter().filter_map(|view| view.holding.version_answer());
    let lowest = known.min_by_key(|answer| versions::read(&answer.body));
    let body = lowest.map_or(Bytes::from_static(versions::NEVER_LEARNT.as_bytes()), |answer| answer.body.clone());
    cached(NATIVE, body, freshness(views, now, ttl, Holding::version_answer))
}

/// `/api/status`: of the first node in order that ever answered it, so that polling clients see no flapping.
pub fn status(views: &[View<'_>], now: Instant, ttl: Duration) -> Cached {
    const NEVER_READ: &[u8] = br#"{"cloud":{"disabled":false,"source":"none"}}"#;
    let first = views.iter().find_map(|view| view.holding.status_answer());
    let body = first.map_or(Bytes::from_static(NEVER_READ), |answer| answer.body.clone());
    let age = first.map(|answer| answer.read.age(now));
    cached(NATIVE, body, (age.is_some_and(|age| age <= ttl), age))
}

/// `/v1/models`, derived from the lists. Empty it is `[]`: Ollama's own `null` breaks clients.
pub fn models_v1(views: &[View<'_>], now: Instant, ttl: Duration) -> Cached {
    #[derive(Serialize)]
    struct Models {
        object: &'static str,
        data: Vec<ModelV1>,
    }
    let data = merged(views).into_iter().map(|model| ModelV1::of(model, &model.name)).collect();
    let body = json_line(&Models { object: "list", data });
    cached(V1, body, freshness(views, now, ttl, Holding::list_answer))
}

/// `/v1/models/{id}`: the id is echoed as asked for.
pub fn model_v1(views: &[View<'_>], id: &str, now: Instant, ttl: Duration) -> Lookup {
    match holders(views, id).first() {
        Some((view, model)) => {
            let body = json_line(&ModelV1::of(model, id));
            Lookup::Found(cached(V1, body, freshness(&[*view], now, ttl, Holding::list_answer)))
        }
        None => absent(views, id),
    }
}

/// `/api/show` without `verbose`, `system` or `options`: of the newest copy whose show is held. Its age is that of the
/// list, which tells that the digest is still the same.
pub fn show(views: &[View<'_>], shows: &Shows, name: &str, user_agent: Option<&str>, now: Instant, ttl: Duration) -> Lookup {
    let holders = holders(views, name);
    if holders.is_empty() {
        return absent(views, name);
    }
    let held = holders.into_iter().find_map(|(view, model)| Some((view, shows.get(view.node, &model.digest)?)));
    let Some((view, body)) = held else { return Lookup::Unknown };
    let is_copilot = user_agent.is_some_and(|agent| agent.starts_with("GitHubCopilotChat/"));
    let body = if is_copilot { with_basename(&body, name).unwrap_or(body) } else { body };
    Lookup::Found(cached(NATIVE, body, freshness(&[view], now, ttl, Holding::list_answer)))
}

/// Whether some node lists a model by this name.
pub fn listed(views: &[View<'_>], name: &str) -> Listed {
    let all_are_known = !views.is_empty() && views.iter().all(|view| view.holding.is_known());
    Listed::of(name, views.iter().any(|view| view.holding.find(name).is_some()), all_are_known)
}

const NATIVE: &str = "application/json; charset=utf-8";
const V1: &str = "application/json";

#[derive(Serialize)]
struct ModelV1 {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: String,
}

impl ModelV1 {
    fn of(model: &Model, id: &str) -> Self {
        let owned_by = ModelName::parse(&model.name).map_or("library".to_owned(), |name| name.namespace().to_owned());
        Self { id: id.to_owned(), object: "model", created: model.modified_unix, owned_by }
    }
}

fn absent(views: &[View<'_>], name: &str) -> Lookup {
    if listed(views, name) == Listed::No { Lookup::Unlisted } else { Lookup::Unknown }
}

fn cached(content_type: &'static str, body: Bytes, (fresh, age): (bool, Option<Duration>)) -> Cached {
    Cached { status: 200, content_type, body, fresh, age }
}

/// Whether every node's part was read within `ttl`, and the age of the oldest part that was read at all.
fn freshness(views: &[View<'_>], now: Instant, ttl: Duration, part: fn(&Holding) -> Option<&Answer>) -> (bool, Option<Duration>) {
    let ages = || views.iter().map(|view| part(view.holding).map(|answer| answer.read.age(now)));
    let fresh = !views.is_empty() && ages().all(|age| age.is_some_and(|age| age <= ttl));
    (fresh, ages().flatten().max())
}

/// All models, each name once in its newest copy, the newest first; names decide between equals, so the order is
/// stable where Ollama's own is not.
fn merged<'a>(views: &[View<'a>]) -> Vec<&'a Model> {
    let mut models: Vec<&Model> = views.iter().flat_map(|view| view.holding.models()).collect();
    models.sort_by(|a, b| (b.modified_unix, a.key()).cmp(&(a.modified_unix, b.key())));
    let mut seen = HashSet::new();
    models.retain(|model| seen.insert(model.key()));
    models
}

/// The nodes that list a name, the newest copy first.
fn holders<'a>(views: &[View<'a>], name: &str) -> Vec<(View<'a>, &'a Model)> {
    let mut holders: Vec<_> = views.iter().filter_map(|view| Some((*view, view.holding.find(name)?))).collect();
    sort_by_key(&mut holders, |(_, model)| Reverse(model.modified_unix));
    holders
}

/// What Ollama does for GitHub Copilot, which shows this field as the model's name. `None` if the show is unreadable.
fn with_basename(show: &[u8], name: &str) -> Option<Bytes> {
    let mut show: Value = serde_json::from_slice(show).ok()?;
    let info = show.as_object_mut()?.entry("model_info").or_insert(Value::Null);
    if !info.is_object() {
        *info = Value::Object(serde_json::Map::new());
    }
    info.as_object_mut()?.insert("general.basename".to_owned(), name.into());
    Some(json(&show))
}

/// The compact form. Our own structs always serialize, so the empty body stands for nothing real.
pub(super) fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// As `/v1` sends it: with a newline behind.
fn json_line(value: &impl Serialize) -> Bytes {
    let mut body = serde_json::to_vec(value).unwrap_or_default();
    body.push(b'\n');
    body.into()
}

#[cfg(test)]
mod tests;
