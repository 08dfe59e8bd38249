//! OpenAI, and the same in Azure: it refuses what the real one refuses, and speaks as its reference says.

use base64::Engine;
use serde_json::{Value, json};

use crate::schema;
use crate::server::{Heard, Pieces, Say, Server};
use crate::sight;

pub const KEY: &str = "sk-canary-openai-0123456789";
pub const AZURE_KEY: &str = "canary-azure-0123456789";

/// Every top-level field of chat completions that is used here; the real one refuses others too.
const KNOWN: [&str; 23] = [
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
    "metadata",
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

/// A server at home that speaks the same dialect, asks for no key and can repeat none.
pub async fn local() -> Server {
    Server::start(|heard| match heard.asked.as_str() {
        "GET /health" => refuse(404, "Unexpected endpoint or method. (GET /health)", None),
        _ => spoken(heard, "none", false),
    })
    .await
}

fn refuse(status: u16, text: &str, code: Option<&str>) -> Say {
    refuse_parameter(status, text, code, None)
}

fn refuse_parameter(status: u16, text: &str, code: Option<&str>, param: Option<&str>) -> Say {
    let kind = if status == 429 { "requests" } else { "invalid_request_error" };
    Say::json(status, &json!({ "error": { "message": text, "type": kind, "param": param, "code": code } }))
}

pub fn answer(heard: &Heard) -> Say {
    let azure = heard.asked.contains(" /openai/");
    let key = if azure { heard.header("api-key").to_owned() } else { heard.header("authorization").replace("Bearer ", "") };
    if key != if azure { AZURE_KEY } else { KEY } {
        return refuse(401, &format!("Incorrect API key provided: {key}."), Some("invalid_api_key"));
    }
    let wanted = if heard.asked.contains("/audio/") { "multipart/form-data" } else { "application/json" };
    if heard.asked.starts_with("POST") && !heard.header("content-type").starts_with(wanted) {
        return refuse(400, "Unsupported content type.", None);
    }
    spoken(heard, &key, azure)
}

fn spoken(heard: &Heard, key: &str, azure: bool) -> Say {
    let (method, target) = heard.asked.split_once(' ').unwrap();
    let path = target.strip_prefix("/openai").unwrap_or(target);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path.starts_with("/deployments/") && !query.contains("api-version=") {
        return refuse(404, "Resource not found", Some("404"));
    }
    match path.rsplit_once("/v1").map_or(path, |(_, path)| path) {
        "/models" => models(),
        "/embeddings" => embeddings(&heard.body),
        "/responses" => responses(&heard.body),
        "/audio/transcriptions" => Say::json(200, &json!({ "text": format!("{} bytes", heard.raw.len()) })),
        path if path.ends_with("/chat/completions") => chat(&heard.body, key, azure),
        other => refuse(404, &format!("Invalid URL ({method} {other})"), None),
    }
}

fn models() -> Say {
    let model = |id: &str, created: u64| json!({ "id": id, "object": "model", "created": created, "owned_by": "system" });
    let all = [
        model("gpt-4o-mini", 1_721_172_741),
        model("o4-mini", 1_744_225_351),
        model("text-embedding-3-small", 1_705_948_997),
        model("whisper-1", 1),
    ];
    Say::json(200, &json!({ "object": "list", "data": all }))
}

/// What a request makes it say.
struct Speech {
    pieces: Vec<String>,
    calls: bool,
}

impl Speech {
    fn of(body: &Value) -> Self {
        let asked = body["messages"].to_string();
        let answered =
            body["messages"].as_array().and_then(|messages| messages.last()).is_some_and(|last| last["role"] == "tool");
        let calls = !answered && asked.contains("call the tool") && !body["tools"].is_null() && body["tool_choice"] != "none";
        let format = &body["response_format"];
        let text = match format["type"].as_str() {
            Some("json_schema") => schema::instance(&format["json_schema"]["schema"]).to_string(),
            Some("json_object") => "{\"city\":\"Paris\"}".to_owned(),
            _ => match pictures(body).next() {
                Some(picture) => format!("I see {}", seen(&picture).unwrap()),
                None => "Hello there ü".to_owned(),
            },
        };
        let half = text.char_indices().map(|(at, _)| at).find(|at| *at >= text.len().min(5)).unwrap_or(text.len());
        Self { pieces: vec![text[..half].to_owned(), text[half..].to_owned()], calls }
    }

    fn reason(&self) -> &'static str {
        if self.calls { "tool_calls" } else { "stop" }
    }
}

