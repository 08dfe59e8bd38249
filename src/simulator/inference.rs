//! From a request for inference to its generation: what every such route has in common.

use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::Ollama;
use super::body::Body;
use super::engine::Want;
use super::generation::{Generation, Plan, ToolCall};
use super::names;
use super::reply::{self, Refusal, Shape};
use super::request::{Fields, KeepAlive};
use super::settings::SimulatedModel;
use super::voice::{self, Voice};

/// A generation that was asked for.
pub(super) struct Job {
    pub(super) want: Want,
    pub(super) plan: Plan,
    pub(super) stream: bool,
    pub(super) arrived: Instant,
}

impl Ollama {
    /// The model a request names, or Ollama's refusal; `ask` is what the route says the model must support.
    pub(super) fn model(&self, name: &str, ask: &str) -> Result<SimulatedModel, Refusal> {
        let (base, cloud) = names::source(name)?;
        if cloud {
            let text = "ollama cloud is disabled: remote model is unavailable";
            return Err(Refusal { always_native: true, ..Refusal::new(StatusCode::FORBIDDEN, text) });
        }
        let unknown = if ask == "embed" {
            format!("model \"{name}\" not found, try pulling it first")
        } else {
            format!("model '{name}' not found")
        };
        self.shelf().find(base).ok_or_else(|| Refusal::missing(unknown))
    }

    /// A runner of this model with the request's own options, or the usual ones.
    pub(super) fn want(&self, model: SimulatedModel, options: &Fields, keep_alive: Option<KeepAlive>) -> Want {
        let settings = self.settings();
        let context = options.number("num_ctx").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        Want { model, context: context.unwrap_or(settings.context), keep_alive: keep_alive.unwrap_or(Some(settings.keep_alive)) }
    }

    /// The pace of the settings and the request's own limit of tokens.
    pub(super) fn plan(&self, limit: Option<i64>, prompt: &Value) -> Plan {
        let settings = self.settings();
        let limit = limit.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        Plan {
            tokens: limit.unwrap_or(settings.tokens),
            word: wished_word(prompt).unwrap_or(settings.word),
            limited: limit.is_some(),
            first_token: settings.first_token,
            token_gap: settings.token_gap,
            prompt_tokens: words(prompt).max(1),
            ..Plan::default()
        }
    }

    /// Runs the job: waits for the model, then streams from the first token on, or answers at the end.
    pub(super) async fn run(&self, job: Job, mut voice: Box<dyn Voice>, shape: Way) -> Result<Response<Body>, Refusal> {
        let seat = self.engine().seat(&job.want, &self.settings()).await?;
        let mut generation = Generation::begin(self.tally(), seat, job.plan, job.arrived);
        if job.stream {
            let first = generation.next().await;
            return Ok(reply::stream(shape.content_type, shape.keep_alive, voice::stream(voice, generation, first.as_ref())));
        }
        let mut pieces = Vec::new();
        while let Some(piece) = generation.next().await {
            pieces.push(piece);
        }
        let whole = voice.whole(&pieces, &generation.outcome());
        Ok(match shape.shape {
            Shape::Native => reply::json(StatusCode::OK, &whole),
            Shape::OpenAi | Shape::Anthropic => reply::json_line(StatusCode::OK, &whole),
        })
    }
}

/// How a route answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) shape: Shape,
    pub(super) content_type: &'static str,
    /// The two extra headers that some streams carry.
    pub(super) keep_alive: bool,
}

/// The word that a prompt asks for with `answer-with:WORD`, so that one request's answer can be told from all others'.
fn wished_word(prompt: &Value) -> Option<String> {
    const WISH: &str = "answer-with:";
    let text = prompt.to_string();
    let (_, rest) = text.split_once(WISH)?;
    let word: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    Some(word).filter(|word| !word.is_empty())
}

/// The words in all texts of a value: what this simulation takes for tokens.
pub(super) fn words(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(list) => list.iter().map(words).sum(),
        Value::Object(fields) => {
            fields.iter().filter(|(key, _)| *key == "content" || *key == "text").map(|(_, v)| words(v)).sum()
        }
        _ => 0,
    }
}

/// The last message of the user, if it is about the weather: that is when the simulated model calls a tool.
pub(super) fn asks_for_weather(messages: &[Value]) -> bool {
    let last = messages.last().filter(|m| m["role"] == "user");
    last.is_some_and(|m| m["content"].to_string().to_ascii_lowercase().contains("weather"))
}

/// A call of the first tool offered, with an argument for each property it declares.
pub(super) fn tool_call(name: &Value, parameters: &Value) -> ToolCall {
    let name = name.as_str().unwrap_or("tool");
    let example = |schema: &Value| match schema["type"].as_str() {
        Some("number" | "integer") => Value::from(1),
        Some("boolean") => Value::from(true),
        Some("array") => Value::from(vec!["Paris"]),
        _ => Value::from("Paris"),
    };
    let properties = parameters["properties"].as_object();
    let arguments = properties.map(|p| p.iter().map(|(name, schema)| (name.clone(), example(schema))).collect());
    let id = format!("{:x}", md5::compute(name));
    ToolCall { id: format!("call_{}", &id[..8]), name: name.to_owned(), arguments: Value::Object(arguments.unwrap_or_default()) }
}
