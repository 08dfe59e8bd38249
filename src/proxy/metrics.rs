//! What is counted of requests.
//!
//! A request is accounted for once, at its end, under one short lock that finds the handles of its series; the handles
//! themselves are atomics. No label is a client's text: methods and routes come from our tables, models from a catalog.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::refusal::Refusal;
use super::tally::Figures;
use crate::fleet::Node;
use crate::telemetry::metrics::{ANSWER_SECONDS, Counter, Family, Histogram, Registry, TOKEN_SECONDS};
use crate::values::{ModelKey, NodeName};

/// The label of requests for which no node was chosen.
const NONE: &str = "none";

/// The routes that the catalog answers.
const METADATA: [&str; 7] =
    ["/api/tags", "/api/version", "/api/status", "/api/show", "/api/ps", "/v1/models", "/v1/models/{model}"];

/// Models of one provider that have series of their own.
const MOST_CLOUD_MODELS: usize = 100;

/// The families of all requests. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    requests: Family<Counter, 4>,
    seconds: Family<Histogram, 3>,
    tokens: Family<Counter, 3>,
    first_token: Family<Histogram, 2>,
    per_token: Family<Histogram, 2>,
    aborts: Family<Counter, 1>,
    waited: [Histogram; 2],
    cache: [[Counter; 4]; METADATA.len()],
    refused: [Counter; Refusal::ALL.len()],
    books: Mutex<Books>,
}

/// The handles that are in use. As bounded as their labels are, and so few that looking for one costs less than a hash.
#[derive(Default)]
struct Books(BTreeMap<String, OfNode>);

/// Of one node, by its label.
#[derive(Default)]
struct OfNode {
    requests: BTreeMap<Line, (Counter, Histogram)>,
    aborts: Option<Counter>,
    models: BTreeMap<String, OfModel>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    method: &'static str,
    route: &'static str,
    end: End,
}

#[derive(Clone)]
struct OfModel {
    input: Counter,
    output: Counter,
    first_token: Histogram,
    per_token: Histogram,
    /// Only nodes tell it.
    load: Option<Histogram>,
}

/// How a request ended, for the label `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The client has it whole.
    Status(u16),
    /// A limit of ours passed.
    Timeout,
    /// The answer broke off after its head had gone: its status would tell a lie.
    Error,
    /// The client left: 499, as nginx calls it.
    Left,
}

impl End {
    fn word(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::Timeout => "timeout".to_owned(),
            Self::Error => "error".to_owned(),
            Self::Left => "499".to_owned(),
        }
    }
}

/// What a request was held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A machine was asleep.
    Wake,
    /// Every node that could serve was full.
    Capacity,
}

impl Reason {
    const ALL: [Self; 2] = [Self::Wake, Self::Capacity];

    fn word(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Capacity => "capacity",
        }
    }
}

/// How the catalog answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recall {
    /// From memory, fresh.
    Hit,
    /// From memory, old.
    Stale,
    /// It could not.
    Miss,
    /// It was not asked.
    Bypass,
}

impl Recall {
    const ALL: [Self; 4] = [Self::Hit, Self::Stale, Self::Miss, Self::Bypass];

    fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// One request that has ended.
pub(super) struct Account<'a> {
    pub(super) method: &'static str,
    pub(super) route: &'static str,
    pub(super) node: Option<&'a Node>,
    /// The cloud provider that served in a node's place.
    pub(super) provider: Option<&'static str>,
    /// Its name for the model.
    pub(super) cloud_model: Option<&'a str>,
    pub(super) end: End,
    pub(super) took: Duration,
    /// The model, of inference only.
    pub(super) model: Option<&'a ModelKey>,
    pub(super) figures: Figures,
    /// From its coming to the first piece of a streamed answer, without the wait for a wake or a place.
    pub(super) first_token: Option<Duration>,
    /// From there to its end.
    pub(super) streamed: Option<Duration>,
}

/// Somebody waits; for how long is counted on the drop, however the wait ends.
pub(super) struct Wait {
    seconds: Histogram,
    since: Instant,
}

impl Wait {
    /// How long by now.
    pub(super) fn so_far(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.seconds.took(self.so_far());
    }
}

