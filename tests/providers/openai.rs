//! OpenAI, and the same in Azure: it refuses what the real one refuses, and speaks as its reference says.

use base64::Engine;
use serde_json::{Value, json};

use crate::server::{Heard, Pieces, Say, Server};

pub const KEY: &str = "sk-canary-openai-0123456789";
pub const AZURE_KEY: &str = "canary-azure-0123456789";

/// Every top-level field of chat completions that is used here; the real one refuses others too.
const KNOWN: [&str; 22] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "user",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "stop",
    "n",
    "store",
];

pub async fn start() -> Server {
    Server::start(answer).await
}

/// A server at home that speaks the same dialect and asks for no key.
pub async fn local() -> Server {
    Server::start(|heard| match heard.asked.as_str() {
        "GET /health" => refuse(404, "Unexpected endpoint or method. (GET /health)", None),
        _ => spoken(heard, KEY),
    })
    .await
}

fn refuse(status: u16, text: &str, code: Option<&str>) -> Say {
    let kind = if status == 429 { "requests" } else { "invalid_request_error" };
    Say::json(status, &json!({ "error": { "message": text, "type": kind, "param": null, "code": code } }))
}

fn answer(heard: &Heard) -> Say {
    let azure = heard.asked.contains(" /openai/");
    let key = if azure { heard.header("api-key").to_owned() } else { heard.header("authorization").replace("Bearer ", "") };
    if key != if azure { AZURE_KEY } else { KEY } {
        return refuse(401, &format!("Incorrect API key provided: {key}."), Some("invalid_api_key"));
    }
    spoken(heard, &key)
}

fn spoken(heard: &Heard, key: &str) -> Say {
    let (_, target) = heard.asked.split_once(' ').unwrap();
    let path = target.strip_prefix("/openai").unwrap_or(target);
    let path = path.split('?').next().unwrap();
    match path.rsplit_once("/v1").map_or(path, |(_, path)| path) {
        "/models" => Say::json(
            200,
            &json!({ "object": "list", "data": [
            { "id": "gpt-4o-mini", "object": "model", "created": 1_721_172_741, "owned_by": "system" },
            { "id": "text-embedding-3-small", "object": "model", "created": 1_705_948_997, "owned_by": "system" },
            { "id": "whisper-1", "object": "model", "created": 1, "owned_by": "system" }] }),
        ),
        "/embeddings" => embeddings(&heard.body),
        "/responses" => responses(),
        "/audio/transcriptions" => Say::json(200, &json!({ "text": format!("{} bytes", heard.raw.len()) })),
        path if path.ends_with("/chat/completions") => chat(&heard.body, key),
        other => refuse(404, &format!("Invalid URL (POST {other})"), None),
    }
}

fn chat(body: &Value, key: &str) -> Say {
    if let Some(fault) = fault(body) {
        return fault;
    }
    let asked = body["messages"].to_string();
    let streams = body["stream"] == true;
    if asked.contains("too fast") {
        return refuse(429, &format!("Rate limit reached for {key}"), Some("rate_limit_exceeded")).with("retry-after-ms", "6500");
    }
    if asked.contains("fall over") {
        return Say::json(500, &json!({ "error": { "message": "The server had an error", "type": "server_error" } }));
    }
    if !streams {
        return Say::json(200, &whole(body, asked.contains("call the tool")));
    }
    let error = |code: &str| {
        event(&json!({ "error": { "message": format!("stopped, key {key}"), "type": "server_error", "code": code } }))
    };
    let role = chunk(&json!({ "role": "assistant", "content": "", "refusal": null }), None);
    let (hello, there) = (chunk(&json!({ "content": "Hello" }), None), chunk(&json!({ "content": " there ü" }), None));
    if asked.contains("first error") {
        return Say::events(Pieces::Stream(vec![error("rate_limit_exceeded")]));
    }
    if asked.contains("late error") {
        return Say::events(Pieces::Stream(vec![role, hello, error("server_error")]));
    }
    if asked.contains("break off") {
        return Say::events(Pieces::Broken(vec![role, hello]));
    }
    if asked.contains("end early") {
        return Say::events(Pieces::Stream(vec![role, hello]));
    }
    if asked.contains("never end") {
        return Say::events(Pieces::Endless(hello));
    }
    let mut pieces = vec![role];
    let reason = if asked.contains("call the tool") {
        pieces.push(chunk(&json!({ "tool_calls": [{ "index": 0, "id": "call_abc", "type": "function", "function": { "name": "weather", "arguments": "" } }] }), None));
        pieces.extend(
            ["{\"city\":", "\"Paris\"}"]
                .map(|part| chunk(&json!({ "tool_calls": [{ "index": 0, "function": { "arguments": part } }] }), None)),
        );
        "tool_calls"
    } else {
        pieces.extend([hello, there]);
        "stop"
    };
    pieces.push(chunk(&json!({}), Some(reason)));
    if body["stream_options"]["include_usage"] == true {
        pieces.push(event(&json!({ "id": "chatcmpl-x", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18", "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13 } })));
    }
    pieces.push("data: [DONE]\n\n".to_owned());
    // As TCP brings it: cut anywhere.
    let text = pieces.concat();
    let cut = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let cuts = text.as_bytes().chunks(61).map(cut);
    if text.is_ascii() { Say::events(Pieces::Stream(cuts.collect())) } else { Say::events(Pieces::Stream(pieces)) }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn chunk(delta: &Value, reason: Option<&str>) -> String {
    event(&json!({
        "id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1_795_188_647, "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default", "system_fingerprint": "fp_x",
        "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }],
    }))
}

