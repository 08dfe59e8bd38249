//! An OpenAI client's chat or text completion, understood.

use serde_json::Value;

use crate::translate::fields::{Fields, arguments, bad, limit};
use crate::translate::images;
use crate::translate::talk::{Call, Effort, Format, Message, Part, Role, Sampling, Talk, Think, ToolChoice};
use crate::values::Fault;

/// `/v1/chat/completions`
pub(crate) fn chat(body: &[u8]) -> Result<Talk, Fault> {
    let mut fields = Fields::of_body(body, false)?;
    let mut talk = Talk::default();
    for message in fields.list("messages")? {
        talk.messages.push(read_message(Fields::of(message, false, "a message")?)?);
    }
    if talk.messages.is_empty() {
        return Err(bad("[] is too short - 'messages'"));
    }
    name_tools(&mut talk.messages);
    for tool in fields.list("tools")? {
        let mut tool = Fields::of(tool, false, "a tool")?;
        match tool.object("function")? {
            Some(function) => talk.tools.push(function.into_map()),
            None => talk.dropped.push("tools".to_owned()),
        }
    }
    talk.tool_choice = tool_choice(fields.take("tool_choice"))?;
    talk.parallel_calls = fields.flag("parallel_tool_calls")?;
    talk.format = format(fields.object("response_format")?)?;
    talk.think = think(&mut fields)?;
    talk.sampling.logprobs = fields.flag("logprobs")?;
    talk.sampling.top_logprobs = fields.number("top_logprobs")?;
    common(fields, talk)
}

/// `/v1/completions`: the prompt becomes the words of the user.
pub(crate) fn completion(body: &[u8]) -> Result<Talk, Fault> {
    let mut fields = Fields::of_body(body, false)?;
    let prompt = match fields.take("prompt") {
        Some(Value::String(prompt)) if !prompt.is_empty() => prompt,
        Some(Value::Array(list)) if matches!(&list[..], [Value::String(_)]) => {
            list.into_iter().find_map(|one| if let Value::String(text) = one { Some(text) } else { None }).unwrap_or_default()
        }
        _ => return Err(bad("`prompt` must be one string that is not empty: this model takes no lists and no tokens")),
    };
    if fields.text("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(bad("`suffix` is not supported for this model"));
    }
    common(fields, Talk { messages: vec![Message::of(Role::User, prompt)], ..Talk::default() })
}

fn common(mut fields: Fields, mut talk: Talk) -> Result<Talk, Fault> {
    talk.model = fields.text("model")?.unwrap_or_default();
    talk.stream = fields.flag("stream")?.unwrap_or(false);
    let stream_options = fields.object("stream_options")?;
    talk.wants_usage = stream_options.map_or(Ok(None), |mut options| options.flag("include_usage"))?.unwrap_or(false);
    let most = fields.whole("max_completion_tokens")?.or(fields.whole("max_tokens")?);
    talk.sampling = Sampling {
        max_tokens: limit(most),
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.number("top_k")?,
        seed: fields.number("seed")?,
        stop: fields.texts("stop")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        presence_penalty: fields.number("presence_penalty")?,
        ..talk.sampling
    };
    talk.user = fields.text("user")?;
    // Asking for one answer, or to keep none, asks for nothing.
    let asks_nothing = |name: &String| matches!(name.as_str(), "n" | "store" | "service_tier");
    talk.dropped.extend(fields.left().filter(|name| !asks_nothing(name)));
    Ok(talk)
}

fn read_message(mut fields: Fields) -> Result<Message, Fault> {
    let role = fields.text("role")?.unwrap_or_default();
    let role = match role.as_str() {
        // OpenAI's newer name for the system's role.
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        _ => return Err(bad(format!("invalid role: {role:?}"))),
    };
    let mut calls = Vec::new();
    for call in fields.list("tool_calls")? {
        let mut call = Fields::of(call, false, "a tool call")?;
        let id = call.text("id")?.unwrap_or_default();
        let mut function = call.object("function")?.ok_or_else(|| bad("a tool call lacks its `function`"))?;
        let name = function.text("name")?.unwrap_or_default();
        calls.push(Call { id, name, arguments: arguments(function.take("arguments"))? });
    }
    Ok(Message {
        role,
        parts: content(fields.take("content"))?,
        thinking: fields.text("reasoning_content")?.or(fields.text("reasoning")?).unwrap_or_default(),
        calls,
        answers: fields.text("tool_call_id")?.unwrap_or_default(),
        tool: fields.text("name")?.unwrap_or_default(),
        ..Message::default()
    })
}