fn pictures(body: &Value) -> impl Iterator<Item = Value> {
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let parts = messages.into_iter().flat_map(|message| message["content"].as_array().cloned().unwrap_or_default());
    parts.filter(|part| part["type"] == "image_url")
}

fn seen(picture: &Value) -> Result<String, String> {
    let url = picture["image_url"]["url"].as_str().ok_or("Invalid type for 'image_url': expected an object")?;
    let Some((media_type, data)) = url.strip_prefix("data:").and_then(|url| url.split_once(";base64,")) else {
        return Err("Invalid image URL. It must be a valid URL or a data URL.".to_owned());
    };
    sight::see(media_type, data)
}

fn chat(body: &Value, key: &str, azure: bool) -> Say {
    if let Some(fault) = fault(body, azure) {
        return fault;
    }
    let asked = body["messages"].to_string();
    if asked.contains("too fast") {
        return refuse(429, &format!("Rate limit reached for {key}"), Some("rate_limit_exceeded")).with("retry-after-ms", "6500");
    }
    if asked.contains("revoked key") {
        return refuse(401, &format!("Incorrect API key provided: {key}."), Some("invalid_api_key"));
    }
    if asked.contains("fall over") {
        return Say::json(500, &json!({ "error": { "message": "The server had an error", "type": "server_error" } }));
    }
    let speech = Speech::of(body);
    if body["stream"] != true && asked.contains("first error") {
        let text = format!("stopped, key {key}");
        return Say::json(200, &json!({ "error": { "message": text, "type": "server_error", "code": "rate_limit_exceeded" } }));
    }
    if body["stream"] != true && asked.contains("end early") {
        let half = whole(body, &speech).to_string().chars().take(60).collect();
        return Say { pieces: Pieces::Whole(half), ..Say::json(200, &Value::Null) };
    }
    if body["stream"] == true { stream(body, &speech, &asked, key, azure) } else { Say::json(200, &whole(body, &speech)) }
}

fn stream(body: &Value, speech: &Speech, asked: &str, key: &str, azure: bool) -> Say {
    let error = |code: &str| {
        event(&json!({ "error": { "message": format!("stopped, key {key}"), "type": "server_error", "code": code } }))
    };
    let usage = body["stream_options"]["include_usage"] == true;
    let chunk = |delta: &Value, reason: Option<&str>| chunk(delta, reason, usage);
    let role = chunk(&json!({ "role": "assistant", "content": "", "refusal": null }), None);
    let hello = chunk(&json!({ "content": "Hello" }), None);
    for (words, pieces) in [
        ("first error", Pieces::Stream(vec![error("rate_limit_exceeded")])),
        ("late error", Pieces::Stream(vec![role.clone(), hello.clone(), error("server_error")])),
        ("break off", Pieces::Broken(vec![role.clone(), hello.clone()])),
        ("end early", Pieces::Stream(vec![role.clone(), hello.clone()])),
        ("stay open", Pieces::Silent(vec![role.clone(), hello.clone()])),
        ("never end", Pieces::Endless(role.clone(), hello)),
        ("stay silent", Pieces::Silent(vec![role.clone()])),
    ] {
        if asked.contains(words) {
            return Say::events(pieces);
        }
    }
    let mut pieces = Vec::new();
    if azure {
        pieces.push(event(&json!({ "id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{ "prompt_index": 0, "content_filter_results": {} }] })));
    }
    pieces.push(role);
    if speech.calls {
        pieces.push(chunk(&json!({ "tool_calls": [{ "index": 0, "id": "call_abc", "type": "function", "function": { "name": "weather", "arguments": "" } }] }), None));
        let part = |part: &str| chunk(&json!({ "tool_calls": [{ "index": 0, "function": { "arguments": part } }] }), None);
        pieces.extend(["{\"city\":", "\"Paris\"}"].map(part));
    } else {
        pieces.extend(speech.pieces.iter().map(|piece| chunk(&json!({ "content": piece }), None)));
    }
    if azure {
        let filter = json!({ "index": 0, "finish_reason": null, "content_filter_results": {}, "content_filter_offsets": { "check_offset": 44 } });
        pieces.push(event(&json!({ "id": "", "object": "", "created": 0, "model": "", "choices": [filter] })));
    }
    pieces.push(chunk(&json!({}), Some(speech.reason())));
    if usage {
        pieces.push(event(&json!({ "id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1_795_188_647, "model": "gpt-4o-mini-2024-07-18", "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13 } })));
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

/// With the counts wanted, all chunks but the last say that they have none.
fn chunk(delta: &Value, reason: Option<&str>, usage: bool) -> String {
    let mut chunk = json!({
        "id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1_795_188_647, "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default", "system_fingerprint": "fp_x",
        "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": reason }],
    });
    if usage {
        chunk["usage"] = Value::Null;
    }
    event(&chunk)
}

fn whole(body: &Value, speech: &Speech) -> Value {
    let mut message = json!({ "role": "assistant", "content": speech.pieces.concat(), "refusal": null, "annotations": [] });
    if speech.calls {
        message["content"] = Value::Null;
        message["tool_calls"] = json!([{ "id": "call_abc", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Paris\"}" } }]);
    }
    json!({
        "id": "chatcmpl-x", "object": "chat.completion", "created": 1_795_188_647, "model": body["model"],
        "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": speech.reason() }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13 },
    })
}

