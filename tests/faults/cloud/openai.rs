//! What OpenAI says.

use serde_json::{Value, json};

use crate::Words;

/// Its models.
pub fn list() -> Value {
    json!({ "object": "list", "data": [{ "id": "gpt-4o-mini", "object": "model", "created": 1_721_172_741, "owned_by": "system" }] })
}

/// An answer of these texts.
pub fn words(body: &Value, texts: &[String]) -> Words {
    let head = json!({ "id": "chatcmpl-1", "created": 1, "model": body["model"] });
    let with = |object: &str, choice: Value| {
        let mut value = head.clone();
        (value["object"], value["choices"]) = (object.into(), json!([choice]));
        value
    };
    let chunk = |delta: &Value, reason: Option<&str>| {
        event(&with("chat.completion.chunk", json!({ "index": 0, "delta": delta, "finish_reason": reason })))
    };
    let mut events = vec![chunk(&json!({ "role": "assistant", "content": "" }), None)];
    events.extend(texts.iter().map(|text| chunk(&json!({ "content": text }), None)));
    events.push(chunk(&json!({}), Some("length")));
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": texts.len(), "total_tokens": 7 + texts.len() });
    if body["stream_options"]["include_usage"] == true {
        let mut last = head.clone();
        (last["object"], last["choices"], last["usage"]) = ("chat.completion.chunk".into(), json!([]), usage.clone());
        events.push(event(&last));
    }
    events.push("data: [DONE]\n\n".to_owned());
    let message = json!({ "role": "assistant", "content": texts.concat(), "refusal": null });
    let mut whole = with("chat.completion", json!({ "index": 0, "message": message, "finish_reason": "length" }));
    whole["usage"] = usage;
    let error = json!({ "error": { "message": "The server had an error", "type": "server_error", "param": null, "code": null } });
    Words { events, whole, error_event: event(&error), error }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}