impl Metrics {
    /// To be called once per registry.
    pub fn register(registry: &Registry) -> Self {
        let seconds = ANSWER_SECONDS;
        let cache = registry.counters(
            "ollama_proxy_cache_requests_total",
            "Requests for what the catalog may know, by how it answered",
            ["endpoint", "result"],
        );
        let waited = registry.histograms("ollama_proxy_wait_seconds", "Time that requests were held", ["reason"], seconds);
        let requests_help = "Requests that have ended; status 499: the client left, error: broke off, timeout: over a limit";
        let requests = ["method", "endpoint", "node", "status"];
        let duration_help = "From a request's coming to the end of its answer, waiting included";
        let first_help = "From a request's coming to the first piece of its stream, without the wait for a wake or a place";
        let pace_help = "Time per generated token, by the node's own clock or else by the pace of the stream";
        let refused_help = "Requests refused, by what: who may do what, and each bound";
        let refused = registry.counters("ollama_proxy_refusals_total", refused_help, ["reason"]);
        let aborts_help = "Requests whose client left before the end of its answer";
        Self(Arc::new(Shared {
            requests: registry.counters("gateway_requests_total", requests_help, requests),
            seconds: registry.histograms(
                "gateway_request_duration_seconds",
                duration_help,
                ["method", "endpoint", "node"],
                seconds,
            ),
            tokens: registry.counters(
                "ollama_proxy_tokens_total",
                "Tokens by the own count of the node or the cloud provider",
                ["node", "model", "type"],
            ),
            first_token: registry.histograms("ollama_proxy_time_to_first_token_seconds", first_help, ["node", "model"], seconds),
            per_token: registry.histograms(
                "ollama_proxy_time_per_output_token_seconds",
                pace_help,
                ["node", "model"],
                TOKEN_SECONDS,
            ),
            aborts: registry.counters("ollama_proxy_client_aborts_total", aborts_help, ["node"]),
            waited: Reason::ALL.map(|reason| waited.with([reason.word()])),
            cache: METADATA.map(|route| Recall::ALL.map(|recall| cache.with([route, recall.word()]))),
            refused: Refusal::ALL.map(|reason| refused.with([reason.word()])),
            books: Mutex::default(),
        }))
    }

    /// Makes the series that a node's first request would make, so that their first step is seen as one.
    pub fn expect(&self, node: &Node) {
        self.0.aborts.with([node.name().as_str()]);
    }

    /// A request is held from now until the guard is dropped.
    pub(super) fn waits(&self, reason: Reason) -> Wait {
        Wait { seconds: self.0.waited[reason as usize].clone(), since: Instant::now() }
    }

    /// A request was refused.
    pub fn refused(&self, reason: Refusal) {
        self.0.refused[reason as usize].one();
    }

    /// The catalog was asked on this route.
    pub(super) fn recalled(&self, route: &str, recall: Recall) {
        if let Some(at) = METADATA.iter().position(|known| *known == route) {
            self.0.cache[at][recall as usize].one();
        }
    }

    /// Lets the handles of a node go that is no more: should its name come back, it counts into new series.
    pub fn forget(&self, node: &NodeName) {
        let mut books = self.0.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.0.remove(node.as_str());
    }

    /// Accounts for one request.
    pub(super) fn account(&self, account: &Account<'_>) {
        let node = account.node.map(|node| node.name().as_str()).or(account.provider).unwrap_or(NONE);
        let mut books = self.0.books.lock().unwrap_or_else(PoisonError::into_inner);
        if !books.0.contains_key(node) {
            books.0.insert(node.to_owned(), OfNode::default());
        }
        let Some(of_node) = books.0.get_mut(node) else { return };
        let line = Line { method: account.method, route: account.route, end: account.end };
        let (requests, seconds) = of_node.requests.entry(line).or_insert_with(|| self.line(line, node));
        requests.one();
        seconds.took(account.took);
        if account.end == End::Left {
            of_node.aborts.get_or_insert_with(|| self.0.aborts.with([node])).one();
        }
        self.count_model(account, &mut of_node.models);
    }

    fn line(&self, line: Line, node: &str) -> (Counter, Histogram) {
        let requests = self.0.requests.with([line.method, line.route, node, &line.end.word()]);
        (requests, self.0.seconds.with([line.method, line.route, node]))
    }