/// What the real one answers 400 or 404 to.
fn fault(body: &Value, azure: bool) -> Option<Say> {
    let object = body.as_object().filter(|body| !body.is_empty());
    let Some(object) = object else { return Some(refuse(400, "We could not parse the JSON body of your request.", None)) };
    if let Some(unknown) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Some(refuse(400, &format!("Unrecognized request argument supplied: {unknown}"), None));
    }
    let model = body["model"].as_str().unwrap_or_default();
    let known: &[&str] = if azure { &["mini"] } else { &["gpt-4o-mini", "o4-mini"] };
    if !known.contains(&model) {
        let text = format!("The model `{model}` does not exist or you do not have access to it.");
        return Some(refuse(404, &text, Some("model_not_found")));
    }
    if let Some(refused) = if model.starts_with('o') { unsupported(body) } else { None } {
        return Some(refused);
    }
    let why = fault_of_settings(body).or_else(|| fault_of_tools(body)).or_else(|| fault_of_messages(body));
    why.map(|why| refuse(400, &why, why.contains("empty array").then_some("empty_array")))
}

/// Models that reason take less, and tell one thing at a time.
fn unsupported(body: &Value) -> Option<Say> {
    if !body["max_tokens"].is_null() {
        let text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Some(refuse_parameter(400, text, Some("unsupported_parameter"), Some("max_tokens")));
    }
    if body["temperature"].as_f64().is_some_and(|temperature| (temperature - 1.0).abs() > 1e-9) {
        let text = "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.";
        return Some(refuse_parameter(400, text, Some("unsupported_value"), Some("temperature")));
    }
    let refused = ["top_p", "stop", "logprobs"].into_iter().find(|key| !body[key].is_null())?;
    let text = format!("Unsupported parameter: '{refused}' is not supported with this model.");
    Some(refuse_parameter(400, &text, Some("unsupported_parameter"), None))
}

