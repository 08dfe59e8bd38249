//! Routes that need no GPU and no model: the cloud account, and what is said to a browser's preflight.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::body::Body;
use super::reply::{self, Refusal};

pub(super) fn status() -> Response<Body> {
    reply::json(StatusCode::OK, &json!({"cloud": {"disabled": true, "source": "env"}}))
}

/// Nobody is signed in.
pub(super) fn me() -> Response<Body> {
    let link = "https://ollama.com/connect?name=simulated";
    reply::json(StatusCode::UNAUTHORIZED, &json!({"error": "unauthorized", "signin_url": link}))
}

pub(super) fn signed_out() -> Response<Body> {
    reply::json(StatusCode::OK, &Value::Null)
}

pub(super) fn recommendations() -> Response<Body> {
    reply::json(StatusCode::OK, &json!({"recommendations": []}))
}

pub(super) fn cloud_disabled() -> Refusal {
    let text = "ollama cloud is disabled: web search is unavailable";
    Refusal::new(StatusCode::FORBIDDEN, text)
}

/// Every origin is allowed here.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Body> {
    let Some(origin) = headers.get("origin").and_then(|o| o.to_str().ok()) else {
        return reply::text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed");
    };
    let extra = [
        (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        (ACCESS_CONTROL_MAX_AGE, "43200"),
        (VARY, "Origin"),
        (VARY, "Access-Control-Request-Method"),
        (VARY, "Access-Control-Request-Headers"),
    ];
    reply::whole_with(StatusCode::NO_CONTENT, &extra, None, String::new())
}
