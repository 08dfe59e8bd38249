//! What Anthropic says.

use serde_json::{Value, json};

use crate::Words;

/// Its models.
pub fn list() -> Value {
    let model = json!({ "type": "model", "id": "claude-second", "display_name": "Claude", "created_at": "2026-02-04T00:00:00Z" });
    json!({ "data": [model], "has_more": false, "first_id": "claude-second", "last_id": "claude-second" })
}

/// An answer of these texts.
pub fn words(body: &Value, texts: &[String]) -> Words {
    let usage = json!({ "input_tokens": 7, "output_tokens": texts.len() });
    let message = |content: Value, reason: Value| {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": content,
            "stop_reason": reason, "stop_sequence": null, "usage": usage,
        })
    };
    let delta = |text: &String| {
        event(&json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }))
    };
    let mut events = vec![
        event(&json!({ "type": "message_start", "message": message(json!([]), Value::Null) })),
        event(&json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } })),
    ];
    events.extend(texts.iter().map(delta));
    events.push(event(&json!({ "type": "content_block_stop", "index": 0 })));
    let end = json!({ "stop_reason": "max_tokens", "stop_sequence": null });
    events.push(event(&json!({ "type": "message_delta", "delta": end, "usage": { "output_tokens": texts.len() } })));
    events.push(event(&json!({ "type": "message_stop" })));
    let whole = message(json!([{ "type": "text", "text": texts.concat() }]), "max_tokens".into());
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    Words { events, whole, error_event: event(&error), error }
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default())
}
