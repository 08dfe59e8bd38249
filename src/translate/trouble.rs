//! What a provider's errors become: whose fault, which status, whether to try again. Their texts are kept, bounded.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::values::{Fault, Kind, Retry, Whose};

/// As much of a provider's text as is passed on.
const LONGEST: usize = 2000;

/// The provider's answer cannot be understood.
pub(crate) fn broken(why: &str) -> Fault {
    provider(Kind::Died, Retry::Never, format!("the provider's answer cannot be passed on: {why}"))
}

/// It ended without its end mark.
pub(crate) fn cut_short() -> Fault {
    provider(Kind::Died, Retry::Never, "upstream closed the stream early".to_owned())
}

fn provider(kind: Kind, retry: Retry, text: String) -> Fault {
    Fault { kind, whose: Whose::Provider, retry, text: text.into() }
}

/// The fault that a provider's error answer is. `name` is the provider's, for the text.
///
/// Credentials are ours, not the client's: a 401 would make Ollama's own clients sign in at ollama.com.
pub fn of_answer(name: &str, status: u16, body: &[u8], retry_after: Option<Duration>) -> Fault {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let said = parsed.as_ref().and_then(|body| said(body.get("error").unwrap_or(body)));
    let said = said.unwrap_or_else(|| format!("HTTP status {status}"));
    of_status(name, status, &said, retry_after)
}

/// The fault that an `error` object inside a stream is.
pub(crate) fn of_event(error: &Value) -> Fault {
    let text = said(error).unwrap_or_else(|| "an error that it does not explain".to_owned());
    let word = |key| error.get(key).and_then(Value::as_str);
    let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = status.unwrap_or_else(|| status_of(word("type").unwrap_or_default(), word("code").unwrap_or_default()));
    of_status("the provider", status, &text, None)
}

/// An `error` that says something.
pub(crate) fn told_error(error: Option<&RawValue>) -> Option<Value> {
    let error: Value = serde_json::from_str(error?.get()).ok()?;
    let says_nothing =
        error.is_null() || error == false || error == "" || error.as_object().is_some_and(serde_json::Map::is_empty);
    (!says_nothing).then_some(error)
}

/// What hides in a whole answer that calls itself a success: an error, or JSON that breaks off.
pub fn hidden(body: &[u8]) -> Option<Fault> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    match serde_json::from_slice::<Answer<'_>>(body) {
        Ok(answer) => told_error(answer.error).map(|error| of_event(&error)),
        Err(_) => Some(broken("its answer is no JSON that we know")),
    }
}

fn of_status(name: &str, status: u16, said: &str, retry_after: Option<Duration>) -> Fault {
    let later = Retry::After(retry_after.unwrap_or(Duration::from_secs(10)));
    let text = format!("{name}: {said}");
    match status {
        401 | 403 => {
            let text = format!("{name} refused the proxy's credentials (HTTP status {status}): check its API key");
            provider(Kind::Credentials, Retry::Never, text)
        }
        402 => provider(Kind::Credentials, Retry::Never, text),
        404 => provider(Kind::NotFound, Retry::Never, text),
        408 | 504 => provider(Kind::Timeout, later, text),
        413 => provider(Kind::TooLarge, Retry::Never, text),
        429 => provider(Kind::Limited, later, text),
        400..=499 => provider(Kind::BadRequest, Retry::Never, text),
        503 | 529 => provider(Kind::Overloaded, later, text),
        _ => provider(Kind::Died, Retry::Never, text),
    }
}

/// What an error says about itself.
fn said(error: &Value) -> Option<String> {
    let text = match error {
        Value::String(text) => text,
        _ => error.get("message").or_else(|| error.get("error")).or_else(|| error.get("detail"))?.as_str()?,
    };
    Some(text.chars().take(LONGEST).collect()).filter(|text: &String| !text.is_empty())
}

/// The status that stands behind the name of an error, in both providers' words.
fn status_of(kind: &str, code: &str) -> u16 {
    match (kind, code) {
        ("authentication_error", _) | (_, "invalid_api_key") => 401,
        ("billing_error", _) => 402,
        ("permission_error", _) => 403,
        ("not_found_error", _) | (_, "model_not_found") => 404,
        ("request_too_large", _) => 413,
        ("rate_limit_error", _) | (_, "rate_limit_exceeded" | "insufficient_quota") => 429,
        ("invalid_request_error", _) => 400,
        ("timeout_error", _) => 504,
        ("overloaded_error", _) => 529,
        _ => 500,
    }
}
