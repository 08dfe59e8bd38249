//! The routes under `/sim/` by which tests steer a simulated server in another process. Off unless the settings say so.
//!
//! - `GET /sim/counters`: the counters.
//! - `POST /sim/set`: any of `load_ms`, `first_token_ms`, `token_gap_ms`, `keep_alive_ms`, `tokens`, `on_cpu`.
//! - `POST /sim/fail`: `next` (the failure in small letters, such as `reset_mid_stream`, `busy_503`), `times` (1), and
//!   `path` for the requests it is meant for; without one it strikes inference and changes to the disk.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Ollama;
use super::body::{Body, Cut};
use super::faults::Failure;
use super::reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    load_ms: Option<u64>,
    first_token_ms: Option<u64>,
    token_gap_ms: Option<u64>,
    tokens: Option<usize>,
    keep_alive_ms: Option<u64>,
    on_cpu: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    next: Failure,
    times: Option<u32>,
    path: Option<String>,
}

impl Ollama {
    pub(super) async fn control(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let done = match (&head.method, head.uri.path()) {
            (&Method::GET, "/sim/counters") => {
                let counters = serde_json::to_value(self.counters()).unwrap_or_default();
                return Ok(reply::json(StatusCode::OK, &counters));
            }
            (&Method::POST, "/sim/set") => serde_json::from_slice(&bytes).map(|change| self.apply(&change)),
            (&Method::POST, "/sim/fail") => serde_json::from_slice(&bytes)
                .map(|order: Order| self.fail(order.next, order.times.unwrap_or(1), order.path.as_deref())),
            _ => return Ok(reply::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found")),
        };
        Ok(match done {
            Ok(()) => reply::json(StatusCode::OK, &json!({"ok": true})),
            Err(fault) => reply::json(StatusCode::BAD_REQUEST, &json!({"error": fault.to_string()})),
        })
    }

    fn apply(&self, change: &Change) {
        self.change(|settings| {
            let set = |span: &mut Duration, millis: Option<u64>| {
                if let Some(millis) = millis {
                    *span = Duration::from_millis(millis);
                }
            };
            set(&mut settings.load, change.load_ms);
            set(&mut settings.first_token, change.first_token_ms);
            set(&mut settings.token_gap, change.token_gap_ms);
            set(&mut settings.keep_alive, change.keep_alive_ms);
            settings.tokens = change.tokens.unwrap_or(settings.tokens);
            settings.on_cpu = change.on_cpu.unwrap_or(settings.on_cpu);
        });
    }
}
