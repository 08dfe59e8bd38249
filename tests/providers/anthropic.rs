//! Anthropic: it refuses what the real one refuses, and speaks as its reference says.

use serde_json::{Value, json};

use crate::server::{Heard, Pieces, Say, Server};

pub const KEY: &str = "sk-ant-canary-0123456789";

pub async fn start() -> Server {
    Server::start(answer).await
}

fn refuse(status: u16, kind: &str, text: &str) -> Say {
    Say::json(status, &json!({ "type": "error", "error": { "type": kind, "message": text }, "request_id": "req_1" }))
}

fn answer(heard: &Heard) -> Say {
    if heard.header("x-api-key") != KEY || !heard.header("authorization").is_empty() {
        return refuse(401, "authentication_error", &format!("invalid x-api-key {}", heard.header("x-api-key")));
    }
    if heard.header("anthropic-version") != "2023-06-01" {
        return refuse(400, "invalid_request_error", "anthropic-version: header is required");
    }
    match heard.asked.as_str() {
        "GET /v1/models?limit=1000" => Say::json(
            200,
            &json!({ "data": [model("claude-first")], "has_more": true, "first_id": "claude-first", "last_id": "claude-first" }),
        ),
        "GET /v1/models?limit=1000&after_id=claude-first" => {
            Say::json(200, &json!({ "data": [model("claude-second")], "has_more": false, "first_id": null, "last_id": null }))
        }
        "POST /v1/messages" => messages(&heard.body),
        "POST /v1/messages/count_tokens" => Say::json(200, &json!({ "input_tokens": 42 })),
        other => refuse(404, "not_found_error", other),
    }
}

fn model(id: &str) -> Value {
    let yes = json!({ "supported": true });
    json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-02-04T00:00:00Z", "max_input_tokens": 200_000, "max_tokens": 64_000,
        "capabilities": { "thinking": { "supported": true, "types": { "adaptive": yes, "enabled": yes } }, "effort": yes, "image_input": yes } })
}

fn messages(body: &Value) -> Say {
    if let Some(why) = fault(body) {
        return refuse(400, "invalid_request_error", &why);
    }
    let asked = body["messages"].to_string();
    if asked.contains("too much") {
        return refuse(529, "overloaded_error", "Overloaded");
    }
    let calls = asked.contains("call the tool");
    let usage = json!({ "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 5 });
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Paris" } });
    let reason = if calls { "tool_use" } else { "end_turn" };
    if body["stream"] != true {
        let mut content = vec![json!({ "type": "text", "text": "Hello" })];
        content.extend(calls.then_some(call));
        return Say::json(
            200,
            &json!({ "id": "msg_x", "type": "message", "role": "assistant", "model": body["model"], "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage }),
        );
    }
    let mut events = vec![
        json!({ "type": "message_start", "message": { "id": "msg_x", "type": "message", "role": "assistant", "model": body["model"], "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
    ];
    if asked.contains("first error") {
        events.push(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }));
        return speak(&events);
    }
    events.extend(
        ["Hel", "lo"]
            .map(|text| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })),
    );
    if asked.contains("late error") {
        events.push(json!({ "type": "error", "error": { "type": "api_error", "message": "Internal server error" } }));
        return speak(&events);
    }
    events.push(json!({ "type": "content_block_stop", "index": 0 }));
    if calls {
        events.push(json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} } }));
        events.extend(["", "{\"city\":", "\"Paris\"}"].map(|part| json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": part } })));
        events.push(json!({ "type": "content_block_stop", "index": 1 }));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": { "output_tokens": 5 } }));
    events.push(json!({ "type": "message_stop" }));
    speak(&events)
}

fn speak(events: &[Value]) -> Say {
    let text: String =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect();
    Say::events(Pieces::Stream(text.as_bytes().chunks(53).map(|cut| String::from_utf8(cut.to_vec()).unwrap()).collect()))
}

/// What the real one answers 400 to.
fn fault(body: &Value) -> Option<String> {
    if body["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return Some("max_tokens: Field required".to_owned());
    }
    if !body["temperature"].is_null() && !body["top_p"].is_null() {
        return Some("`temperature` and `top_p` cannot both be specified for this model.".to_owned());
    }
    if body["temperature"].as_f64().is_some_and(|temperature| temperature > 1.0) {
        return Some("temperature: range: 0..1".to_owned());
    }
    let messages = body["messages"].as_array()?;
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Some("messages: first message must use the \"user\" role".to_owned());
    }
    let mut open: Vec<&Value> = Vec::new();
    for message in messages {
        let blocks: Vec<&Value> = message["content"].as_array().into_iter().flatten().collect();
        if blocks.iter().any(|block| block["type"] == "text" && block["text"] == "") {
            return Some("messages: text content blocks must be non-empty".to_owned());
        }
        let answered: Vec<&Value> =
            blocks.iter().take_while(|block| block["type"] == "tool_result").map(|block| &block["tool_use_id"]).collect();
        if answered != open {
            return Some("`tool_use` ids were found without `tool_result` blocks immediately after".to_owned());
        }
        open = blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| &block["id"]).collect();
        let safe =
            |id: &&Value| id.as_str().is_some_and(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)));
        if !open.iter().all(safe) {
            return Some("tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'".to_owned());
        }
    }
    None
}
