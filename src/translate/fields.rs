//! A client's JSON object, read field by field: wrong types are the client's fault and named, `null` is as good as absent.

use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::values::{Fault, Kind};

/// The fields that have not been taken yet.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// `/api`: keys match without case, as in Ollama.
    any_case: bool,
}

pub(crate) fn bad(text: impl Into<String>) -> Fault {
    Fault::client(Kind::BadRequest, text.into())
}

impl Fields {
    /// The first JSON value of a body; what follows it is ignored, as Ollama does.
    pub(crate) fn of_body(body: &[u8], any_case: bool) -> Result<Self, Fault> {
        if body.trim_ascii().is_empty() {
            return Err(bad("missing request body"));
        }
        let value = Value::deserialize(&mut serde_json::Deserializer::from_slice(body));
        Self::of(value.map_err(|why| bad(format!("the request body is not valid JSON: {why}")))?, any_case, "the request body")
    }

    /// A value that must be an object.
    pub(crate) fn of(value: Value, any_case: bool, what: &str) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self { map, any_case }),
            _ => Err(bad(format!("{what} must be an object"))),
        }
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        let found = match self.map.contains_key(key) {
            true => Some(key.to_owned()),
            false if self.any_case => self.map.keys().find(|name| name.eq_ignore_ascii_case(key)).cloned(),
            false => None,
        };
        self.map.shift_remove(&found?).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(format!("`{key}` must be a string"))),
        }
    }

    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(bad(format!("`{key}` must be true or false"))),
        }
    }

    pub(crate) fn number(&mut self, key: &str) -> Result<Option<Number>, Fault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number)),
            Some(_) => Err(bad(format!("`{key}` must be a number"))),
        }
    }

    /// A count; Ollama takes `128.0` for `128`, so we do.
    pub(crate) fn whole(&mut self, key: &str) -> Result<Option<i64>, Fault> {
        let Some(number) = self.number(key)? else { return Ok(None) };
        #[allow(clippy::cast_possible_truncation, reason = "a float beyond i64 saturates, which is as good")]
        let whole = number.as_i64().or_else(|| number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i64));
        whole.map(Some).ok_or_else(|| bad(format!("`{key}` must be a whole number")))
    }

    pub(crate) fn list(&mut self, key: &str) -> Result<Vec<Value>, Fault> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(bad(format!("`{key}` must be a list"))),
        }
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Option<Self>, Fault> {
        self.take(key).map(|value| Self::of(value, self.any_case, &format!("`{key}`"))).transpose()
    }

    /// A list of texts, or one text for a list of one.
    pub(crate) fn texts(&mut self, key: &str) -> Result<Vec<String>, Fault> {
        let list = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        };
        let texts = list.into_iter().map(|item| if let Value::String(text) = item { Some(text) } else { None });
        texts.collect::<Option<_>>().ok_or_else(|| bad(format!("`{key}` must be a string or a list of strings")))
    }

    /// The names of what was not taken.
    pub(crate) fn left(self) -> impl Iterator<Item = String> {
        self.map.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.map
    }
}

/// The limit of an answer's length, unless the number means that there is none: 0 and less do.
pub(crate) fn limit(whole: Option<i64>) -> Option<u64> {
    whole.and_then(|most| u64::try_from(most).ok()).filter(|most| *most > 0)
}

/// The arguments of a call as the text of a JSON object: some clients send the object, some its text.
pub(crate) fn arguments(value: Option<Value>) -> Result<String, Fault> {
    match value {
        None => Ok("{}".to_owned()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok("{}".to_owned()),
        Some(Value::String(text)) if is_object(&text) => Ok(text),
        Some(value @ Value::Object(_)) => Ok(value.to_string()),
        Some(_) => Err(bad("the `arguments` of a tool call must be a JSON object")),
    }
}

/// Whether a text is one whole JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    let text = text.trim_ascii();
    text.starts_with('{') && text.ends_with('}') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
