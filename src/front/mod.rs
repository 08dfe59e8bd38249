//! The front door: who may come in, the endpoints of our own, and the proxy for everything else.
//!
//! Nothing here ever contacts a node, except a person's explicit wake or refresh.

mod access;
pub mod cors;
mod login;
mod metrics;
mod nodes;
mod route;
pub mod routes;
mod troubles;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::cluster::{self, Controller};
use crate::config::{AccessConfig, KeyRules};
use crate::dashboard::{self, Dashboard, pages};
use crate::http::{Body, body, ended_by, guarded, headers, reply};
use crate::proxy::{Caller, Filled, Proxy, Refusal};
use crate::server::{Handler, Open, Peer};
use crate::telemetry::journal::Cause;
use crate::telemetry::metrics::Registry;
use crate::values::{Dialect, Fault, Kind, agent_family};
use access::{Access, Denied, Door, Standing, Visitor};
use cors::Origin;
pub use cors::Origins;
pub use troubles::Troubles;

/// Answers every request that comes in.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

struct Shared {
    proxy: Proxy,
    dashboard: Dashboard,
    metrics: metrics::Metrics,
    origins: Origins,
    access: Access,
    connections: (Open, usize),
    troubles: Troubles,
    /// Takes workers in, where they may register.
    controller: Option<Controller>,
    /// What a worker answers itself.
    door: Option<cluster::Door>,
}

/// Who may come in, and how many.
pub struct Rules<'a> {
    /// Whose pages may read our answers.
    pub origins: Origins,
    /// Who may do what.
    pub access: &'a AccessConfig,
    /// Connections that are open.
    pub open: Open,
    /// How many there may be.
    pub most_connections: usize,
}

impl Front {
    /// Wires it.
    pub fn new(
        proxy: Proxy,
        dashboard: Dashboard,
        registry: Registry,
        rules: Rules<'_>,
        troubles: Troubles,
        controller: Option<Controller>,
        door: Option<cluster::Door>,
    ) -> Self {
        let Rules { origins, access, open, most_connections } = rules;
        let (metrics, access) = (metrics::Metrics::new(registry), Access::new(access, proxy.metrics().clone()));
        let connections = (open, most_connections);
        Self(Arc::new(Shared { proxy, dashboard, metrics, origins, access, connections, troubles, controller, door }))
    }

