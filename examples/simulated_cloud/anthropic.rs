//! Anthropic: it refuses what the real one refuses, and speaks as its reference says.

use serde_json::{Value, json};

use crate::schema;
use crate::server::{Heard, Pieces, Say, Server};
use crate::sight;

pub const KEY: &str = "sk-ant-canary-0123456789";

/// What it thinks, and how it signs that.
const THOUGHT: &str = "A greeting, so I greet.";
const SIGNATURE: &str = "EqQBCkYIBRgCKkBzaWduZWQgYnkgdGhlIHN0YW5kLWlu";

/// Of its API. The younger one knows no sampling.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

const SAMPLING: [&str; 3] = ["temperature", "top_k", "top_p"];

/// Every top-level field; others are refused.
const KNOWN: [&str; 15] = [
    "model",
    "messages",
    "max_tokens",
    "system",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "service_tier",
];

pub async fn start() -> Server {
    Server::start(answer).await
}

fn refuse(status: u16, kind: &str, text: &str) -> Say {
    Say::json(status, &json!({ "type": "error", "error": { "type": kind, "message": text }, "request_id": "req_1" }))
}

pub fn answer(heard: &Heard) -> Say {
    if heard.header("x-api-key") != KEY || !heard.header("authorization").is_empty() {
        return refuse(401, "authentication_error", &format!("invalid x-api-key {}", heard.header("x-api-key")));
    }
    let version = heard.header("anthropic-version");
    if !VERSIONS.contains(&version) {
        return refuse(400, "invalid_request_error", "anthropic-version: header is required");
    }
    if let Some(gone) = SAMPLING.iter().find(|key| version != VERSIONS[0] && !heard.body[**key].is_null()) {
        return refuse(400, "invalid_request_error", &format!("{gone}: Extra inputs are not permitted"));
    }
    if heard.asked.starts_with("POST") && !heard.header("content-type").starts_with("application/json") {
        return refuse(400, "invalid_request_error", "content-type: must be application/json");
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
        "POST /v1/messages/count_tokens" => count(&heard.body),
        other => refuse(404, "not_found_error", other),
    }
}

fn model(id: &str) -> Value {
    let yes = json!({ "supported": true });
    json!({ "type": "model", "id": id, "display_name": id, "created_at": "2026-02-04T00:00:00Z", "max_input_tokens": 200_000, "max_tokens": 64_000,
        "capabilities": { "thinking": { "supported": true, "types": { "adaptive": yes, "enabled": yes } }, "effort": yes, "image_input": yes } })
}

fn count(body: &Value) -> Say {
    if !body["max_tokens"].is_null() {
        return refuse(400, "invalid_request_error", "max_tokens: Extra inputs are not permitted");
    }
    Say::json(200, &json!({ "input_tokens": 42 }))
}

fn messages(body: &Value) -> Say {
    if !["claude-first", "claude-second"].contains(&body["model"].as_str().unwrap_or_default()) {
        return refuse(404, "not_found_error", &format!("model: {}", body["model"]));
    }
    let why = fault_of_settings(body).or_else(|| fault_of_thinking(body)).or_else(|| fault_of_messages(body));
    if let Some(why) = why {
        return refuse(400, "invalid_request_error", &why);
    }
    let asked = body["messages"].to_string();
    if asked.contains("too much") {
        return refuse(529, "overloaded_error", "Overloaded");
    }
    if asked.contains("too fast") {
        let text = "This request would exceed your organization's rate limit";
        return refuse(429, "rate_limit_error", text).with("retry-after", "7");
    }
    if asked.contains("revoked key") {
        return refuse(401, "authentication_error", "invalid x-api-key");
    }
    if asked.contains("fall over") {
        return refuse(500, "api_error", "Internal server error");
    }
    let speech = Speech::of(body, &asked);
    if body["stream"] != true && asked.contains("first error") {
        let error = json!({ "type": "overloaded_error", "message": "Overloaded" });
        return Say::json(200, &json!({ "type": "error", "error": error }));
    }
    if body["stream"] == true { stream(body, &speech, &asked) } else { Say::json(200, &speech.whole(body)) }
}

/// What a request makes it say.
struct Speech {
    thinks: bool,
    text: String,
    calls: bool,
}

impl Speech {
    fn of(body: &Value, asked: &str) -> Self {
        let calls = asked.contains("call the tool") && !body["tools"].is_null() && body["tool_choice"]["type"] != "none";
        let format = &body["output_config"]["format"];
        let text = if format.is_null() {
            blocks(body, "image").next().map_or("Hello".to_owned(), |image| format!("I see {}", seen(&image).unwrap()))
        } else {
            schema::instance(&format["schema"]).to_string()
        };
        Self { thinks: thinks(body), text, calls: calls && blocks(body, "tool_result").next().is_none() }
    }