    /// Under the model's name in the node's or the provider's list.
    fn count_model(&self, account: &Account<'_>, models: &mut BTreeMap<String, OfModel>) {
        const UNLISTED: &str = "other";
        let (Some(model), true) = (account.model, account.tells_of_model()) else { return };
        match account.node {
            Some(node) => {
                let view = node.view();
                let listed = view.holding.find_by(model).map_or(UNLISTED, |listed| &listed.name);
                let is_label = listed == UNLISTED || models.contains_key(listed);
                let label = if is_label { listed } else { node.metrics().label(listed) };
                self.of_model(models, node.name().as_str(), label, Some(node)).account(account);
            }
            None => {
                let Some((provider, named)) = account.provider.zip(account.cloud_model) else { return };
                let has_room = models.len() < MOST_CLOUD_MODELS || models.contains_key(named);
                self.of_model(models, provider, if has_room { named } else { UNLISTED }, None).account(account);
            }
        }
    }

    fn of_model<'a>(
        &self,
        models: &'a mut BTreeMap<String, OfModel>,
        name: &str,
        label: &str,
        node: Option<&Node>,
    ) -> &'a OfModel {
        if !models.contains_key(label) {
            models.insert(label.to_owned(), self.model(name, node, label));
        }
        &models[label]
    }

    fn model(&self, name: &str, node: Option<&Node>, label: &str) -> OfModel {
        OfModel {
            input: self.0.tokens.with([name, label, "input"]),
            output: self.0.tokens.with([name, label, "output"]),
            first_token: self.0.first_token.with([name, label]),
            per_token: self.0.per_token.with([name, label]),
            load: node.map(|node| node.metrics().load_seconds(label)),
        }
    }
}

impl Account<'_> {
    /// Whether there is anything to count for its model.
    fn tells_of_model(&self) -> bool {
        self.figures != Figures::default() || self.first_token.is_some()
    }

    /// Seconds per generated token. The first one's time is that of the prompt, so a stream tells the pace of the others.
    fn per_token(&self) -> Option<f64> {
        let output = u32::try_from(self.figures.output?).ok().filter(|tokens| *tokens > 0)?;
        match (self.figures.generation, self.streamed) {
            (Some(time), _) => Some(time.as_secs_f64() / f64::from(output)),
            (None, Some(time)) if output > 1 => Some(time.as_secs_f64() / f64::from(output - 1)),
            (None, _) => None,
        }
    }
}

impl OfModel {
    fn account(&self, account: &Account<'_>) {
        self.input.add(account.figures.input.unwrap_or_default());
        self.output.add(account.figures.output.unwrap_or_default());
        if let Some((series, load)) = self.load.as_ref().zip(account.figures.load) {
            series.took(load);
        }
        if let Some(time) = account.first_token {
            self.first_token.took(time);
        }
        if let Some(seconds) = account.per_token() {
            self.per_token.observe(seconds);
        }
    }
}

/// A method as a label: those that HTTP names, else `other`, since a client may invent any.
pub(super) fn method_label(method: &hyper::Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Class, classify};
    use hyper::{HeaderMap, Method};

    #[test]
    fn every_route_that_the_catalog_answers_has_its_series() {
        for path in
            ["/api/tags", "/api/version", "/api/status", "/api/show", "/api/ps", "/v1/models", "/v1/models/a/b", "/api/chat"]
        {
            for method in [Method::GET, Method::POST] {
                let ask = classify(&method, path, &HeaderMap::new(), &"{}".into());
                assert_eq!(
                    matches!(ask.class, Class::Metadata(_)),
                    METADATA.contains(&ask.route) && may_be(&method, path),
                    "{path}"
                );
            }
        }
    }

    /// `show` is a POST, the others are GETs; the wrong method asks nothing of the catalog.
    fn may_be(method: &Method, path: &str) -> bool {
        (path == "/api/show") == (*method == Method::POST)
    }

    #[test]
    fn an_invented_method_is_no_label() {
        assert_eq!(method_label(&Method::DELETE), "DELETE");
        assert_eq!(method_label(&Method::from_bytes(b"EVIL-1").unwrap()), "other");
    }
}