/// A string, or a list of parts that stay one message.
fn content(value: Option<Value>) -> Result<Vec<Part>, Fault> {
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(Part::of_text(text)),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(bad("`content` must be a string or a list of parts")),
    };
    let mut parts = Vec::new();
    for part in list {
        let mut part = Fields::of(part, false, "a part of `content`")?;
        let kind = part.text("type")?.unwrap_or_default();
        match kind.as_str() {
            "text" => parts.extend(Part::of_text(part.text("text")?.unwrap_or_default())),
            "refusal" => parts.extend(Part::of_text(part.text("refusal")?.unwrap_or_default())),
            "image_url" => {
                let url = match part.take("image_url") {
                    Some(Value::String(url)) => Some(url),
                    Some(object) => Fields::of(object, false, "`image_url`")?.text("url")?,
                    None => None,
                };
                parts.push(images::of_url(url.ok_or_else(|| bad("a part of `content` lacks its `image_url`"))?));
            }
            "input_audio" => {
                let mut audio = part.object("input_audio")?.ok_or_else(|| bad("a part of `content` lacks its `input_audio`"))?;
                let (format, data) = (audio.text("format")?.unwrap_or_default(), audio.text("data")?.unwrap_or_default());
                parts.push(Part::Audio { format, data });
            }
            other => {
                return Err(bad(format!(
                    "a part of `content` has the type {other:?}, which cannot be translated for this model"
                )));
            }
        }
    }
    Ok(parts)
}

/// Gives each tool's answer the name of its tool: Ollama wants it, OpenAI's clients send the id alone.
fn name_tools(messages: &mut [Message]) {
    for at in 0..messages.len() {
        let (before, after) = messages.split_at_mut(at);
        let message = &mut after[0];
        if message.role == Role::Tool && message.tool.is_empty() {
            let call = before.iter().rev().flat_map(|message| &message.calls).find(|call| call.id == message.answers);
            message.tool = call.map(|call| call.name.clone()).unwrap_or_default();
        }
    }
}

fn tool_choice(value: Option<Value>) -> Result<Option<ToolChoice>, Fault> {
    Ok(Some(match value {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return Err(bad(format!("`tool_choice` {word:?} is unknown"))),
        },
        Some(value) => {
            let mut function = Fields::of(value, false, "`tool_choice`")?.object("function")?;
            let name = function.as_mut().map_or(Ok(None), |function| function.text("name"))?;
            ToolChoice::Named(name.ok_or_else(|| bad("`tool_choice` names no function"))?)
        }
    }))
}

fn format(fields: Option<Fields>) -> Result<Option<Format>, Fault> {
    let Some(mut fields) = fields else { return Ok(None) };
    match fields.text("type")?.as_deref() {
        Some("json_object") => Ok(Some(Format::Json)),
        Some("json_schema") => {
            let mut given = fields.object("json_schema")?.ok_or_else(|| bad("`response_format` lacks its `json_schema`"))?;
            let schema = given.take("schema").unwrap_or(Value::Object(serde_json::Map::new()));
            Ok(Some(Format::Schema { name: given.text("name")?, schema, strict: given.flag("strict")? }))
        }
        _ => Ok(None),
    }
}

fn think(fields: &mut Fields) -> Result<Option<Think>, Fault> {
    let nested = fields.object("reasoning")?.map_or(Ok(None), |mut reasoning| reasoning.text("effort"))?;
    let Some(word) = nested.or(fields.text("reasoning_effort")?) else { return Ok(None) };
    if word == "none" {
        return Ok(Some(Think::Off));
    }
    let effort = Effort::named(&word).ok_or_else(|| bad(format!("`reasoning_effort` {word:?} is unknown")))?;
    Ok(Some(Think::Effort(effort)))
}
