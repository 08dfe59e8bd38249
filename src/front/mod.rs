//! The front door: who may come in, the endpoints of our own, and the proxy for everything else.
//!
//! Nothing here ever contacts a node, except a person's explicit wake or refresh.

pub mod cors;
mod metrics;
mod nodes;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::watch;

use crate::dashboard::{self, Dashboard, pages};
use crate::http::{Body, body, headers, reply};
use crate::proxy::Proxy;
use crate::server::Handler;
use crate::telemetry::journal::Cause;
use crate::telemetry::metrics::Registry;
use crate::values::{Dialect, Fault, Kind, agent_family};
pub use cors::Origins;

/// Answers every request that comes in.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

struct Shared {
    proxy: Proxy,
    dashboard: Dashboard,
    metrics: metrics::Metrics,
    origins: Origins,
    /// Why the node file could not be used when it was last read.
    config_error: watch::Receiver<Option<String>>,
}

impl Front {
    /// `config_error` says why the node file could not be used when it was last read, if that is so.
    pub fn new(
        proxy: Proxy,
        dashboard: Dashboard,
        registry: Registry,
        origins: Origins,
        config_error: watch::Receiver<Option<String>>,
    ) -> Self {
        Self(Arc::new(Shared { proxy, dashboard, metrics: metrics::Metrics::new(registry), origins, config_error }))
    }

