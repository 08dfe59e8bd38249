//! The one place that makes statuses: a fault becomes a reply in the client's own dialect.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::{self, Body};
use super::headers;
use crate::values::{Dialect, Fault, Kind, Retry, Whose};

/// Ollama's own spelling of its JSON content type.
pub const JSON: &str = "application/json; charset=utf-8";

/// Ollama's own spelling of its text content type.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// A whole body with its type.
pub fn whole(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON object of ours.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    whole(status, JSON, value.to_string())
}

/// A status without a body.
pub fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

/// The status a kind of fault has in every dialect.
pub fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::BadRequest => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Method => StatusCode::METHOD_NOT_ALLOWED,
        Kind::SlowClient => StatusCode::REQUEST_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Busy | Kind::Asleep | Kind::NoNode | Kind::Draining | Kind::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
        Kind::WakeFailed | Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Refusing | Kind::Died | Kind::Credentials => StatusCode::BAD_GATEWAY,
        Kind::Loop => StatusCode::LOOP_DETECTED,
        Kind::Limited => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// The name of an error in OpenAI's shape, as Ollama itself chooses it (`openai.NewError`).
fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The name of an error in Anthropic's shape, as Ollama itself chooses it (`anthropic.NewError`).
fn anthropic_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        _ => "api_error",
    }
}

/// The body of an error in a dialect.
pub fn error_body(status: StatusCode, text: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Native => json!({ "error": text }),
        Dialect::OpenAi => {
            json!({ "error": { "message": text, "type": openai_type(status), "param": null, "code": null } })
        }
        Dialect::Anthropic => json!({ "type": "error", "error": { "type": anthropic_type(status), "message": text } }),
    }
    .to_string()
}

/// A fault as the client shall read it.
///
/// What a client may repeat later carries `Retry-After`, and `x-should-retry: false`: a wake takes minutes, and SDKs
/// would repeat all of it at once.
pub fn fault(fault: &Fault, dialect: Dialect) -> Response<Body> {
    let status = status(fault.kind);
    let content_type = if dialect == Dialect::Native { JSON } else { "application/json" };
    let mut response = whole(status, content_type, error_body(status, &fault.text, dialect));
    let after = match fault.retry {
        Retry::After(wait) => Some(wait),
        Retry::Now | Retry::Never if status.is_server_error() => Some(Duration::from_secs(10)),
        Retry::Now | Retry::Never => None,
    };
    if let Some(wait) = after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        // A provider's limits, and a client's own, are what the retries of SDKs are made for.
        let limited = fault.kind == Kind::Limited && fault.whose == Whose::Client;
        if fault.whose != Whose::Provider && !limited {
            response.headers_mut().insert(headers::SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    }
    if fault.kind == Kind::Unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ollama-proxy\""));
    }
    if fault.kind == Kind::SlowClient {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_shape_of_its_dialect() {
        let body = |dialect| error_body(StatusCode::NOT_FOUND, "model 'x' not found", dialect);
        assert_eq!(body(Dialect::Native), r#"{"error":"model 'x' not found"}"#);
        assert_eq!(
            body(Dialect::OpenAi),
            r#"{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}"#
        );
        assert_eq!(
            body(Dialect::Anthropic),
            r#"{"type":"error","error":{"type":"not_found_error","message":"model 'x' not found"}}"#
        );
    }

    #[test]
    fn a_failed_wake_tells_sdks_not_to_repeat_it() {
        let failed = Fault::node(Kind::WakeFailed, Retry::After(Duration::from_secs(30)), "did not wake");
        let response = fault(&failed, Dialect::OpenAi);
        assert_eq!(response.status(), 504);
        assert_eq!(response.headers()["retry-after"], "30");
        assert_eq!(response.headers()["x-should-retry"], "false");
    }

    #[test]
    fn a_client_fault_is_not_marked_for_retry() {
        let response = fault(&Fault::client(Kind::NotFound, "no"), Dialect::Native);
        assert!(!response.headers().contains_key("retry-after"));
    }
}
