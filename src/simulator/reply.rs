//! Answers as Go's `net/http` writes them: which headers, in which order, when a length and when chunks.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::{self, Body};

/// What Go buffers before it decides; a longer answer goes out in chunks.
const GO_BUFFER: usize = 2048;

pub(super) const JSON: &str = "application/json; charset=utf-8";
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Which of the three ways of talking a route has, for the shape of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Native,
    OpenAi,
    Anthropic,
}

impl Shape {
    pub(super) fn of(path: &str) -> Self {
        if path == "/v1/messages" || path.starts_with("/v1/messages/") {
            Self::Anthropic
        } else if path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Native
        }
    }
}

/// A request that is answered with an error in the shape of its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
    /// Some errors are in the native shape on every route.
    pub(super) always_native: bool,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), always_native: false }
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn missing(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(super) fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server busy, please try again.  maximum pending requests exceeded")
    }

    pub(super) fn reply(&self, shape: Shape) -> Response<Body> {
        let shape = if self.always_native { Shape::Native } else { shape };
        match shape {
            Shape::Native => json(self.status, &json!({"error": self.text})),
            Shape::OpenAi => json_line(self.status, &openai_error(self.status, &self.text)),
            Shape::Anthropic => json_line(self.status, &anthropic_error(self.status, &self.text)),
        }
    }
}

fn openai_error(status: StatusCode, text: &str) -> Value {
    let kind = match status.as_u16() {
        400 => "invalid_request_error",
        404 => "not_found_error",
        _ => "api_error",
    };
    json!({"error": {"message": text, "type": kind, "param": null, "code": null}})
}

fn anthropic_error(status: StatusCode, text: &str) -> Value {
    let kind = match status.as_u16() {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        _ => "api_error",
    };
    let id = format!("{:x}", md5::compute(text));
    json!({"type": "error", "error": {"type": kind, "message": text}, "request_id": format!("req_{}", &id[..24])})
}

/// JSON as Go marshals it: `<`, `>` and `&` are escaped.
pub(super) fn marshal(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The native routes' JSON, without a line end.
pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, Some(JSON), marshal(value))
}

/// The `/v1` routes' JSON: another content type, and a line end.
pub(super) fn json_line(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, Some("application/json"), marshal(value) + "\n")
}

pub(super) fn text(status: StatusCode, content_type: &'static str, text: &str) -> Response<Body> {
    whole(status, Some(content_type), text.to_owned())
}

pub(super) fn empty(status: StatusCode) -> Response<Body> {
    whole(status, None, String::new())
}

/// A whole answer; `extra` headers come before the date, as Go writes a handler's own.
pub(super) fn whole_with(
    status: StatusCode,
    extra: &[(HeaderName, &str)],
    content_type: Option<&'static str>,
    text: String,
) -> Response<Body> {
    let length = text.len();
    let mut reply = Response::new(body::full(Bytes::from(text)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    for (name, value) in extra {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name.clone(), value);
        }
    }
    headers.insert(DATE, date());
    if length <= GO_BUFFER {
        if status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, length.into());
        }
    } else {
        let bytes = std::mem::replace(reply.body_mut(), body::full(Bytes::new()));
        *reply.body_mut() = body::of_unknown_length(bytes);
    }
    reply
}

fn whole(status: StatusCode, content_type: Option<&'static str>, text: String) -> Response<Body> {
    whole_with(status, &[], content_type, text)
}

/// A streamed answer. Anthropic's and the Responses route also forbid caching, and say `Connection: keep-alive`.
pub(super) fn stream(content_type: &'static str, keep_alive: bool, body: Body) -> Response<Body> {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    if keep_alive {
        headers.insert(hyper::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("keep-alive"));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(DATE, date());
    reply
}

fn date() -> HeaderValue {
    let text = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A time as Go's RFC 3339 writes it: nanoseconds without trailing zeros.
pub(super) fn time(at: DateTime<Utc>) -> String {
    let text = at.to_rfc3339_opts(SecondsFormat::Nanos, false);
    let (clock, _zone) = text.split_at(text.len() - "+00:00".len());
    format!("{}Z", clock.trim_end_matches('0').trim_end_matches('.'))
}

pub(super) fn now() -> String {
    time(Utc::now())
}
