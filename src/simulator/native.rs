//! `/api/chat` and `/api/generate`.

use std::time::Duration;

use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::Ollama;
use super::body::Body;
use super::inference::{self, Job, Way};
use super::reply::{self, NDJSON, Refusal, Shape};
use super::request::{Call, Fields, keep_alive};
use super::settings::SimulatedModel;
use super::voice;

const WAY: Way = Way { shape: Shape::Native, content_type: NDJSON, keep_alive: false };

impl Ollama {
    pub(super) async fn chat(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let arrived = Instant::now();
        let fields = call.fields()?;
        let name = fields.text("model")?.to_owned();
        let (messages, tools) = (fields.list("messages")?, fields.list("tools")?);
        let (stream, keep) = (fields.flag("stream", true)?, keep_alive(&fields)?);
        if name.is_empty() {
            return Err(Refusal::bad("model is required"));
        }
        let model = self.model(&name, "chat")?;
        let voice = voice::Chat { model: name.clone() };
        if messages.is_empty() && keep == Some(Some(Duration::ZERO)) {
            self.engine().unload(&model);
            return Ok(reply::json(StatusCode::OK, &voice.bare("unload")));
        }
        let thinking = supported(&model, &name, "chat", &fields, !tools.is_empty())?;
        let options = fields.object("options");
        let want = self.want(model, &options, keep);
        if messages.is_empty() {
            self.engine().load(&want, &self.settings()).await?;
            return Ok(reply::json(StatusCode::OK, &voice.bare("load")));
        }
        let mut plan = self.plan(options.number("num_predict"), &Value::from(messages.to_vec()));
        plan.thinking = thinking;
        plan.json = wants_json(&fields);
        let tool = tools.first().filter(|_| inference::asks_for_weather(messages));
        plan.tool = tool.map(|t| inference::tool_call(&t["function"]["name"], &t["function"]["parameters"]));
        self.run(Job { want, plan, stream, arrived }, Box::new(voice), WAY).await
    }

    pub(super) async fn generate(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let arrived = Instant::now();
        let fields = call.fields()?;
        let name = fields.text("model")?.to_owned();
        let prompt = fields.text("prompt")?;
        let (stream, keep) = (fields.flag("stream", true)?, keep_alive(&fields)?);
        let model = self.model(&name, "generate")?;
        let voice = voice::Generate { model: name.clone() };
        if prompt.is_empty() && keep == Some(Some(Duration::ZERO)) {
            self.engine().unload(&model);
            return Ok(reply::json(StatusCode::OK, &voice.bare("unload")));
        }
        let thinking = supported(&model, &name, "generate", &fields, false)?;
        let options = fields.object("options");
        let want = self.want(model, &options, keep);
        if prompt.is_empty() {
            self.engine().load(&want, &self.settings()).await?;
            return Ok(reply::json(StatusCode::OK, &voice.bare("load")));
        }
        let mut plan = self.plan(options.number("num_predict"), &Value::from(prompt));
        plan.thinking = thinking;
        plan.json = wants_json(&fields);
        self.run(Job { want, plan, stream, arrived }, Box::new(voice), WAY).await
    }
}

fn wants_json(fields: &Fields) -> bool {
    fields.get("format").is_some_and(|format| format != "")
}

/// Refuses what the model cannot do; says whether the answer opens with thinking.
fn supported(model: &SimulatedModel, name: &str, ask: &str, fields: &Fields, tools: bool) -> Result<bool, Refusal> {
    if !model.can("completion") {
        return Err(Refusal::bad(format!("{name:?} does not support {ask}")));
    }
    if tools && !model.can("tools") {
        let full = super::names::longest(&model.name).unwrap_or_default();
        return Err(Refusal::bad(format!("{full} does not support tools")));
    }
    let think = match fields.get("think") {
        None => return Ok(model.can("thinking")),
        Some(Value::Bool(think)) => *think,
        Some(Value::String(level)) if matches!(level.as_str(), "low" | "medium" | "high" | "max") => true,
        Some(other) => return Err(Refusal::bad(format!("invalid think value: {other}"))),
    };
    if think && !model.can("thinking") {
        return Err(Refusal::bad(format!("{name:?} does not support thinking")));
    }
    Ok(think)
}
