//! The simulated Ollama server: its parts and the way of one request.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::account;
use super::body::{self, Body, Cut};
use super::connection::{self, Link};
use super::counters::{Counters, InFlight, Tally};
use super::engine::Engine;
use super::faults::{self, Failure, Faults};
use super::reply::{self, Refusal, Shape};
use super::request::Call;
use super::routes::Route;
use super::settings::Settings;
use super::shelf::Shelf;

use crate::values::boxed;

/// A simulated Ollama server. Cheap to clone; all clones are the same server, whatever listener they serve.
#[derive(Clone, Debug)]
pub struct Ollama(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: Mutex<Settings>,
    tally: Arc<Tally>,
    engine: Arc<Engine>,
    shelf: Shelf,
    faults: Faults,
}

impl Ollama {
    /// A server with these settings; nothing listens yet.
    pub fn new(settings: Settings) -> Self {
        let tally = Arc::new(Tally::default());
        let shelf = Shelf::new(settings.models.clone());
        let engine = Arc::new(Engine::new(tally.clone()));
        Self(Arc::new(Parts { settings: Mutex::new(settings), tally, engine, shelf, faults: Faults::default() }))
    }

    /// Serves the listener until `until` is ready. Then every connection is dropped at once, as when a process is killed.
    pub async fn serve(self, listener: TcpListener, until: impl Future) {
        let (_always, awake) = watch::channel(true);
        tokio::select! {
            _ = until => {}
            never = self.accept(listener, awake) => match never {},
        }
    }

    async fn accept(self, listener: TcpListener, awake: watch::Receiver<bool>) -> Infallible {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    open.spawn(boxed(connection::serve(self.clone(), stream, awake.clone())));
                },
                Some(_) = open.join_next() => {}
            }
        }
    }

    /// What the server has seen so far.
    pub fn counters(&self) -> Counters {
        self.0.tally.read()
    }

    /// Lets the next request that is work (not a listing or a check) go wrong.
    pub fn fail_next(&self, failure: Failure) {
        self.fail(failure, 1, None);
    }

    /// Lets the next `times` requests go wrong: those to `path`, or without one those that are work.
    pub fn fail(&self, failure: Failure, times: u32, path: Option<&str>) {
        self.0.faults.arm(failure, times, path.map(str::to_owned));
    }

    /// Changes the settings of the running server; `models` and `control` count only at its start.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock());
    }

    pub(super) fn settings(&self) -> Settings {
        self.lock().clone()
    }

    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.0.tally
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    pub(super) fn shelf(&self) -> &Shelf {
        &self.0.shelf
    }

    fn lock(&self) -> MutexGuard<'_, Settings> {
        self.0.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of one request.
    pub(super) async fn answer(&self, link: Arc<Link>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let path = decoded(request.uri().path());
        if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
            return Ok(without_host());
        }
        if self.lock().control && path.starts_with("/sim/") {
            return self.control(request).await;
        }
        let (route, template) = Route::find(request.method(), &path);
        self.note(request.method(), template, request.headers());
        let flight = InFlight::new(self.tally(), route.is_work());
        let failure = self.0.faults.take(&path, route.is_work());
        let closing = request.headers().get(CONNECTION).is_some_and(|c| c.as_bytes().eq_ignore_ascii_case(b"close"));
        let mut reply = self.route(route, &path, &link, failure, request).await?;
        if closing {
            // Go drops a handler's own word on the connection when the client wants to close it. The order of the rest stays.
            let headers = std::mem::take(reply.headers_mut());
            reply.headers_mut().extend(headers.into_iter().filter(|(name, _)| *name != Some(CONNECTION)));
        }
        let fails_late = failure.filter(|_| reply.status().is_success());
        if let Some(failure) = fails_late {
            let streams = hyper::body::Body::size_hint(reply.body()).exact().is_none();
            if failure == Failure::ErrorLine && !streams {
                return Ok(runner_died().reply(Shape::of(&path)));
            }
            reply = reply.map(|body| faults::failing(body, failure, route, link));
        }
        Ok(reply.map(|body| body::guarded(body, flight)))
    }

    async fn route(
        &self,
        route: Route,
        path: &str,
        link: &Link,
        failure: Option<Failure>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        let shape = Shape::of(path);
        let (head, body) = request.into_parts();
        if route == Route::TakeBlob {
            return match before_head(failure, link, shape).await? {
                Some(reply) => Ok(reply),
                None => self.take_blob(last_part(path), body, link).await,
            };
        }
        let bytes = body.collect().await.map_err(|_| Cut)?.to_bytes();
        if let Some(reply) = before_head(failure, link, shape).await? {
            return Ok(reply);
        }
        if route.is_work() {
            self.0.tally.note(|c| c.last_body = String::from_utf8_lossy(&bytes).into_owned());
        }
        let call = Call { path: path.to_owned(), shape, headers: head.headers, bytes };
        let answer = match route {
            Route::Pull | Route::Push | Route::Create | Route::Copy | Route::Delete => self.change_disk(route, &call).await,
            route if route.is_work() => self.infer(route, &call).await,
            _ => self.look_up(route, &call),
        };
        Ok(answer.unwrap_or_else(|refusal| refusal.reply(shape)))
    }

    async fn infer(&self, route: Route, call: &Call) -> Result<Response<Body>, Refusal> {
        match route {
            Route::Chat => self.chat(call).await,
            Route::Generate => self.generate(call).await,
            Route::Embed => self.embed(call).await,
            Route::Embeddings => self.embeddings(call).await,
            Route::V1Chat => self.v1_chat(call).await,
            Route::V1Completions => self.v1_completions(call).await,
            Route::V1Embeddings => self.v1_embeddings(call).await,
            Route::V1Messages => self.v1_messages(call).await,
            Route::V1Responses => self.v1_responses(call).await,
            Route::Transcription => self.transcribe(call).await,
            other => self.look_up(other, call),
        }
    }

    async fn change_disk(&self, route: Route, call: &Call) -> Result<Response<Body>, Refusal> {
        match route {
            Route::Pull => self.pull(call).await,
            Route::Push => self.push(call).await,
            Route::Create => self.create(call).await,
            Route::Copy => self.copy(call),
            _ => self.delete(call),
        }
    }

    fn look_up(&self, route: Route, call: &Call) -> Result<Response<Body>, Refusal> {
        Ok(match route {
            Route::Root => reply::text(StatusCode::OK, "text/plain; charset=utf-8", "Ollama is running"),
            Route::Version => self.version(),
            Route::Status => account::status(),
            Route::Tags => self.tags(),
            Route::Ps => self.ps(),
            Route::Show => self.show(call)?,
            Route::Recommendations => account::recommendations(),
            Route::V1Models => self.v1_models(),
            Route::V1Model => self.v1_model(last_part(&call.path))?,
            Route::HasBlob => self.has_blob(last_part(&call.path))?,
            Route::Me => account::me(),
            Route::SignOut => account::signed_out(),
            Route::CloudOnly => return Err(account::cloud_disabled()),
            Route::Preflight => account::preflight(&call.headers),
            Route::Redirect(status) => redirect(status, call.path.trim_end_matches('/')),
            Route::NotAllowed => reply::text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed"),
            _ => reply::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found"),
        })
    }

    fn note(&self, method: &Method, template: &str, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        self.0.tally.note(|c| {
            *c.requests.entry(format!("{method} {template}")).or_default() += 1;
            c.last_host = text("host");
            c.last_origin = text("origin");
            let pair = |(name, value): (&HeaderName, &HeaderValue)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            };
            c.last_headers = headers.iter().map(pair).collect();
        });
    }
}