    fn reason(&self) -> &'static str {
        if self.calls { "tool_use" } else { "end_turn" }
    }

    fn whole(&self, body: &Value) -> Value {
        let mut content = Vec::new();
        content.extend(self.thinks.then(|| json!({ "type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE })));
        content.push(json!({ "type": "text", "text": self.text }));
        let call = || json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "city": "Paris" } });
        content.extend(self.calls.then(call));
        let usage =
            json!({ "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 5 });
        json!({ "id": "msg_x", "type": "message", "role": "assistant", "model": body["model"], "content": content, "stop_reason": self.reason(), "stop_sequence": null, "usage": usage })
    }

    /// The events of its blocks.
    fn blocks(&self) -> Vec<Value> {
        let mut blocks = Vec::new();
        if self.thinks {
            let parts = THOUGHT.split_inclusive(' ').map(|part| json!({ "type": "thinking_delta", "thinking": part }));
            let signed = json!({ "type": "signature_delta", "signature": SIGNATURE });
            blocks.push((json!({ "type": "thinking", "thinking": "", "signature": "" }), parts.chain([signed]).collect()));
        }
        let half = self.text.char_indices().map(|(at, _)| at).find(|at| *at >= 3).unwrap_or(self.text.len());
        let text = |part: &str| json!({ "type": "text_delta", "text": part });
        let halves = vec![text(&self.text[..half]), text(&self.text[half..])];
        blocks.push((json!({ "type": "text", "text": "" }), halves));
        if self.calls {
            let part = |part: &str| json!({ "type": "input_json_delta", "partial_json": part });
            let parts = ["", "{\"city\":", "\"Paris\"}"].map(part).to_vec();
            blocks.push((json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} }), parts));
        }
        let events = blocks.into_iter().enumerate().flat_map(|(index, (block, deltas))| {
            let delta = move |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
            let begin = json!({ "type": "content_block_start", "index": index, "content_block": block });
            let end = json!({ "type": "content_block_stop", "index": index });
            [begin].into_iter().chain(deltas.into_iter().map(delta)).chain([end])
        });
        events.collect()
    }
}

fn stream(body: &Value, speech: &Speech, asked: &str) -> Say {
    let begin = json!({ "type": "message_start", "message": { "id": "msg_x", "type": "message", "role": "assistant", "model": body["model"], "content": [], "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": 1 } } });
    let mut events = vec![begin, json!({ "type": "ping" })];
    let blocks = speech.blocks();
    let error = |kind: &str, text: &str| json!({ "type": "error", "error": { "type": kind, "message": text } });
    if asked.contains("first error") {
        events.insert(1, json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
        events.push(error("overloaded_error", "Overloaded"));
        return speak(&events);
    }
    if asked.contains("never end") {
        let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hello" } });
        events.push(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
        return Say::events(Pieces::Endless(events.iter().map(told).collect(), told(&delta)));
    }
    events.extend(blocks);
    if asked.contains("late error") {
        // Behind the text, whose block has not ended.
        events.pop();
        events.push(error("api_error", "Internal server error"));
        return speak(&events);
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": speech.reason(), "stop_sequence": null }, "usage": { "output_tokens": 5 } }));
    events.push(json!({ "type": "message_stop" }));
    speak(&events)
}

fn told(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}

fn speak(events: &[Value]) -> Say {
    let text: String = events.iter().map(told).collect();
    Say::events(Pieces::Stream(text.as_bytes().chunks(53).map(|cut| String::from_utf8(cut.to_vec()).unwrap()).collect()))
}

fn thinks(body: &Value) -> bool {
    matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive"))
}

/// All blocks of a kind, in all messages.
fn blocks(body: &Value, kind: &'static str) -> impl Iterator<Item = Value> {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let blocks = messages.into_iter().flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    blocks.filter(move |block| block["type"] == kind)
}

fn seen(image: &Value) -> Result<String, String> {
    let source = &image["source"];
    if source["type"] != "base64" {
        return Err("messages.0.content.0.image.source: Unable to download the file".to_owned());
    }
    sight::see(source["media_type"].as_str().unwrap_or_default(), source["data"].as_str().unwrap_or_default())
}

fn fault_of_settings(body: &Value) -> Option<String> {
    let Some(object) = body.as_object() else { return Some("The request body is not valid JSON".to_owned()) };
    if let Some(unknown) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Some(format!("{unknown}: Extra inputs are not permitted"));
    }
    let most = body["max_tokens"].as_u64().filter(|most| *most > 0);
    let Some(most) = most else { return Some("max_tokens: Field required".to_owned()) };
    if most > 64_000 {
        return Some(format!("max_tokens: {most} > 64000, which is the maximum allowed number of output tokens"));
    }
    if !body["temperature"].is_null() && !body["top_p"].is_null() {
        return Some("`temperature` and `top_p` cannot both be specified for this model.".to_owned());
    }
    if body["temperature"].as_f64().is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Some("temperature: range: 0..1".to_owned());
    }
    if body["stop_sequences"].as_array().is_some_and(|stops| stops.iter().any(|stop| stop.as_str().unwrap().trim().is_empty())) {
        return Some("stop_sequences: each stop sequence must contain non-whitespace".to_owned());
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        if !is_name(&tool["name"]) || tool["input_schema"]["type"] != "object" {
            return Some("tools.0.custom.input_schema.type: Field required".to_owned());
        }
    }
    if !body["tool_choice"].is_null() && body["tools"].as_array().is_none_or(Vec::is_empty) {
        return Some("tool_choice may only be specified while providing tools.".to_owned());
    }
    let format = &body["output_config"]["format"];
    let open = (!format.is_null()).then(|| schema::open(&format["schema"], false)).flatten();
    open.map(|why| format!("output_config.format.schema: {why}"))
}

