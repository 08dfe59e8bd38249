//! Parameters that a model does not take. The provider's error names one of them; without it the request may pass.

use serde_json::{Map, Value};

/// What a request can do without: how words are drawn and counted, not what is asked.
const SPARED: [&str; 14] = [
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "seed",
    "stop",
    "parallel_tool_calls",
    "reasoning_effort",
    "stream_options",
    "user",
    "max_tokens",
    "max_completion_tokens",
];

/// How the refusal of a name begins that no model of the server knows, or not this one.
const UNRECOGNIZED: &str = "Unrecognized request argument";

/// A request without a parameter.
#[derive(Debug, PartialEq, Eq)]
pub struct Less {
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the wish is gone with it; the limit of an answer only changes its name.
    pub dropped: bool,
}

/// The parameter that a refusal of OpenAI's kind is about, if the request can do without it.
pub fn refused_parameter(refusal: &[u8]) -> Option<&'static str> {
    let refusal: Value = serde_json::from_slice(refusal).ok()?;
    let error = refusal.get("error")?;
    let text = error.get("message").and_then(Value::as_str).unwrap_or_default();
    if let Some(names) = text.strip_prefix(UNRECOGNIZED) {
        return SPARED.into_iter().find(|key| names.split([' ', ',', ':', '\'', '.']).any(|name| name == *key));
    }
    let code = error.get("code")?.as_str()?;
    if !matches!(code, "unsupported_parameter" | "unsupported_value") {
        return None;
    }
    // Such as `reasoning.effort`; where no parameter is named, the text quotes it.
    let named = error.get("param").and_then(Value::as_str).map(|name| name.replace('.', "_"));
    let quoted = || text.split('\'').nth(1).map(str::to_owned);
    let name = named.or_else(quoted)?;
    SPARED.into_iter().find(|key| *key == name)
}

/// The request without it; `None` if it has no such parameter.
pub fn without(body: &[u8], key: &str) -> Option<Less> {
    let mut asked: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let value = asked.shift_remove(key)?;
    let other = match key {
        "max_tokens" => Some("max_completion_tokens"),
        "max_completion_tokens" => Some("max_tokens"),
        _ => None,
    };
    if let Some(other) = other {
        asked.insert(other.to_owned(), value);
    }
    Some(Less { body: Value::Object(asked).to_string().into_bytes(), dropped: other.is_none() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_one_parameter_that_can_be_spared() {
        let parameter = |error: &str| refused_parameter(format!("{{\"error\":{error}}}").as_bytes());
        for (error, expected) in [
            (r#"{"code":"unsupported_parameter","param":"temperature","message":"x"}"#, Some("temperature")),
            (r#"{"code":"unsupported_value","param":"reasoning.effort","message":"x"}"#, Some("reasoning_effort")),
            (
                r#"{"code":"unsupported_parameter","param":null,"message":"Unsupported parameter: 'max_tokens' is not …"}"#,
                Some("max_tokens"),
            ),
            (r#"{"code":"unsupported_parameter","param":"tools","message":"x"}"#, None),
            (r#"{"code":"invalid_value","param":"temperature","message":"x"}"#, None),
            (r#"{"code":null,"message":"Unrecognized request argument supplied: reasoning_effort"}"#, Some("reasoning_effort")),
            (r#"{"code":null,"message":"Unrecognized request arguments supplied: seeds, user"}"#, Some("user")),
            (r#"{"code":429,"message":"x"}"#, None),
            (r#""text""#, None),
        ] {
            assert_eq!(parameter(error), expected, "{error}");
        }
        assert_eq!(refused_parameter(b"<html>"), None);
    }

    #[test]
    fn a_request_loses_the_parameter_alone_and_a_limit_only_its_name() {
        let body = br#"{"model":"m","temperature":0.5,"max_tokens":9,"stop":["a"]}"#;
        let less = |key| without(body, key).map(|less| (String::from_utf8(less.body).unwrap(), less.dropped));
        let cooler = r#"{"model":"m","max_tokens":9,"stop":["a"]}"#;
        assert_eq!(less("temperature"), Some((cooler.to_owned(), true)));
        let renamed = r#"{"model":"m","temperature":0.5,"stop":["a"],"max_completion_tokens":9}"#;
        assert_eq!(less("max_tokens"), Some((renamed.to_owned(), false)));
        assert_eq!(less("top_p"), None);
    }
}
