//! A native client's chat or generate, understood.

use serde_json::Value;

use crate::translate::calls::made_id;
use crate::translate::fields::{Fields, arguments, bad, limit};
use crate::translate::images;
use crate::translate::talk::{Call, Effort, Format, Message, Part, Role, Sampling, Talk, Think};
use crate::values::Fault;

/// `/api/chat`
pub(crate) fn chat(body: &[u8]) -> Result<Talk, Fault> {
    let mut fields = Fields::of_body(body, true)?;
    let mut messages = Vec::new();
    for message in fields.list("messages")? {
        let at = messages.len();
        messages.push(read_message(Fields::of(message, true, "a message")?, at)?);
    }
    answer_calls(&mut messages)?;
    let mut tools = Vec::new();
    for tool in fields.list("tools")? {
        let mut tool = Fields::of(tool, true, "a tool")?;
        tools.push(tool.object("function")?.ok_or_else(|| bad("a tool lacks its `function`"))?.into_map());
    }
    let talk = Talk { messages, tools, ..Talk::default() };
    common(fields, talk)
}

/// `/api/generate`. What a cloud model cannot do as Ollama does is refused rather than silently done wrong.
pub(crate) fn generate(body: &[u8]) -> Result<Talk, Fault> {
    let mut fields = Fields::of_body(body, true)?;
    for key in ["suffix", "raw", "template", "context"] {
        let empty = match fields.take(key) {
            None | Some(Value::Bool(false)) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            Some(_) => false,
        };
        if !empty {
            return Err(bad(format!("`{key}` is not supported for cloud models: leave it out, or ask a local model")));
        }
    }
    let (prompt, system) = (fields.text("prompt")?.unwrap_or_default(), fields.text("system")?.unwrap_or_default());
    let images = read_images(&mut fields)?;
    let mut messages = Vec::new();
    if !prompt.is_empty() {
        if !system.is_empty() {
            messages.push(Message::of(Role::System, system));
        }
        let mut asked = Message::of(Role::User, prompt);
        asked.parts.extend(images);
        messages.push(asked);
    }
    common(fields, Talk { messages, ..Talk::default() })
}

fn common(mut fields: Fields, mut talk: Talk) -> Result<Talk, Fault> {
    talk.model = fields.text("model")?.unwrap_or_default();
    talk.stream = fields.flag("stream")?.unwrap_or(true);
    talk.format = match fields.take("format") {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) if text == "json" => Some(Format::Json),
        Some(schema @ Value::Object(_)) => Some(Format::Schema { name: None, schema, strict: None }),
        Some(other) => return Err(bad(format!("invalid format: {other}; expected \"json\" or a valid JSON Schema object"))),
    };
    talk.think = match fields.take("think") {
        None => None,
        Some(Value::Bool(true)) => Some(Think::On),
        Some(Value::Bool(false)) => Some(Think::Off),
        Some(Value::String(level)) if matches!(level.as_str(), "low" | "medium" | "high" | "max") => {
            Effort::named(&level).map(Think::Effort)
        }
        Some(other) => {
            let text = format!("invalid think value: {other} (must be \"high\", \"medium\", \"low\", \"max\", true, or false)");
            return Err(bad(text));
        }
    };
    let options = fields.object("options")?;
    if let Some(options) = options {
        read_options(options, &mut talk)?;
    }
    talk.sampling.logprobs = fields.flag("logprobs")?;
    talk.sampling.top_logprobs = fields.number("top_logprobs")?;
    if talk.sampling.top_logprobs.as_ref().is_some_and(|most| most.as_u64().is_none_or(|most| most > 20)) {
        return Err(bad("top_logprobs must be between 0 and 20"));
    }
    Ok(talk)
}

/// Options that say how words are drawn; the others belong to a runner that there is not.
fn read_options(options: Fields, talk: &mut Talk) -> Result<(), Fault> {
    let mut options = Fields::of(Value::Object(options.into_map()), false, "`options`")?;
    let whole_seed = |seed: &serde_json::Number| seed.as_i64().is_none_or(|seed| seed >= 0);
    talk.sampling = Sampling {
        max_tokens: limit(options.whole("num_predict")?),
        temperature: options.number("temperature")?,
        top_p: options.number("top_p")?,
        top_k: options.number("top_k")?,
        seed: options.number("seed")?.filter(whole_seed),
        stop: options.texts("stop")?,
        frequency_penalty: options.number("frequency_penalty")?,
        presence_penalty: options.number("presence_penalty")?,
        logprobs: None,
        top_logprobs: None,
    };
    talk.dropped.extend(options.left());
    Ok(())
}

fn read_message(mut fields: Fields, at: usize) -> Result<Message, Fault> {
    let role = fields.text("role")?.unwrap_or_default().to_ascii_lowercase();
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(bad(format!("invalid role: {role:?}, must be one of [system, user, assistant, tool]"))),
    };
    let mut parts = Part::of_text(fields.text("content")?.unwrap_or_default());
    parts.extend(read_images(&mut fields)?);
    let mut calls = Vec::new();
    for call in fields.list("tool_calls")? {
        let mut call = Fields::of(call, true, "a tool call")?;
        let id = call.text("id")?.filter(|id| !id.is_empty()).unwrap_or_else(|| made_id(at, calls.len()));
        let mut function = call.object("function")?.ok_or_else(|| bad("a tool call lacks its `function`"))?;
        let name = function.text("name")?.unwrap_or_default();
        calls.push(Call { id, name, arguments: arguments(function.take("arguments"))? });
    }
    Ok(Message {
        role,
        parts,
        thinking: fields.text("thinking")?.unwrap_or_default(),
        calls,
        answers: fields.text("tool_call_id")?.unwrap_or_default(),
        tool: fields.text("tool_name")?.or(fields.text("name")?).unwrap_or_default(),
        ..Message::default()
    })
}

fn read_images(fields: &mut Fields) -> Result<Vec<Part>, Fault> {
    let images = fields.texts("images")?;
    images.into_iter().filter(|image| !image.is_empty()).map(images::part).collect()
}

/// Finds the call that each tool's answer belongs to: by its id, else the oldest open one of that name, else by position.
/// A name alone is no key: Ollama's own examples call one tool twice in a turn.
fn answer_calls(messages: &mut [Message]) -> Result<(), Fault> {
    let mut open: Vec<(String, String)> = Vec::new();
    for message in messages {
        match message.role {
            Role::Assistant => open = message.calls.iter().map(|call| (call.id.clone(), call.name.clone())).collect(),
            Role::Tool => {
                let by_id = || open.iter().position(|(id, _)| *id == message.answers);
                let by_name = || open.iter().position(|(_, name)| *name == message.tool);
                let named = if message.answers.is_empty() { by_name() } else { by_id() };
                let at = named.or((!open.is_empty()).then_some(0));
                let Some(at) = at else { return Err(bad("a message of the role `tool` answers no tool call before it")) };
                let (id, name) = open.remove(at);
                message.answers = id;
                if message.tool.is_empty() {
                    message.tool = name;
                }
            }
            Role::System | Role::User => {}
        }
    }
    Ok(())
}
