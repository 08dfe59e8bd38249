//! `exporter`: metrics of the Ollama on this machine, for a Prometheus elsewhere.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::serve::ended_by_signal;
use super::{runtime, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Env, ExporterArgs, ExporterConfig};
use crate::exporter::Exporter;
use crate::front::Origins;
use crate::front::cors;
use crate::http::{Body, body, reply};
use crate::server::{self, Bounds, Handler, Peer};
use crate::telemetry;
use crate::telemetry::metrics::Format;

/// A scraper, a dashboard, a curious person.
const BOUNDS: Bounds = Bounds { connections: 64, head: Duration::from_secs(120), grace: Duration::from_secs(5) };

pub(super) fn run(args: &ExporterArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load_exporter(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    runtime()?.block_on(serve(&config))
}

async fn serve(config: &ExporterConfig) -> Result<(), Failure> {
    let listeners = app::bind(&config.listen)?;
    let exporter = Exporter::start(config.node.clone(), config.ollama_port);
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(node = %config.node, ollama_port = config.ollama_port, "listening on {address}");
        }
    }
    let answers = Answers { exporter, origins: Origins::new(&config.cors_origins) };
    server::serve(listeners, BOUNDS, answers, ended_by_signal()).await;
    Ok(())
}

#[derive(Clone)]
struct Answers {
    exporter: Exporter,
    origins: Origins,
}

impl Handler for Answers {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Body> {
        let origin = self.origins.judge(request.headers(), || true);
        if origin.is_refused() {
            return reply::bare(StatusCode::FORBIDDEN);
        }
        if request.method() == Method::OPTIONS {
            return cors::preflight(&origin, request.headers());
        }
        let mut response = match (request.uri().path(), request.method()) {
            ("/" | "/health" | "/metrics", &Method::GET | &Method::HEAD) => self.answer(&request).await,
            ("/" | "/health" | "/metrics", _) => {
                let mut refused = told(StatusCode::METHOD_NOT_ALLOWED, "this endpoint takes GET and HEAD");
                refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                refused
            }
            _ => told(StatusCode::NOT_FOUND, "this is an exporter: see /metrics"),
        };
        if request.method() == Method::HEAD {
            let length = hyper::body::Body::size_hint(response.body()).exact().unwrap_or_default();
            *response.body_mut() = body::empty();
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        origin.allow(response.headers_mut());
        response
    }
}

impl Answers {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            "/health" => self.health().await,
            "/metrics" => self.metrics(request.headers()).await,
            _ => {
                let (node, port) = (self.exporter.node(), self.exporter.port());
                let text =
                    format!("Exporter of {node}: counts the connections of Ollama's port {port}. See /metrics and /health.\n");
                reply::whole(StatusCode::OK, reply::TEXT, text)
            }
        }
    }

    /// Always 200 while we run: that Ollama does not listen is no fault of ours.
    async fn health(&self) -> Response<Body> {
        let seen = self.exporter.listening_and_exact().await;
        let bytes = seen.map(|(_, exact)| if exact { "counted" } else { "estimated" });
        let value = json!({
            "status": if seen.is_some() { "healthy" } else { "degraded" },
            "node": self.exporter.node(),
            "ollama_port": self.exporter.port(),
            "listening": seen.map(|(listening, _)| listening),
            "bytes": bytes,
        });
        reply::json(StatusCode::OK, &value)
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|range| range.to_str().ok());
        let format = Format::accepted(&ranges.collect::<Vec<_>>().join(","));
        let Some(page) = self.exporter.page(format).await else {
            return told(StatusCode::SERVICE_UNAVAILABLE, "this system did not list its connections within 8 s; ask again");
        };
        let mut response = reply::whole(StatusCode::OK, format.content_type(), page);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }
}

fn told(status: StatusCode, text: &str) -> Response<Body> {
    reply::json(status, &json!({ "error": text }))
}
