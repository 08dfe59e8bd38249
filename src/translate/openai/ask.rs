//! A talk as a request of OpenAI's chat completions.

use serde_json::{Map, Value, json};

use crate::translate::talk::{Effort, Format, Image, Message, Part, Role, Talk, Think, ToolChoice};
use crate::translate::target::{Flavour, Target};

/// More than these OpenAI refuses.
const MOST_STOPS: usize = 4;

/// The longest name of a schema.
const LONGEST_NAME: usize = 64;

/// The body, and what of the talk it cannot say.
pub(crate) fn chat(talk: &Talk, target: &Target) -> (Value, Vec<String>) {
    let mut dropped = talk.dropped.clone();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    put("model", target.model.as_str().into());
    put("messages", messages(talk, target));
    if talk.stream {
        put("stream", true.into());
        put("stream_options", stream_options(target));
    }
    if !talk.tools.is_empty() {
        let tools = talk.tools.iter().map(|function| json!({ "type": "function", "function": function }));
        put("tools", tools.collect());
        if let Some(choice) = talk.tool_choice.as_ref().map(tool_choice) {
            put("tool_choice", choice);
        }
        if let Some(parallel) = talk.parallel_calls {
            put("parallel_tool_calls", parallel.into());
        }
    }
    if let Some(format) = &talk.format {
        put("response_format", response_format(format));
    }
    if let Some(effort) = talk.think.and_then(|think| effort(think, target)) {
        put("reasoning_effort", effort.into());
    }
    if let Some(user) = &talk.user {
        put("user", user.as_str().into());
    }
    sampling(talk, target, &mut body, &mut dropped);
    (Value::Object(body), dropped)
}

/// The counts come always; the padding that hides lengths from eavesdroppers is known to OpenAI alone.
fn stream_options(target: &Target) -> Value {
    match target.flavour {
        Flavour::OpenAi => json!({ "include_usage": true, "include_obfuscation": false }),
        Flavour::Azure | Flavour::Compatible => json!({ "include_usage": true }),
    }
}

fn sampling(talk: &Talk, target: &Target, body: &mut Map<String, Value>, dropped: &mut Vec<String>) {
    let sampling = &talk.sampling;
    if let Some(most) = sampling.max_tokens {
        let key = if target.flavour == Flavour::Compatible { "max_tokens" } else { "max_completion_tokens" };
        body.insert(key.to_owned(), most.into());
    }
    let reasons = target.reasons();
    let refused = [("temperature", &sampling.temperature), ("top_p", &sampling.top_p)];
    for (key, number) in refused {
        match number {
            // Models that reason take only 1.
            Some(_) if reasons => dropped.push(key.to_owned()),
            Some(number) => drop(body.insert(key.to_owned(), number.clone().into())),
            None => {}
        }
    }
    let taken = [
        ("seed", &sampling.seed),
        ("frequency_penalty", &sampling.frequency_penalty),
        ("presence_penalty", &sampling.presence_penalty),
        ("top_logprobs", &sampling.top_logprobs),
    ];
    for (key, number) in taken {
        if let Some(number) = number {
            body.insert(key.to_owned(), number.clone().into());
        }
    }
    if let Some(logprobs) = sampling.logprobs {
        body.insert("logprobs".to_owned(), logprobs.into());
    }
    if !sampling.stop.is_empty() {
        let stops = &sampling.stop[..sampling.stop.len().min(MOST_STOPS)];
        if stops.len() < sampling.stop.len() {
            dropped.push("stop".to_owned());
        }
        body.insert("stop".to_owned(), stops.into());
    }
    if sampling.top_k.is_some() {
        dropped.push("top_k".to_owned());
    }
}

fn messages(talk: &Talk, target: &Target) -> Value {
    // OpenAI's own models take no thoughts back; others want to go on from those before their calls.
    let with_thoughts = target.flavour == Flavour::Compatible;
    let mut messages: Vec<Value> = talk.messages.iter().map(|said| message(said, with_thoughts)).collect();
    let says_json = |message: &Message| message.text().to_ascii_lowercase().contains("json");
    if talk.format == Some(Format::Json) && !talk.messages.iter().any(says_json) {
        // OpenAI answers JSON only when a message asks for it.
        messages.push(json!({ "role": "system", "content": "Answer with one JSON object." }));
    }
    Value::Array(messages)
}

fn message(message: &Message, with_thoughts: bool) -> Value {
    match message.role {
        Role::System => json!({ "role": "system", "content": message.text() }),
        Role::User => json!({ "role": "user", "content": content(message) }),
        Role::Tool => json!({ "role": "tool", "tool_call_id": message.answers, "content": message.text() }),
        Role::Assistant if message.calls.is_empty() => json!({ "role": "assistant", "content": message.text() }),
        Role::Assistant => {
            let text = message.text();
            let calls: Vec<Value> = message
                .calls
                .iter()
                .map(|call| {
                    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
                })
                .collect();
            let mut said = json!({ "role": "assistant", "content": (!text.is_empty()).then_some(text), "tool_calls": calls });
            if with_thoughts && !message.thinking.is_empty() {
                said["reasoning_content"] = message.thinking.as_str().into();
            }
            said
        }
    }
}

/// A plain string where that is all.
fn content(message: &Message) -> Value {
    if message.parts.iter().all(|part| matches!(part, Part::Text(_))) {
        return message.text().into();
    }
    let part = |part: &Part| match part {
        Part::Text(text) => json!({ "type": "text", "text": text }),
        Part::Image(Image::Url(url)) => json!({ "type": "image_url", "image_url": { "url": url } }),
        Part::Image(Image::Inline { media_type, data }) => {
            json!({ "type": "image_url", "image_url": { "url": format!("data:{media_type};base64,{data}") } })
        }
        Part::Audio { format, data } => json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } }),
    };
    message.parts.iter().map(part).collect()
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
    }
}

/// Not `strict` unless the client said so: a strict schema must name every key as required.
fn response_format(format: &Format) -> Value {
    match format {
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema { name, schema, strict } => {
            let known = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let name: String = name.as_deref().unwrap_or("response").chars().map(known).take(LONGEST_NAME).collect();
            let name = if name.is_empty() { "response".to_owned() } else { name };
            json!({ "type": "json_schema", "json_schema": { "name": name, "schema": schema, "strict": strict.unwrap_or(false) } })
        }
    }
}

/// Only for models that reason: others refuse the whole request because of it.
fn effort(think: Think, target: &Target) -> Option<&'static str> {
    if target.flavour == Flavour::Compatible {
        return match think {
            Think::Effort(effort) => Some(effort.word()),
            Think::Budget(tokens) => Some(Effort::of_budget(tokens).word()),
            Think::On | Think::Off => None,
        };
    }
    if !target.reasons() {
        return None;
    }
    match (think, target.gpt5()) {
        (Think::Off, Some(0)) => Some("minimal"),
        (Think::Off, Some(_)) => Some("none"),
        (Think::On | Think::Off, _) => None,
        (Think::Effort(Effort::Max | Effort::Xhigh), Some(2..)) => Some("xhigh"),
        (Think::Effort(Effort::Max | Effort::Xhigh), _) => Some("high"),
        (Think::Effort(Effort::Minimal), None | Some(1..)) => Some("low"),
        (Think::Effort(effort), _) => Some(effort.word()),
        (Think::Budget(tokens), _) => Some(Effort::of_budget(tokens).word()),
    }
}