/// The path as the router sees it: `%3A` is a colon, `%2F` a slash.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => bytes.extend(format!("%{part}").bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Go refuses it before any handler sees the request.
fn without_host() -> Response<Body> {
    let text = "400 Bad Request: missing required Host header";
    let mut reply = reply::text(StatusCode::BAD_REQUEST, "text/plain; charset=utf-8", text);
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn redirect(status: StatusCode, to: &str) -> Response<Body> {
    let permanent = status == StatusCode::MOVED_PERMANENTLY;
    let text = if permanent { format!("<a href=\"{to}\">Moved Permanently</a>.\n\n") } else { String::new() };
    reply::whole_with(status, &[(LOCATION, to)], permanent.then_some("text/html; charset=utf-8"), text)
}

fn runner_died() -> Refusal {
    let text = "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, \
                check ollama server logs for details";
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// The failures that strike before any byte of the answer.
async fn before_head(failure: Option<Failure>, link: &Link, shape: Shape) -> Result<Option<Response<Body>>, Cut> {
    match failure {
        Some(Failure::CloseBeforeHead) => Err(Cut),
        Some(Failure::ResetBeforeHead) => {
            link.reset_at_end();
            Err(Cut)
        }
        Some(Failure::HangBeforeHead) => std::future::pending().await,
        Some(Failure::Busy) => Ok(Some(Refusal::busy().reply(shape))),
        Some(Failure::Broken) => Ok(Some(runner_died().reply(shape))),
        _ => Ok(None),
    }
}
