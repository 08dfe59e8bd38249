//! A talk as a request to an Ollama node.

use serde_json::{Map, Number, Value, json};

use crate::translate::fields::bad;
use crate::translate::talk::{Effort, Format, Image, Message, Part, Role, Talk, Think, ToolChoice};
use crate::translate::target::Target;
use crate::values::Fault;

/// The body of `/api/chat`, and what of the talk it cannot say.
///
/// # Errors
/// A picture that only the node itself could fetch.
pub(crate) fn chat(talk: &Talk, target: &Target) -> Result<(Value, Vec<String>), Fault> {
    let mut dropped = talk.dropped.clone();
    let mut body = Map::new();
    body.insert("model".to_owned(), target.model.as_str().into());
    let messages: Result<Vec<Value>, Fault> = talk.messages.iter().map(message).collect();
    body.insert("messages".to_owned(), messages?.into());
    body.insert("stream".to_owned(), talk.stream.into());
    // Ollama knows no choice of tools: none is made of having none, the others cannot be kept.
    match talk.tool_choice {
        Some(ToolChoice::Required | ToolChoice::Named(_)) => dropped.push("tool_choice".to_owned()),
        Some(ToolChoice::Auto | ToolChoice::None) | None => {}
    }
    if !talk.tools.is_empty() && talk.tool_choice != Some(ToolChoice::None) {
        let tools = talk.tools.iter().map(|function| json!({ "type": "function", "function": function }));
        body.insert("tools".to_owned(), tools.collect());
    }
    match &talk.format {
        Some(Format::Json) => drop(body.insert("format".to_owned(), "json".into())),
        Some(Format::Schema { schema, .. }) => drop(body.insert("format".to_owned(), schema.clone())),
        None => {}
    }
    if let Some(think) = talk.think {
        body.insert("think".to_owned(), thinks(think));
    }
    if let Some(logprobs) = talk.sampling.logprobs {
        body.insert("logprobs".to_owned(), logprobs.into());
    }
    if let Some(most) = &talk.sampling.top_logprobs {
        body.insert("top_logprobs".to_owned(), most.clone().into());
    }
    let options = options(talk);
    if !options.is_empty() {
        body.insert("options".to_owned(), options.into());
    }
    Ok((Value::Object(body), dropped))
}

fn thinks(think: Think) -> Value {
    match think {
        Think::Off => false.into(),
        Think::On => true.into(),
        Think::Budget(tokens) => Effort::of_budget(tokens).word().into(),
        Think::Effort(Effort::Minimal) => "low".into(),
        Think::Effort(Effort::Xhigh) => "max".into(),
        Think::Effort(effort) => effort.word().into(),
    }
}

fn options(talk: &Talk) -> Map<String, Value> {
    let sampling = &talk.sampling;
    let mut options = Map::new();
    let numbers: [(&str, Option<Number>); 7] = [
        ("num_predict", sampling.max_tokens.map(Number::from)),
        ("temperature", sampling.temperature.clone()),
        ("top_p", sampling.top_p.clone()),
        ("top_k", sampling.top_k.clone()),
        ("seed", sampling.seed.clone()),
        ("frequency_penalty", sampling.frequency_penalty.clone()),
        ("presence_penalty", sampling.presence_penalty.clone()),
    ];
    options.extend(numbers.into_iter().filter_map(|(key, number)| Some((key.to_owned(), number?.into()))));
    if !sampling.stop.is_empty() {
        options.insert("stop".to_owned(), sampling.stop.as_slice().into());
    }
    options
}

/// All parts stay one message, where Ollama's own translation makes one of each.
fn message(message: &Message) -> Result<Value, Fault> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut value = json!({ "role": role, "content": message.text() });
    let mut images: Vec<&str> = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(_) => {}
            Part::Image(Image::Inline { data, .. }) | Part::Audio { data, .. } => images.push(data),
            Part::Image(Image::Url(_)) => return Err(bad("image URLs are not supported for local models: send base64 data")),
        }
    }
    if !images.is_empty() {
        value["images"] = json!(images);
    }
    if !message.thinking.is_empty() {
        value["thinking"] = message.thinking.as_str().into();
    }
    if !message.calls.is_empty() {
        let calls = message.calls.iter().enumerate().map(|(index, call)| {
            // It was read as an object.
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            json!({ "id": call.id, "function": { "index": index, "name": call.name, "arguments": arguments } })
        });
        value["tool_calls"] = calls.collect();
    }
    if message.role == Role::Tool {
        value["tool_name"] = message.tool.as_str().into();
        value["tool_call_id"] = message.answers.as_str().into();
    }
    Ok(value)
}
