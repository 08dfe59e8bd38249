//! A talk as a request of Anthropic's Messages.

use serde_json::{Map, Number, Value, json};

use super::schema::closed;
use crate::translate::talk::{Effort, Format, Image, Message, Part, Role, Talk, Think, ToolChoice};
use crate::translate::target::Target;
use crate::values::sort_by_key;

/// The longest answer, which must be said, of a model whose own limit is not known.
const LONGEST_ANSWER: u64 = 8192;

/// Less thinking than this Anthropic refuses.
const LEAST_THINKING: u64 = 1024;

/// The body, and what of the talk it cannot say.
pub(crate) fn messages(talk: &Talk, target: &Target) -> (Value, Vec<String>) {
    let mut dropped = talk.dropped.clone();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    let most = talk.sampling.max_tokens.or(target.abilities.max_tokens).unwrap_or(LONGEST_ANSWER);
    put("model", target.model.as_str().into());
    put("max_tokens", most.into());
    let system = system(talk);
    if !system.is_empty() {
        put("system", system.into());
    }
    let (thinking, output) = thinking(talk, target, most);
    let thinks = thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled");
    put("messages", turns(talk, thinks));
    if talk.stream {
        put("stream", true.into());
    }
    // A choice among no tools is refused.
    if !talk.tools.is_empty() {
        put("tools", talk.tools.iter().map(tool).collect());
        if let Some(choice) = tool_choice(talk) {
            put("tool_choice", choice);
        }
    }
    if let Some(thinking) = thinking {
        put("thinking", thinking);
    }
    if !output.is_empty() {
        put("output_config", output.into());
    }
    if let Some(user) = &talk.user {
        put("metadata", json!({ "user_id": user }));
    }
    sampling(talk, thinks, &mut body, &mut dropped);
    (Value::Object(body), dropped)
}

fn system(talk: &Talk) -> String {
    let mut system = talk.system();
    if talk.format == Some(Format::Json) {
        let gap = if system.is_empty() { "" } else { "\n\n" };
        system = format!("{system}{gap}Answer with one JSON object and nothing else.");
    }
    system
}

/// Users and assistants take turns: neighbours of one role become one turn. All answers of tools stand first in one
/// turn of the user, else Anthropic refuses the conversation.
fn turns(talk: &Talk, thinks: bool) -> Value {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in talk.messages.iter().filter(|message| message.role != Role::System) {
        let (role, blocks) = match message.role {
            Role::Assistant => ("assistant", assistant(message, thinks)),
            Role::Tool => ("user", vec![tool_result(message)]),
            Role::User | Role::System => ("user", message.parts.iter().filter_map(block).collect()),
        };
        if blocks.is_empty() {
            continue;
        }
        if turns.is_empty() && role == "assistant" {
            turns.push(("user", vec![json!({ "type": "text", "text": "…" })]));
        }
        match turns.last_mut() {
            Some((last, before)) if *last == role => before.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    for (_, blocks) in &mut turns {
        sort_by_key(blocks, |block| block["type"] != "tool_result");
    }
    turns.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect()
}

/// Whoever thinks gets its thoughts back, signed, in front of all else.
fn assistant(message: &Message, thinks: bool) -> Vec<Value> {
    let signed = message.signed.iter().filter(|_| thinks).cloned();
    let text = message.text();
    let text = (!text.trim().is_empty()).then(|| json!({ "type": "text", "text": text.trim_end() }));
    let calls = message.calls.iter().map(|call| {
        // It was read as an object.
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        json!({ "type": "tool_use", "id": safe_id(&call.id), "name": call.name, "input": input })
    });
    signed.chain(text).chain(calls).collect()
}

fn tool_result(message: &Message) -> Value {
    let mut result = json!({ "type": "tool_result", "tool_use_id": safe_id(&message.answers) });
    let text = message.text();
    if !text.is_empty() {
        result["content"] = text.into();
    }
    result
}

fn block(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) if text.trim().is_empty() => None,
        Part::Text(text) => Some(json!({ "type": "text", "text": text })),
        Part::Image(Image::Url(url)) => Some(json!({ "type": "image", "source": { "type": "url", "url": url } })),
        Part::Image(Image::Inline { media_type, data }) => {
            Some(json!({ "type": "image", "source": { "type": "base64", "media_type": media_type, "data": data } }))
        }
        // It hears nothing; the words beside it may do.
        Part::Audio { .. } => None,
    }
}

/// Ids have only these letters. Others become their code, so that different ids stay different.
fn safe_id(id: &str) -> String {
    if id.is_empty() {
        return "call_0".to_owned();
    }
    let safe = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c.to_string(),
        c => format!("_{:x}_", u32::from(c)),
    };
    id.chars().map(safe).collect()
}

