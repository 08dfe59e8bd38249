//! Lists of models: a provider's read, and its models shown as Ollama and OpenAI would list them.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Stamp;
use super::target::Abilities;
use super::translation::Tongue;
use super::trouble::broken;
use crate::values::Fault;

/// A model of a provider's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its name at the provider.
    pub id: String,
    /// Whole seconds since 1970.
    pub created: i64,
    /// As far as the list tells.
    pub abilities: Abilities,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its models.
    pub models: Vec<Listed>,
    /// Behind which id the next page begins, if there is one.
    pub next: Option<String>,
}

/// Reads the answer of `/v1/models`, OpenAI's or Anthropic's.
///
/// # Errors
/// It is no list.
pub fn page(body: &[u8]) -> Result<Page, Fault> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Value>,
        has_more: Option<bool>,
        last_id: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| broken("it is no list of models"))?;
    let models = answer.data.iter().filter_map(listed).collect();
    Ok(Page { models, next: answer.last_id.filter(|_| answer.has_more == Some(true)) })
}

fn listed(entry: &Value) -> Option<Listed> {
    let id = entry.get("id")?.as_str()?.to_owned();
    let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp());
    let created = entry.get("created").and_then(Value::as_i64);
    let created = created.or_else(|| entry.get("created_at").and_then(Value::as_str).and_then(at)).unwrap_or(0);
    let can = |path: &str| entry.get("capabilities")?.pointer(path)?.get("supported")?.as_bool();
    let abilities = Abilities {
        max_tokens: entry.get("max_tokens").and_then(Value::as_u64),
        context: entry.get("max_input_tokens").and_then(Value::as_u64),
        adaptive_thinking: can("/thinking/types/adaptive"),
        budgeted_thinking: can("/thinking/types/enabled"),
        effort: can("/effort"),
        images: can("/image_input"),
    };
    Some(Listed { id, created, abilities })
}

impl Listed {
    /// Whether its name is that of a model that talks or embeds: OpenAI lists painters and speakers beside them.
    pub fn is_for_text(&self) -> bool {
        const OTHERS: [&str; 11] = [
            "dall-e",
            "gpt-image",
            "tts",
            "whisper",
            "transcribe",
            "moderation",
            "realtime",
            "audio",
            "sora",
            "babbage",
            "davinci",
        ];
        !OTHERS.iter().any(|other| self.id.contains(other))
    }

    fn embeds(&self) -> bool {
        self.id.contains("embed")
    }

    /// What clients ask about before they offer tools or pictures.
    fn capabilities(&self, tongue: Tongue) -> Vec<&'static str> {
        if self.embeds() {
            return vec!["embedding"];
        }
        let mut all = vec!["completion", "tools"];
        if self.abilities.images != Some(false) {
            all.push("vision");
        }
        let by_name = ["gpt-5", "o1", "o3", "o4"].iter().any(|name| self.id.starts_with(name)) && !self.id.contains("-chat");
        let told = self.abilities.adaptive_thinking == Some(true) || self.abilities.budgeted_thinking == Some(true);
        if told || (tongue == Tongue::OpenAi && by_name) {
            all.push("thinking");
        }
        all
    }

    fn details(family: &str) -> Value {
        json!({
            "parent_model": "", "format": "", "family": family, "families": [family],
            "parameter_size": "", "quantization_level": "",
        })
    }

    fn modified_at(&self) -> String {
        let since = Duration::from_secs(u64::try_from(self.created).unwrap_or(0));
        Stamp::default().print(SystemTime::UNIX_EPOCH + since)
    }

    /// Its entry in `/api/tags` under `name`. `digest` makes 64 digits of a name.
    pub fn tag(&self, name: &str, host: &str, family: &str, tongue: Tongue, digest: impl Fn(&str) -> String) -> Value {
        json!({
            "name": name,
            "model": name,
            "remote_model": self.id,
            "remote_host": host,
            "modified_at": self.modified_at(),
            "size": 0,
            "digest": digest(name),
            "details": Self::details(family),
            "capabilities": self.capabilities(tongue),
        })
    }

    /// The answer of `/api/show`: clients need the architecture to find the length of the context.
    pub fn show(&self, host: &str, family: &str, tongue: Tongue) -> Value {
        let mut info = json!({ "general.architecture": family });
        info[format!("{family}.context_length")] = self.abilities.context.unwrap_or(128_000).into();
        json!({
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": Self::details(family),
            "model_info": info,
            "capabilities": self.capabilities(tongue),
            "remote_model": self.id,
            "remote_host": host,
            "modified_at": self.modified_at(),
        })
    }

    /// Its entry in `/v1/models` under `id`.
    pub fn model_v1(&self, id: &str, owner: &str) -> Value {
        json!({ "id": id, "object": "model", "created": self.created, "owned_by": owner })
    }
}
