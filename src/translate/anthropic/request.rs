//! An Anthropic client's message request, understood.

use serde_json::{Map, Value};

use crate::translate::fields::{Fields, arguments, bad, limit};
use crate::translate::talk::{Call, Effort, Format, Image, Message, Part, Role, Sampling, Talk, Think, ToolChoice};
use crate::values::Fault;

/// `/v1/messages`
pub(crate) fn messages(body: &[u8]) -> Result<Talk, Fault> {
    let fields = Fields::of_body(body, false)?;
    let talk = read(fields)?;
    match talk.sampling.max_tokens {
        Some(_) => Ok(talk),
        None => Err(bad("max_tokens is required and must be positive")),
    }
}

/// `/v1/messages/count_tokens`: the same without a limit.
pub(crate) fn to_count(body: &[u8]) -> Result<Talk, Fault> {
    read(Fields::of_body(body, false)?)
}

fn read(mut fields: Fields) -> Result<Talk, Fault> {
    let model = fields.text("model")?.filter(|model| !model.is_empty()).ok_or_else(|| bad("model is required"))?;
    let mut talk = Talk { model, stream: fields.flag("stream")?.unwrap_or(false), ..Talk::default() };
    let system = system(fields.take("system"))?;
    if !system.is_empty() {
        talk.messages.push(Message::of(Role::System, system));
    }
    let turns = fields.list("messages")?;
    if turns.is_empty() {
        return Err(bad("messages is required"));
    }
    for turn in turns {
        read_turn(Fields::of(turn, false, "a message")?, &mut talk.messages)?;
    }
    for tool in fields.list("tools")? {
        match read_tool(Fields::of(tool, false, "a tool")?)? {
            Some(tool) => talk.tools.push(tool),
            // Such as `web_search_20250305`, which only Anthropic's own servers run.
            None => talk.dropped.push("tools".to_owned()),
        }
    }
    if let Some(mut choice) = fields.object("tool_choice")? {
        talk.tool_choice = match choice.text("type")?.as_deref() {
            Some("any") => Some(ToolChoice::Required),
            Some("none") => Some(ToolChoice::None),
            Some("tool") => choice.text("name")?.map(ToolChoice::Named),
            _ => Some(ToolChoice::Auto),
        };
        talk.parallel_calls = choice.flag("disable_parallel_tool_use")?.map(|not| !not);
    }
    talk.think = think(&mut fields, &mut talk.format)?;
    talk.sampling = Sampling {
        max_tokens: limit(fields.whole("max_tokens")?),
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.number("top_k")?,
        stop: fields.texts("stop_sequences")?,
        ..Sampling::default()
    };
    talk.user = fields.object("metadata")?.map_or(Ok(None), |mut metadata| metadata.text("user_id"))?;
    talk.dropped.extend(fields.left());
    Ok(talk)
}

fn system(value: Option<Value>) -> Result<String, Fault> {
    match value {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(blocks)) => {
            let texts: Result<Vec<String>, Fault> = blocks
                .into_iter()
                .map(|block| Ok(Fields::of(block, false, "a block of `system`")?.text("text")?.unwrap_or_default()))
                .collect();
            Ok(texts?.join("\n\n"))
        }
        Some(_) => Err(bad("`system` must be a string or a list of text blocks")),
    }
}

/// One turn: what tools answered becomes messages of its own, in front of what the user says.
fn read_turn(mut fields: Fields, messages: &mut Vec<Message>) -> Result<(), Fault> {
    let role = match fields.text("role")?.as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        other => return Err(bad(format!("invalid role: {other:?}"))),
    };
    let mut turn = Message { role, ..Message::default() };
    match fields.take("content") {
        None => {}
        Some(Value::String(text)) => turn.parts = Part::of_text(text),
        Some(Value::Array(blocks)) => {
            for block in blocks {
                read_block(Fields::of(block, false, "a content block")?, &mut turn, messages)?;
            }
        }
        Some(_) => return Err(bad("`content` must be a string or a list of blocks")),
    }
    let only_answers = role == Role::User && turn.parts.is_empty() && messages.last().is_some_and(|last| last.role == Role::Tool);
    if !only_answers {
        messages.push(turn);
    }
    Ok(())
}

