//! Answers in Ollama's own words that need no node: "not found" of each route, and the unload of a model that a
//! sleeping node cannot hold in memory anyway.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use super::{answers, times};
use crate::values::ModelName;

/// The text of a 404 for a model, exact to the quotes: clients match on it, and it differs between routes.
pub fn not_found_text(route: &str, name: &str) -> String {
    match route {
        "/api/embed" | "/api/embeddings" | "/v1/embeddings" => format!(r#"model "{name}" not found, try pulling it first"#),
        "/api/copy" => format!(r#"model "{name}" not found"#),
        "/api/show" => not_found_by_full_name(name),
        _ if route == "/v1/models" || route.starts_with("/v1/models/") => not_found_by_full_name(name),
        _ => format!("model '{name}' not found"),
    }
}

/// These routes name the model with its tag, not as it was sent.
fn not_found_by_full_name(name: &str) -> String {
    let full = ModelName::parse(name).map_or_else(|| name.to_owned(), |name| name.display());
    format!("model '{full}' not found")
}

/// What Ollama answers to a generate (or chat) that only unloads a model; `model` is echoed as sent.
pub fn unload_answer(chat: bool, model: &str, now: SystemTime) -> Bytes {
    #[derive(Serialize)]
    struct Unloaded<'a> {
        model: &'a str,
        created_at: String,
        #[serde(flatten)]
        content: Content,
        done: bool,
        done_reason: &'static str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Content {
        Response(&'static str),
        Message { role: &'static str, content: &'static str },
    }
    let content = if chat { Content::Message { role: "assistant", content: "" } } else { Content::Response("") };
    let created_at = times::print(now);
    answers::json(&Unloaded { model, created_at, content, done: true, done_reason: "unload" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_route_says_not_found_in_its_own_words() {
        for route in ["/api/generate", "/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/delete"] {
            assert_eq!(not_found_text(route, "Nope"), "model 'Nope' not found", "{route}");
        }
        for route in ["/api/embed", "/api/embeddings", "/v1/embeddings"] {
            assert_eq!(not_found_text(route, "Nope"), "model \"Nope\" not found, try pulling it first", "{route}");
        }
        for route in ["/api/show", "/v1/models/Nope", "/v1/models"] {
            assert_eq!(not_found_text(route, "library/Nope"), "model 'Nope:latest' not found", "{route}");
        }
        assert_eq!(not_found_text("/api/copy", "Nope"), "model \"Nope\" not found");
        assert_eq!(not_found_text("/api/show", "///"), "model '///' not found");
    }

    #[test]
    fn an_unload_is_answered_as_ollama_does() {
        let now = SystemTime::UNIX_EPOCH + Duration::new(1_795_188_645, 451_699_555);
        let generate = r#"{"model":"tiny:1b","created_at":"2026-11-20T15:30:45.451699555Z","response":"","done":true,"done_reason":"unload"}"#;
        assert_eq!(unload_answer(false, "tiny:1b", now), generate);
        let chat = r#"{"model":"a\"b","created_at":"2026-11-20T15:30:45.451699555Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"unload"}"#;
        assert_eq!(unload_answer(true, "a\"b", now), chat);
    }
}