    /// What the owner still has to set, in words.
    fn missing(&self) -> Option<&'static str> {
        self.0.proxy.fleet().nodes().is_empty().then(|| self.0.proxy.nobody())
    }

    /// These are the keys from now on; a request that is in stays in.
    pub fn renew_keys(&self, keys: &[KeyRules]) {
        self.0.access.renew(keys);
    }

    fn connections(&self) -> (Filled, u64) {
        let (open, most) = &self.0.connections;
        (Filled { bound: "connections", used: open.count(), most: *most }, open.ended())
    }

    /// What the pages tell their owner first.
    fn notices(&self) -> Vec<String> {
        let (troubles, offenders) = (self.0.troubles.lines(SystemTime::now()), self.0.proxy.offenders());
        self.missing().map(sentence).into_iter().chain(troubles).chain(offenders).collect()
    }

    async fn answer(&self, mut request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let Shared { access, origins, proxy, .. } = &*self.0;
        let dialect = Dialect::of_path(request.uri().path());
        if let Some(why) = headers::ambiguous_framing(request.headers()) {
            return unreadable(why, dialect);
        }
        let client = match access.client(peer.address, request.headers()) {
            Ok(client) => client,
            Err(fault) => return reply::fault(&fault, dialect),
        };
        let origin = origins.judge(request.headers(), || access.is_called_by_its_name(request.headers()));
        if origin.is_refused() {
            proxy.metrics().refused(Refusal::Origin);
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
        let path = request.uri().path();
        if Controller::has(path) || (self.0.door.is_some() && cluster::Door::has(path)) {
            return self.internal(request, client).await;
        }
        let door = self.door(&request);
        let mut response = match access.admit(door, client, request.headers_mut(), &origin).await {
            Ok(caller) => self.serve(request, peer, caller, &origin).await,
            Err(Denied::Fault(fault)) => {
                tracing::debug!(client = %client.ip().to_canonical(), ?door, why = %fault, "refused at the door");
                reply::fault(&fault, dialect)
            }
            Err(Denied::LogIn) => back_to(way_to_login(request.uri().path())),
        };
        origin.allow(response.headers_mut());
        response
    }

    /// What a request wants, as far as it matters who sends it.
    fn door(&self, request: &Request<Incoming>) -> Door {
        let (path, headers) = (request.uri().path(), request.headers());
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/health" => Door::Open,
            "/" if looks && (accepts(headers, "text/html") || accepts(headers, "application/json")) => Door::Look,
            "/" => Door::Open,
            "/metrics" => self.0.access.metrics_door(),
            "/nodes" | "/route" | "/topology" | "/static/topology-3d.html" => Door::Look,
            _ if dashboard::PATHS.contains(&path) => Door::Look,
            _ if is_action(path) => Door::Act,
            _ if routes::is_below_ours(path) || self.is_login(path) => Door::Open,
            _ => Door::Use,
        }
    }

    /// Whether it is about logging in. Without a key to log in with, the paths are a node's.
    fn is_login(&self, path: &str) -> bool {
        self.0.access.has_keys() && routes::LOGIN.iter().any(|(own, _)| *own == path)
    }

    async fn serve(&self, request: Request<Incoming>, peer: Peer, caller: Caller, origin: &Origin) -> Response<Body> {
        if self.is_login(request.uri().path()) {
            let visitor = Visitor { address: caller.address, by_tls: self.0.access.is_by_tls(peer, request.headers()), origin };
            return login::answer(&self.0.access, request, visitor).await;
        }
        if let Some(response) = self.own(&request, caller.address).await {
            return self.as_long_as_allowed(response, &caller, request.headers());
        }
        let running = match self.0.access.enter(&caller) {
            Ok(running) => running,
            Err(fault) => return reply::fault(&fault, Dialect::of_path(request.uri().path())),
        };
        // A worker holds its machine awake until the last byte of the answer has gone, or nobody wants it any more.
        let work = self.0.door.as_ref().and_then(|door| door.work(request.method()));
        let response = self.0.proxy.handle(request, caller).await;
        match (running, work) {
            (None, None) => response,
            guards => response.map(|body| guarded(body, guards)),
        }
    }

    /// A stream of our own has no end by itself: it ends when its reader might not open it any more.
    fn as_long_as_allowed(&self, response: Response<Body>, caller: &Caller, headers: &HeaderMap) -> Response<Body> {
        if hyper::body::Body::size_hint(response.body()).exact().is_some() {
            return response;
        }
        let (front, pass) = (self.clone(), self.0.access.pass(caller, headers));
        response.map(|body| ended_by(body, async move { front.0.access.runs_out(pass).await }))
    }

    /// Our own endpoints; `None`: not ours. What stands in [`routes`] is: no method of it is a node's.
    async fn own(&self, request: &Request<Incoming>, client: SocketAddr) -> Option<Response<Body>> {
        let fleet = self.0.proxy.fleet();
        let (method, path) = (request.method(), request.uri().path());
        let looks = method == Method::GET || method == Method::HEAD;
        let methods = match routes::methods(path) {
            Some(methods) => methods,
            None if routes::is_below_ours(path) => return Some(unknown(path)),
            None => return None,
        };
        let mut response = match path {
            "/" if looks => self.root(request.headers()),
            "/health" if looks => reply::json(StatusCode::OK, &nodes::health(fleet)),
            "/nodes" if looks => reply::json(
                StatusCode::OK,
                &nodes::list(fleet, self.0.proxy.scheduler(), self.0.troubles.of_node_file().as_deref()),
            ),
            "/route" if looks => route::answer(&self.0.proxy, request.uri().query()),
            "/metrics" if looks => {
                let exporter = self.0.door.as_ref().and_then(cluster::Door::exporter);
                self.0.metrics.page(&self.0.proxy, self.connections(), exporter, request.headers()).await
            }
            "/topology" if looks => pages::topology(fleet, request.headers(), &self.notices(), self.visit(request.headers())),
            // Where an older gateway had its picture; the way up keeps a path prefix.
            "/static/topology-3d.html" if looks => back_to("../topology"),
            path if looks && dashboard::PATHS.contains(&path) => {
                self.0.dashboard.answer(path, request.uri().query(), request.headers())?
            }
            _ => match (path.strip_prefix("/ui/"), acted_on(path)) {
                (Some(part), _) if looks => pages::asset(part, request.headers()).unwrap_or_else(|| unknown(path)),
                // Boxed: the room for a wake is not for every request to carry about.
                (_, Some((name, action))) if method == Method::POST => Box::pin(self.act(request, client, name, action)).await,
                _ => wrong_method(methods),
            },
        };
        if method == Method::HEAD {
            let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
            *response.body_mut() = body::empty();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Some(response)
    }

    /// What a page offers about logging in.
    fn visit(&self, headers: &HeaderMap) -> pages::Visit {
        match self.0.access.standing(headers) {
            Standing::Open => pages::Visit::Open,
            Standing::Outside => pages::Visit::Outside,
            Standing::Inside => pages::Visit::Inside,
        }
    }

    /// Of workers and for workers; never passed on to a node. They have a key of their own, or are on this machine.
    async fn internal(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Body> {
        let Shared { access, controller, door, .. } = &*self.0;
        let door = door.as_ref().filter(|_| cluster::Door::has(request.uri().path()));
        let has_key = door.map_or_else(|| controller.as_ref().is_none_or(Controller::has_key), cluster::Door::has_key);
        // Without a key this machine may, and so a page in its browser, whose name was turned to our address, might.
        let named = if has_key { Ok(()) } else { access.is_at_our_name(request.headers()) };
        if let Err(fault) = named {
            return reply::fault(&fault, Dialect::Native);
        }
        let reason = match request.headers() {
            headers if headers.contains_key(header::ORIGIN) => Refusal::Origin,
            headers if has_key && headers.contains_key(header::AUTHORIZATION) => Refusal::WrongKey,
            _ if has_key => Refusal::Key,
            _ => Refusal::Address,
        };
        let answer = match (door, controller) {
            (Some(door), _) => door.answer(request, client).await,
            (None, Some(controller)) => controller.answer(request, client).await,
            (None, None) => {
                return refused(Kind::NotFound, "no worker can register here: start this program as `ollama-proxy controller`");
            }
        };
        match access.turned_away(answer.status(), reason, client).await {
            Some(slowed) => reply::fault(&slowed, Dialect::Native),
            None => answer,
        }
    }

    /// One address, three readers: browsers, programs, and everybody who compares with Ollama's words.
    fn root(&self, headers: &HeaderMap) -> Response<Body> {
        if accepts(headers, "text/html") {
            return pages::status(self.0.proxy.fleet(), headers, &self.notices(), self.visit(headers));
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
        let by_form = accepts(request.headers(), "text/html");
        let waits = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "wait=1"));
        let acted = async {
            match action {
                "sleep" => nodes::sleep(&node, waits).await,
                _ => nodes::wake(&node, cause(request.headers(), client), waits).await,
            }
        };
        let answer = tokio::select! {
            answer = acted => answer,
            fault = self.0.proxy.ends() => reply::fault(&fault, Dialect::Native),
        };
        // The plain form of the page: whoever has no scripts gets the page again, not JSON.
        if by_form && answer.status().is_success() { back_to("../../") } else { answer }
    }
}

impl Handler for Front {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        self.answer(request, peer).await
    }
}

/// As it may stand alone on a page.
fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at(words.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}.", first.to_uppercase())
}

/// Relative, so that a path prefix stays.
fn way_to_login(path: &str) -> &'static str {
    match path.matches('/').count() {
        0 | 1 => "login",
        2 => "../login",
        _ => "../../login",
    }
}

/// `/nodes/{name}/{action}`
fn is_action(path: &str) -> bool {
    acted_on(path).is_some()
}

fn acted_on(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("/nodes/")?.split_once('/')
}

/// There is nothing of ours, and a node is not asked: nobody needs a key for what is not there.
fn unknown(path: &str) -> Response<Body> {
    let text = if is_action(path) { "nodes have the actions wake, sleep and refresh" } else { "the pages have no such part" };
    refused(Kind::NotFound, text)
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
fn unreadable(why: &'static str, dialect: Dialect) -> Response<Body> {
    let fault = Fault::client(Kind::BadRequest, format!("this request cannot be read safely: {why}"));
    let mut response = reply::fault(&fault, dialect);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = refused(Kind::Method, format!("this endpoint takes {allowed}"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
