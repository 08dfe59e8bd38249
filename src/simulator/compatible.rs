//! The `/v1` routes that generate: chat/completions, completions, messages, responses.

use hyper::Response;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Ollama;
use super::body::Body;
use super::generation::ToolCall;
use super::inference::{Job, Way, asks_for_weather, tool_call};
use super::reply::{Refusal, Shape};
use super::request::{Call, Fields};
use super::settings::SimulatedModel;
use super::voice::{self, Voice};

const SSE: &str = "text/event-stream";
const OPENAI: Way = Way { shape: Shape::OpenAi, content_type: SSE, keep_alive: false };
const RESPONSES: Way = Way { shape: Shape::OpenAi, content_type: SSE, keep_alive: true };
const ANTHROPIC: Way = Way { shape: Shape::Anthropic, content_type: SSE, keep_alive: true };

/// What the four routes ask for in their own words.
struct Wish<'a> {
    name: &'a str,
    prompt: Value,
    limit: Option<i64>,
    think: Option<bool>,
    json: bool,
    tool: Option<ToolCall>,
    tools: bool,
}

impl Ollama {
    pub(super) async fn v1_chat(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let (name, messages) = (fields.text("model")?, fields.list("messages")?);
        if messages.is_empty() {
            return Err(Refusal::bad("[] is too short - 'messages'"));
        }
        if name.is_empty() {
            return Err(Refusal::bad("model is required"));
        }
        let tools = fields.list("tools")?;
        let first = tools.first().filter(|_| asks_for_weather(messages));
        let effort = fields.object("reasoning");
        let effort = if effort.get("effort").is_some() { effort.text("effort")? } else { fields.text("reasoning_effort")? };
        let wish = Wish {
            name,
            prompt: Value::from(messages.to_vec()),
            limit: fields.number("max_completion_tokens").or(fields.number("max_tokens")),
            think: (!effort.is_empty()).then_some(effort != "none"),
            json: fields.object("response_format").text("type")?.starts_with("json"),
            tool: first.map(|t| tool_call(&t["function"]["name"], &t["function"]["parameters"])),
            tools: !tools.is_empty(),
        };
        let voice = voice::ChatCompletion::new(name, include_usage(&fields));
        self.fulfil(wish, &fields, Box::new(voice), OPENAI).await
    }

    pub(super) async fn v1_completions(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let name = fields.text("model")?;
        let wish = Wish {
            name,
            prompt: fields.get("prompt").cloned().unwrap_or_default(),
            limit: fields.number("max_tokens"),
            think: Some(false),
            json: false,
            tool: None,
            tools: false,
        };
        let voice = voice::Completion::new(name, include_usage(&fields));
        self.fulfil(wish, &fields, Box::new(voice), OPENAI).await
    }

    pub(super) async fn v1_messages(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let (name, messages) = (fields.text("model")?, fields.list("messages")?);
        if name.is_empty() {
            return Err(Refusal::bad("model is required"));
        }
        let limit = fields.number("max_tokens");
        if limit.is_none_or(|n| n <= 0) {
            return Err(Refusal::bad("max_tokens is required and must be positive"));
        }
        if messages.is_empty() {
            return Err(Refusal::bad("messages is required"));
        }
        let tools = fields.list("tools")?;
        let first = tools.first().filter(|_| asks_for_weather(messages));
        // Every Anthropic client has to send a limit, so it cuts an answer short but never makes it longer.
        let short = limit.filter(|n| usize::try_from(*n).is_ok_and(|n| n < self.settings().tokens));
        // A thinking wish is dropped here when the model cannot think; elsewhere it is refused.
        let think = fields.object("thinking").text("type")? == "enabled";
        let wish = Wish {
            name,
            prompt: json!([fields.get("system").cloned().unwrap_or_default(), messages]),
            limit: short,
            think: Some(think && self.model(name, "chat").is_ok_and(|m| m.can("thinking"))),
            json: false,
            tool: first.map(|t| tool_call(&t["name"], &t["input_schema"])),
            tools: !tools.is_empty(),
        };
        self.fulfil(wish, &fields, Box::new(voice::Messages::new(name)), ANTHROPIC).await
    }

    pub(super) async fn v1_responses(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let name = fields.text("model")?;
        if name.is_empty() {
            return Err(Refusal::bad("model is required"));
        }
        let messages = match fields.get("input") {
            Some(Value::String(text)) => vec![json!({"role": "user", "content": text})],
            Some(Value::Array(items)) => items.clone(),
            _ => return Err(Refusal::bad("input is required")),
        };
        let tools = fields.list("tools")?;
        let first = tools.first().filter(|_| asks_for_weather(&messages));
        let wish = Wish {
            name,
            limit: fields.number("max_output_tokens"),
            think: None,
            json: fields.object("text").object("format").text("type")?.starts_with("json"),
            tool: first.map(|t| tool_call(&t["name"], &t["parameters"])),
            tools: !tools.is_empty(),
            prompt: messages.into(),
        };
        self.fulfil(wish, &fields, Box::new(voice::Responses::new(name)), RESPONSES).await
    }

    async fn fulfil(&self, wish: Wish<'_>, fields: &Fields, voice: Box<dyn Voice>, way: Way) -> Result<Response<Body>, Refusal> {
        let arrived = Instant::now();
        let stream = fields.flag("stream", false)?;
        let model = self.model(wish.name, "chat")?;
        let thinking = supported(&model, &wish)?;
        let mut plan = self.plan(wish.limit, &wish.prompt);
        plan.thinking = thinking;
        plan.json = wish.json;
        plan.tool = wish.tool;
        let want = self.want(model, &Fields::default(), None);
        self.run(Job { want, plan, stream, arrived }, voice, way).await
    }
}

fn include_usage(fields: &Fields) -> bool {
    fields.object("stream_options").flag("include_usage", false).unwrap_or(false)
}

fn supported(model: &SimulatedModel, wish: &Wish<'_>) -> Result<bool, Refusal> {
    let refuse = |what: &str| Err(Refusal::bad(format!("{:?} does not support {what}", wish.name)));
    if !model.can("completion") {
        return refuse("chat");
    }
    if wish.tools && !model.can("tools") {
        let full = super::names::longest(&model.name).unwrap_or_default();
        return Err(Refusal::bad(format!("{full} does not support tools")));
    }
    match wish.think {
        Some(true) if !model.can("thinking") => refuse("thinking"),
        wish => Ok(wish.unwrap_or_else(|| model.can("thinking"))),
    }
}