fn fault_of_settings(body: &Value) -> Option<String> {
    let within = |key: &str, least: f64, most: f64| {
        body[key].is_null() || body[key].as_f64().is_some_and(|number| (least..=most).contains(&number))
    };
    for (key, least, most) in
        [("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0), ("frequency_penalty", -2.0, 2.0), ("presence_penalty", -2.0, 2.0)]
    {
        if !within(key, least, most) {
            return Some(format!("Invalid '{key}': expected a value between {least} and {most}."));
        }
    }
    if body["stop"].as_array().is_some_and(|stops| stops.len() > 4) {
        return Some("Invalid 'stop': array too long. Expected an array with maximum length 4.".to_owned());
    }
    if !body["top_logprobs"].is_null() && body["logprobs"] != true {
        return Some("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.".to_owned());
    }
    if body["reasoning_effort"].is_string() && !body["model"].as_str()?.starts_with('o') {
        return Some("Unrecognized request argument supplied: reasoning_effort".to_owned());
    }
    if body["stream"] != true && !body["stream_options"].is_null() {
        return Some("The 'stream_options' parameter is only allowed when 'stream' is enabled.".to_owned());
    }
    fault_of_format(body)
}

fn fault_of_format(body: &Value) -> Option<String> {
    let format = &body["response_format"];
    match format["type"].as_str() {
        Some("json_object") if !body["messages"].to_string().to_lowercase().contains("json") => {
            Some("'messages' must contain the word 'json' in some form".to_owned())
        }
        Some("json_schema") => {
            let given = &format["json_schema"];
            if !is_name(&given["name"]) {
                return Some("Missing required parameter: 'response_format.json_schema.name'.".to_owned());
            }
            let open = (given["strict"] == true).then(|| schema::open(&given["schema"], true)).flatten();
            open.map(|why| format!("Invalid schema for response_format: {why}"))
        }
        None | Some("text" | "json_object") => None,
        Some(other) => Some(format!("Invalid value: '{other}'.")),
    }
}

/// Names of tools and schemas.
fn is_name(name: &Value) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    name.as_str().is_some_and(|name| (1..=64).contains(&name.len()) && name.bytes().all(safe))
}

fn fault_of_tools(body: &Value) -> Option<String> {
    for tool in body["tools"].as_array().into_iter().flatten() {
        if tool["type"] != "function" || !is_name(&tool["function"]["name"]) {
            return Some("Missing required parameter: 'tools[0].function.name'.".to_owned());
        }
    }
    let none = body["tools"].as_array().is_none_or(Vec::is_empty);
    let choice = ["tool_choice", "parallel_tool_calls"].into_iter().find(|key| !body[key].is_null());
    choice.filter(|_| none).map(|key| format!("Invalid value for '{key}': only allowed when 'tools' are specified."))
}

fn fault_of_messages(body: &Value) -> Option<String> {
    let Some(messages) = body["messages"].as_array().filter(|messages| !messages.is_empty()) else {
        return Some("Invalid 'messages': empty array.".to_owned());
    };
    let mut open: Vec<&Value> = Vec::new();
    for message in messages {
        let calls = message["tool_calls"].as_array();
        let content = &message["content"];
        if !["system", "developer", "user", "assistant", "tool"].contains(&message["role"].as_str().unwrap_or_default()) {
            return Some(format!("Invalid value: {}. Supported values are: 'system', 'assistant', …", message["role"]));
        }
        if !(content.is_string() || content.is_array() || (content.is_null() && calls.is_some())) {
            return Some("Invalid value for 'content': expected a string, got null.".to_owned());
        }
        if message["role"] == "tool" {
            let Some(at) = open.iter().position(|id| **id == message["tool_call_id"]) else {
                return Some("messages with role 'tool' must be a response to a preceding message with 'tool_calls'.".to_owned());
            };
            open.remove(at);
            continue;
        }
        if !open.is_empty() {
            return Some("An assistant message with 'tool_calls' must be followed by tool messages".to_owned());
        }
        if let Some(why) = calls.into_iter().flatten().find_map(fault_of_call) {
            return Some(why);
        }
        open = calls.into_iter().flatten().map(|call| &call["id"]).collect();
    }
    if !open.is_empty() {
        return Some("An assistant message with 'tool_calls' must be followed by tool messages".to_owned());
    }
    pictures(body).find_map(|picture| seen(&picture).err())
}

fn fault_of_call(call: &Value) -> Option<String> {
    if call["id"].as_str().is_none_or(str::is_empty) || call["type"] != "function" {
        return Some("Missing required parameter: 'messages[1].tool_calls[0].id'.".to_owned());
    }
    let arguments = call["function"]["arguments"].as_str();
    arguments.is_none().then(|| "Invalid type for 'arguments': expected a string".to_owned())
}

fn embeddings(body: &Value) -> Say {
    if body["model"] != "text-embedding-3-small" {
        return refuse(404, "The model does not exist", Some("model_not_found"));
    }
    let known = ["model", "input", "encoding_format", "dimensions", "user"];
    if let Some(unknown) = body.as_object().unwrap().keys().find(|key| !known.contains(&key.as_str())) {
        return refuse(400, &format!("Unrecognized request argument supplied: {unknown}"), None);
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
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"error\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"logprobs\":[],\"delta\":\"Hi\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":5,\"output_tokens\":2}}}\n\n",
);

fn responses(body: &Value) -> Say {
    if body["stream"] == true {
        return Say::events(Pieces::Stream(vec![RESPONSES.to_owned()]));
    }
    let text = json!({ "type": "output_text", "text": "Hi", "annotations": [], "logprobs": [] });
    let message = json!({ "type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [text] });
    Say::json(
        200,
        &json!({ "id": "resp_1", "object": "response", "created_at": 1_795_188_647, "status": "completed", "model": body["model"],
            "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "output": [message],
            "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0,
            "usage": { "input_tokens": 5, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 2, "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 7 } }),
    )
}