fn read_block(mut block: Fields, turn: &mut Message, messages: &mut Vec<Message>) -> Result<(), Fault> {
    let kind = block.text("type")?.unwrap_or_default();
    match kind.as_str() {
        "text" => turn.parts.extend(Part::of_text(block.text("text")?.unwrap_or_default())),
        "image" => turn.parts.push(image(block)?),
        "thinking" => turn.thinking.push_str(&block.text("thinking")?.unwrap_or_default()),
        "redacted_thinking" => {}
        "tool_use" => {
            let (id, name) = (block.text("id")?.unwrap_or_default(), block.text("name")?.unwrap_or_default());
            turn.calls.push(Call { id, name, arguments: arguments(block.take("input"))? });
        }
        "tool_result" => {
            let answers = block.text("tool_use_id")?.unwrap_or_default();
            let (text, images) = tool_result(block.take("content"))?;
            let tool = messages.iter().flat_map(|message| &message.calls).rev().find(|call| call.id == answers);
            let tool = tool.map(|call| call.name.clone()).unwrap_or_default();
            messages.push(Message { answers, tool, ..Message::of(Role::Tool, text) });
            // No other dialect has pictures in a tool's answer: the user shows them.
            turn.parts.extend(images);
        }
        other => return Err(bad(format!("a content block has the type {other:?}, which cannot be translated for this model"))),
    }
    Ok(())
}

fn tool_result(content: Option<Value>) -> Result<(String, Vec<Part>), Fault> {
    let blocks = match content {
        None => return Ok((String::new(), Vec::new())),
        Some(Value::String(text)) => return Ok((text, Vec::new())),
        Some(Value::Array(blocks)) => blocks,
        Some(_) => return Err(bad("the `content` of a tool result must be a string or a list of blocks")),
    };
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for block in blocks {
        let mut block = Fields::of(block, false, "a block of a tool result")?;
        match block.text("type")?.as_deref() {
            Some("image") => images.push(image(block)?),
            _ => texts.extend(block.text("text")?),
        }
    }
    Ok((texts.join("\n"), images))
}

fn image(mut block: Fields) -> Result<Part, Fault> {
    let mut source = block.object("source")?.ok_or_else(|| bad("an image lacks its `source`"))?;
    let mut text = |key| Ok(source.text(key)?.unwrap_or_default());
    match text("type")?.as_str() {
        "base64" => Ok(Part::Image(Image::Inline { media_type: text("media_type")?, data: text("data")? })),
        "url" => Ok(Part::Image(Image::Url(text("url")?))),
        other => Err(bad(format!("an image comes from {other:?}, which cannot be translated for this model"))),
    }
}

/// A tool with its schema under the name that all others use. `None` if it has no schema: then it is not the client's.
fn read_tool(mut tool: Fields) -> Result<Option<Map<String, Value>>, Fault> {
    let Some(schema) = tool.take("input_schema") else { return Ok(None) };
    let mut function = Map::new();
    function.insert("name".to_owned(), tool.text("name")?.unwrap_or_default().into());
    if let Some(description) = tool.text("description")? {
        function.insert("description".to_owned(), description.into());
    }
    function.insert("parameters".to_owned(), schema);
    Ok(Some(function))
}

fn think(fields: &mut Fields, format: &mut Option<Format>) -> Result<Option<Think>, Fault> {
    let mut effort = None;
    if let Some(mut output) = fields.object("output_config")? {
        effort = output.text("effort")?.as_deref().and_then(Effort::named).map(Think::Effort);
        if let Some(mut given) = output.object("format")? {
            let schema = given.take("schema").unwrap_or(Value::Object(Map::new()));
            *format = Some(Format::Schema { name: None, schema, strict: None });
        }
    }
    let Some(mut thinking) = fields.object("thinking")? else { return Ok(effort) };
    Ok(match thinking.text("type")?.as_deref() {
        Some("disabled") => Some(Think::Off),
        Some("enabled") => {
            let budget = thinking.whole("budget_tokens")?.and_then(|tokens| u64::try_from(tokens).ok());
            effort.or(Some(budget.map_or(Think::On, Think::Budget)))
        }
        _ => effort.or(Some(Think::On)),
    })
}