    /// What the owner still has to set, in words.
    fn missing(&self) -> Option<&'static str> {
        let nobody = self.0.proxy.fleet().nodes().is_empty();
        nobody.then_some("No Ollama node is set: start the proxy with OLLAMA_URL=http://<address of the GPU PC>:11434.")
    }

    fn config_error(&self) -> Option<String> {
        self.0.config_error.borrow().clone()
    }

    /// What the pages tell their owner first.
    fn notices(&self) -> Vec<String> {
        let stale = |why| format!("The node file cannot be used, and the nodes stay as they were: {why}");
        self.missing().map(str::to_owned).into_iter().chain(self.config_error().map(stale)).collect()
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        if let Some(why) = headers::ambiguous_framing(request.headers()) {
            return unreadable(why, request.uri().path());
        }
        let origin = self.0.origins.judge(request.headers());
        if origin.is_refused() {
            // Ollama's own answer: an empty 403.
            return reply::bare(StatusCode::FORBIDDEN);
        }
        if request.method() == Method::OPTIONS {
            return cors::preflight(&origin, request.headers());
        }
        // A tunnel or an echo is nothing that a node offers; a node's 2xx to CONNECT would even end HTTP on this connection.
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return wrong_method("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        let mut response = match self.own(&request, client).await {
            Some(response) => response,
            None => self.0.proxy.handle(request, client).await,
        };
        origin.allow(response.headers_mut());
        response
    }

    /// Our own endpoints; `None`: not ours.
    async fn own(&self, request: &Request<Incoming>, client: SocketAddr) -> Option<Response<Body>> {
        let fleet = self.0.proxy.fleet();
        let (method, path) = (request.method(), request.uri().path());
        let looks = method == Method::GET || method == Method::HEAD;
        let mut response = match path {
            "/" if looks => self.root(request.headers()),
            "/health" if looks => reply::json(StatusCode::OK, &nodes::health(fleet)),
            "/nodes" if looks => {
                reply::json(StatusCode::OK, &nodes::list(fleet, self.0.proxy.scheduler(), self.config_error().as_deref()))
            }
            "/route" if looks => route::answer(&self.0.proxy, request.uri().query()),
            "/metrics" if looks => self.0.metrics.page(fleet, self.0.proxy.scheduler(), request.headers()),
            "/topology" if looks => pages::topology(fleet, request.headers(), &self.notices()),
            // Where an older gateway had its picture; the way up keeps a path prefix.
            "/static/topology-3d.html" if looks => back_to("../topology"),
            _ if looks && path.starts_with("/ui/") => pages::asset(&path["/ui/".len()..], request.headers())?,
            path if looks && dashboard::PATHS.contains(&path) => {
                self.0.dashboard.answer(path, request.uri().query(), request.headers())?
            }
            _ => match path.strip_prefix("/nodes/").and_then(|rest| rest.split_once('/')) {
                // Boxed: the room for a wake is not for every request to carry about.
                Some((name, action)) => Box::pin(self.act(request, client, name, action)).await,
                None if ["/", "/health", "/nodes", "/metrics", "/route", "/topology"].contains(&path) => {
                    wrong_method("GET, HEAD")
                }
                None if dashboard::PATHS.contains(&path) => wrong_method("GET, HEAD"),
                None => return None,
            },
        };
        if method == Method::HEAD {
            let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
            *response.body_mut() = body::empty();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Some(response)
    }

    /// One address, three readers: browsers, programs, and everybody who compares with Ollama's words.
    fn root(&self, headers: &HeaderMap) -> Response<Body> {
        if accepts(headers, "text/html") {
            return pages::status(self.0.proxy.fleet(), headers, &self.notices());
        }
        let mut response = if accepts(headers, "application/json") {
            reply::json(StatusCode::OK, &nodes::info(self.missing()))
        } else {
            reply::whole(StatusCode::OK, reply::TEXT, "Ollama is running")
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }

    /// `POST /nodes/{name}/wake`, `…/sleep` and `…/refresh`: a person's explicit wish.
    async fn act(&self, request: &Request<Incoming>, client: SocketAddr, name: &str, action: &str) -> Response<Body> {
        if !matches!(action, "wake" | "sleep" | "refresh") {
            return refused(Kind::NotFound, "nodes have the actions wake, sleep and refresh");
        }
        if request.method() != Method::POST {
            return wrong_method("POST");
        }
        if cors::is_cross_site(request.headers()) {
            return refused(Kind::Forbidden, "another site may not do this");
        }
        let Some(node) = self.0.proxy.fleet().find(name) else {
            return refused(Kind::NotFound, format!("there is no node {name:?}"));
        };
        if !node.config().enabled {
            let text = "it is disabled in the node file, and never contacted";
            return reply::json(StatusCode::CONFLICT, &json!({ "node": name, "state": node.state(), "error": text }));
        }
        if action == "refresh" {
            return match node.refresh().await {
                Ok(()) => reply::json(StatusCode::OK, &json!({ "node": name, "refreshed": true })),
                Err(why) => reply::json(StatusCode::BAD_GATEWAY, &json!({ "node": name, "error": why })),
            };
        }
        if action == "sleep" {
            return nodes::sleep(&node);
        }
        let by_form = accepts(request.headers(), "text/html");
        let waits = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "wait=1"));
        let answer = nodes::wake(&node, cause(request.headers(), client), waits).await;
        // The plain form of the page: whoever has no scripts gets the page again, not JSON.
        if by_form && answer.status().is_success() { back_to("../../") } else { answer }
    }
}

impl Handler for Front {
    async fn handle(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        self.answer(request, client).await
    }
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains(media_type))
}

/// To a place relative to the one asked for, which a path prefix does not change.
fn back_to(place: &'static str) -> Response<Body> {
    let mut response = reply::bare(StatusCode::SEE_OTHER);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(place));
    response
}

/// Who wishes a wake.
fn cause(headers: &HeaderMap, client: SocketAddr) -> Cause {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    Cause::manual(Some(client.ip()), Some(agent_family(agent)))
}

fn refused(kind: Kind, text: impl Into<std::borrow::Cow<'static, str>>) -> Response<Body> {
    reply::fault(&Fault::client(kind, text), Dialect::Native)
}

/// Where its body ends is not certain, and so neither is where the next request begins: the connection ends, too.
fn unreadable(why: &'static str, path: &str) -> Response<Body> {
    let fault = Fault::client(Kind::BadRequest, format!("this request cannot be read safely: {why}"));
    let mut response = reply::fault(&fault, Dialect::of_path(path));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = refused(Kind::Method, format!("this endpoint takes {allowed}"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