fn tool(function: &Map<String, Value>) -> Value {
    let mut tool = json!({ "name": function.get("name") });
    if let Some(description) = function.get("description").filter(|text| text.is_string()) {
        tool["description"] = description.clone();
    }
    let schema = function.get("parameters").filter(|schema| schema.is_object()).cloned();
    tool["input_schema"] = schema.unwrap_or_else(|| json!({ "type": "object", "properties": {} }));
    tool
}

fn tool_choice(talk: &Talk) -> Option<Value> {
    let choice = talk.tool_choice.clone().or(talk.parallel_calls.map(|_| ToolChoice::Auto))?;
    let mut value = match &choice {
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::None => json!({ "type": "none" }),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Named(name) => json!({ "type": "tool", "name": name }),
    };
    if talk.parallel_calls == Some(false) && choice != ToolChoice::None {
        value["disable_parallel_tool_use"] = true.into();
    }
    Some(value)
}

/// What `thinking` and `output_config` say.
///
/// A turn that called tools must begin with its signed thoughts, which no other dialect carries: where they are lost, or
/// with a forced choice of a tool, thinking stays off.
fn thinking(talk: &Talk, target: &Target, most: u64) -> (Option<Value>, Map<String, Value>) {
    let mut output = Map::new();
    if let Some(Format::Schema { schema, .. }) = &talk.format {
        output.insert("format".to_owned(), json!({ "type": "json_schema", "schema": closed(schema) }));
    }
    let forced = matches!(talk.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    let unsigned = talk.has_unsigned_calls();
    let abilities = &target.abilities;
    let cannot = abilities.adaptive_thinking == Some(false) && abilities.budgeted_thinking == Some(false);
    let thinking = match talk.think {
        None => None,
        Some(_) if cannot => None,
        Some(Think::Off) => Some(json!({ "type": "disabled" })),
        Some(_) if forced || unsigned => Some(json!({ "type": "disabled" })),
        Some(think) if abilities.adaptive_thinking == Some(true) => {
            if let Some(effort) = effort(think).filter(|_| abilities.effort != Some(false)) {
                output.insert("effort".to_owned(), effort.into());
            }
            Some(json!({ "type": "adaptive" }))
        }
        Some(think) => budget(think, most).map(|budget| json!({ "type": "enabled", "budget_tokens": budget })),
    };
    (thinking, output)
}

fn effort(think: Think) -> Option<&'static str> {
    match think {
        Think::Effort(Effort::Minimal) => Some("low"),
        Think::Effort(effort) => Some(effort.word()),
        Think::Budget(tokens) => Some(Effort::of_budget(tokens).word()),
        Think::On | Think::Off => None,
    }
}

/// Within the answer's limit; `None` when that leaves no room.
fn budget(think: Think, most: u64) -> Option<u64> {
    let wanted = match think {
        Think::Effort(effort) => effort.budget(),
        Think::Budget(tokens) => tokens.max(LEAST_THINKING),
        Think::On | Think::Off => Effort::Medium.budget(),
    };
    Some(wanted.min(most.saturating_sub(1))).filter(|budget| *budget >= LEAST_THINKING)
}

fn sampling(talk: &Talk, thinks: bool, body: &mut Map<String, Value>, dropped: &mut Vec<String>) {
    let sampling = &talk.sampling;
    let mut put = |key: &str, number: &Option<Number>, fits: bool| match number {
        Some(number) if fits => drop(body.insert(key.to_owned(), clamped(key, number).into())),
        Some(_) => dropped.push(key.to_owned()),
        None => {}
    };
    put("temperature", &sampling.temperature, !thinks);
    // Newer models refuse both at once.
    put("top_p", &sampling.top_p, !thinks && sampling.temperature.is_none());
    put("top_k", &sampling.top_k, !thinks);
    let unknown = [
        ("seed", sampling.seed.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some()),
        ("presence_penalty", sampling.presence_penalty.is_some()),
        ("logprobs", sampling.logprobs == Some(true)),
    ];
    dropped.extend(unknown.iter().filter(|(_, said)| *said).map(|(key, _)| (*key).to_owned()));
    if !sampling.stop.is_empty() {
        let stops: Vec<&String> = sampling.stop.iter().filter(|stop| !stop.trim().is_empty()).collect();
        body.insert("stop_sequences".to_owned(), json!(stops));
    }
}

/// Others count the temperature to 2.
fn clamped(key: &str, number: &Number) -> Number {
    let over = number.as_f64().is_some_and(|number| number > 1.0);
    if over && key != "top_k" { Number::from(1) } else { number.clone() }
}