fn is_name(name: &Value) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    name.as_str().is_some_and(|name| (1..=128).contains(&name.len()) && name.bytes().all(safe))
}

/// Thinking wants room, no forced tool, no other temperature, and its signed thoughts back.
fn fault_of_thinking(body: &Value) -> Option<String> {
    if !thinks(body) {
        return None;
    }
    let thinking = &body["thinking"];
    if thinking["type"] == "enabled" {
        let budget = thinking["budget_tokens"].as_u64().unwrap_or_default();
        if budget < 1024 {
            return Some("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024".to_owned());
        }
        if body["max_tokens"].as_u64()? <= budget {
            return Some("`max_tokens` must be greater than `thinking.budget_tokens`.".to_owned());
        }
    }
    if body["temperature"].as_f64().is_some_and(|temperature| temperature < 1.0) || !body["top_k"].is_null() {
        return Some("`temperature` may only be set to 1 when thinking is enabled.".to_owned());
    }
    if matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool")) {
        return Some("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    let last = body["messages"].as_array()?.iter().rev().find(|message| message["role"] == "assistant")?;
    let content = last["content"].as_array()?;
    let goes_on = content.iter().any(|block| block["type"] == "tool_use") && blocks(body, "tool_result").next().is_some();
    let first = content.first().map(|block| block["type"].as_str().unwrap_or_default()).unwrap_or_default();
    if goes_on && !matches!(first, "thinking" | "redacted_thinking") {
        return Some(format!("messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`."));
    }
    None
}

fn fault_of_messages(body: &Value) -> Option<String> {
    let messages = body["messages"].as_array()?;
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Some("messages: first message must use the \"user\" role".to_owned());
    }
    let mut open: Vec<&Value> = Vec::new();
    for message in messages {
        if message["role"] != "user" && message["role"] != "assistant" {
            return Some(format!("messages: Unexpected role {}", message["role"]));
        }
        let blocks: Vec<&Value> = message["content"].as_array().into_iter().flatten().collect();
        if let Some(why) = blocks.iter().find_map(|block| fault_of_block(block)) {
            return Some(why);
        }
        let answered: Vec<&Value> =
            blocks.iter().take_while(|block| block["type"] == "tool_result").map(|block| &block["tool_use_id"]).collect();
        if answered != open {
            return Some("`tool_use` ids were found without `tool_result` blocks immediately after".to_owned());
        }
        open = blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| &block["id"]).collect();
        if !open.iter().all(|id| is_name(id)) {
            return Some("tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'".to_owned());
        }
    }
    None
}

fn fault_of_block(block: &Value) -> Option<String> {
    match block["type"].as_str() {
        Some("text") if block["text"] == "" => Some("messages: text content blocks must be non-empty".to_owned()),
        Some("image") => seen(block).err(),
        Some("thinking") if block["signature"] != SIGNATURE || block["thinking"] != THOUGHT => {
            Some("messages.1.content.0: Invalid `signature` in `thinking` block".to_owned())
        }
        Some("tool_use") if !block["input"].is_object() => Some("tool_use.input: Input should be a valid dictionary".to_owned()),
        Some("text" | "thinking" | "redacted_thinking" | "tool_use" | "tool_result") => None,
        other => Some(format!("messages.0.content.0: Input tag {other:?} found using 'type' does not match")),
    }
}
