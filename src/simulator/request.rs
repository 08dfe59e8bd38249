//! Requests as Ollama reads them: any Content-Type, the first JSON value only, keys without regard to case.

use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use serde_json::{Map, Value};

use super::reply::{Refusal, Shape};

/// One request with its body read.
pub(super) struct Call {
    pub(super) path: String,
    pub(super) shape: Shape,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Call {
    /// The JSON object in the body.
    pub(super) fn fields(&self) -> Result<Fields, Refusal> {
        let native = self.shape == Shape::Native;
        let bytes = self.decoded()?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Refusal::bad(if native { "missing request body" } else { "EOF" }));
        }
        let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(fields))) => Ok(Fields(fields)),
            Some(Ok(_)) => Err(Refusal::bad("json: cannot unmarshal into Go value of type api.Request")),
            Some(Err(fault)) if fault.is_eof() => Err(Refusal::bad("unexpected EOF")),
            Some(Err(fault)) => Err(Refusal::bad(format!("invalid character in JSON: {fault}"))),
            None => Err(Refusal::bad("EOF")),
        }
    }

    /// `/v1` routes take zstd; nothing else is ever decoded.
    fn decoded(&self) -> Result<Bytes, Refusal> {
        const LIMIT: u64 = 20 << 20;
        let zstd = self.headers.get(hyper::header::CONTENT_ENCODING).is_some_and(|e| e.as_bytes() == b"zstd");
        if self.shape == Shape::Native || !zstd {
            return Ok(self.bytes.clone());
        }
        let fault = |_| Refusal::bad("failed to decode zstd body");
        let decoder =
            ruzstd::decoding::StreamingDecoder::new(&self.bytes[..]).map_err(|_| Refusal::bad("failed to decode zstd body"))?;
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(decoder, LIMIT), &mut plain).map_err(fault)?;
        Ok(plain.into())
    }
}

/// The fields of a JSON object; the last key that matches without case wins.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        let found = self.0.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
        found.filter(|value| !value.is_null())
    }

    /// A text, empty when absent.
    pub(super) fn text(&self, key: &str) -> Result<&str, Refusal> {
        match self.get(key) {
            None => Ok(""),
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(wrong_type(key, other)),
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Refusal> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong_type(key, other)),
        }
    }

    pub(super) fn list(&self, key: &str) -> Result<&[Value], Refusal> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(wrong_type(key, other)),
        }
    }

    pub(super) fn object(&self, key: &str) -> Fields {
        match self.get(key) {
            Some(Value::Object(fields)) => Fields(fields.clone()),
            _ => Fields::default(),
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        let whole = |v: &Value| v.as_f64().and_then(|f| format!("{f:.0}").parse().ok());
        self.get(key).and_then(|v| v.as_i64().or_else(|| whole(v)))
    }

    /// `model`, or the older `name` that some clients still send.
    pub(super) fn model_or_name(&self) -> Result<&str, Refusal> {
        match self.text("model")? {
            "" => self.text("name"),
            model => Ok(model),
        }
    }
}

fn wrong_type(key: &str, value: &Value) -> Refusal {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Refusal::bad(format!("json: cannot unmarshal {kind} into Go struct field .{key}"))
}

/// How long a model stays loaded after a request; `None` is for ever.
pub(super) type KeepAlive = Option<Duration>;

/// Reads `keep_alive`: seconds, or a Go duration; negative means for ever.
pub(super) fn keep_alive(fields: &Fields) -> Result<Option<KeepAlive>, Refusal> {
    match fields.get("keep_alive") {
        None => Ok(None),
        Some(Value::Number(seconds)) => Ok(Some(span(seconds.as_f64().unwrap_or(0.0)))),
        Some(Value::String(text)) => go_duration(text).map(|seconds| Some(span(seconds))),
        Some(other) => Err(wrong_type("keep_alive", other)),
    }
}

fn span(seconds: f64) -> KeepAlive {
    if seconds < 0.0 { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

/// A duration as Go parses it (`1h30m`, `-1s`, `0`), in seconds.
fn go_duration(text: &str) -> Result<f64, Refusal> {
    let invalid = || Refusal::bad(format!("time: invalid duration {text:?}"));
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0.0);
    }
    let mut seconds = 0.0;
    while !rest.is_empty() || seconds == 0.0 {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "" => return Err(Refusal::bad(format!("time: missing unit in duration {text:?}"))),
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            other => return Err(Refusal::bad(format!("time: unknown unit {other:?} in duration {text:?}"))),
        };
        seconds += number * scale;
        rest = &rest[unit..];
        if rest.is_empty() {
            break;
        }
    }
    Ok(sign * seconds)
}