fn whole(body: &Value, calls: bool) -> Value {
    let mut message = json!({ "role": "assistant", "content": "Hello there ü", "refusal": null, "annotations": [] });
    if calls {
        message["content"] = Value::Null;
        message["tool_calls"] = json!([{ "id": "call_abc", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Paris\"}" } }]);
    }
    json!({
        "id": "chatcmpl-x", "object": "chat.completion", "created": 1_795_188_647, "model": body["model"],
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": if calls { "tool_calls" } else { "stop" } }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13 },
    })
}

/// What the real one answers 400 or 404 to.
fn fault(body: &Value) -> Option<Say> {
    let object = body.as_object().filter(|body| !body.is_empty());
    let Some(object) = object else { return Some(refuse(400, "We could not parse the JSON body of your request.", None)) };
    if let Some(unknown) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Some(refuse(400, &format!("Unrecognized request argument supplied: {unknown}"), None));
    }
    let model = body["model"].as_str().unwrap_or_default();
    if !["gpt-4o-mini", "o4-mini", "mini"].contains(&model) {
        return Some(refuse(
            404,
            &format!("The model `{model}` does not exist or you do not have access to it."),
            Some("model_not_found"),
        ));
    }
    if model.starts_with('o') && ["max_tokens", "temperature", "top_p"].iter().any(|key| object.contains_key(*key)) {
        return Some(refuse(400, "Unsupported parameter", Some("unsupported_parameter")));
    }
    let messages = body["messages"].as_array().filter(|messages| !messages.is_empty());
    let Some(messages) = messages else { return Some(refuse(400, "Invalid 'messages': empty array.", Some("empty_array"))) };
    if body["response_format"]["type"] == "json_object" && !body["messages"].to_string().to_lowercase().contains("json") {
        return Some(refuse(400, "'messages' must contain the word 'json' in some form", None));
    }
    if body["stream"] != true && object.contains_key("stream_options") {
        return Some(refuse(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None));
    }
    let mut open: Vec<&Value> = Vec::new();
    for message in messages {
        if message["role"] == "tool" {
            let Some(at) = open.iter().position(|id| **id == message["tool_call_id"]) else {
                return Some(refuse(
                    400,
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                    None,
                ));
            };
            open.remove(at);
            continue;
        }
        if !open.is_empty() {
            return Some(refuse(400, "An assistant message with 'tool_calls' must be followed by tool messages", None));
        }
        open = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]).collect();
        let texts = message["tool_calls"].as_array().into_iter().flatten().all(|call| call["function"]["arguments"].is_string());
        if !texts {
            return Some(refuse(400, "Invalid type for 'arguments': expected a string", None));
        }
    }
    None
}

fn embeddings(body: &Value) -> Say {
    if body["model"] != "text-embedding-3-small" {
        return refuse(404, "The model does not exist", Some("model_not_found"));
    }
    let count = body["input"].as_array().map_or(1, Vec::len);
    let numbers = [0.5_f32, -0.25, 0.125];
    let embedding = if body["encoding_format"] == "base64" {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        json!(base64::engine::general_purpose::STANDARD.encode(bytes))
    } else {
        json!(numbers)
    };
    let data: Vec<Value> =
        (0..count).rev().map(|index| json!({ "object": "embedding", "index": index, "embedding": embedding })).collect();
    Say::json(
        200,
        &json!({ "object": "list", "data": data, "model": "text-embedding-3-small", "usage": { "prompt_tokens": 3, "total_tokens": 3 } }),
    )
}

/// What `/v1/responses` streams: named events without an end mark of their own.
pub const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"error\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\"}}\n\n",
);

fn responses() -> Say {
    Say::events(Pieces::Stream(vec![RESPONSES.to_owned()]))
}
