//! The list of a server that speaks OpenAI's dialect, as Ollama would list and show its models: all that the catalog
//! knows of a node is in Ollama's words.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Stamp;
use super::trouble::broken;
use crate::values::Fault;

/// The family of models whose own one is not told.
const FAMILY: &str = "openai";

/// The length of a context that is not told: what such servers begin with, and no promise.
const CONTEXT: u64 = 4096;

/// A list in Ollama's words.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeList {
    /// The body of `/api/tags`.
    pub tags: Vec<u8>,
    /// The bodies of `/api/show` by digest.
    pub shows: Vec<(String, Vec<u8>)>,
}

/// A model as far as its server tells: llama.cpp tells sizes, vLLM the context, LM Studio the name alone.
struct Entry {
    id: String,
    created: u64,
    parameters: Option<f64>,
    bytes: u64,
    context: Option<u64>,
    sees: bool,
}

impl NodeList {
    /// Reads the answer of `/v1/models`. `digest` makes 64 digits of a text; `known` tells since when a model was listed
    /// as it is: such servers tell the time of the question in place of the model's.
    ///
    /// # Errors
    /// It is no list.
    pub fn read(
        body: &[u8],
        digest: impl Fn(&str) -> String,
        known: impl Fn(&str) -> Option<String>,
        now: SystemTime,
    ) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        struct Answer {
            data: Vec<Value>,
            /// llama.cpp's own words about the same models.
            #[serde(default)]
            models: Vec<Value>,
        }
        let answer: Answer = serde_json::from_slice(body).map_err(|_| broken("it is no list of models"))?;
        let entries: Vec<Entry> = answer.data.iter().filter_map(|entry| Entry::read(entry, &answer.models)).collect();
        let (mut models, mut shows) = (Vec::new(), Vec::new());
        for entry in entries {
            let digest = digest(&entry.facts());
            let modified_at = known(&entry.id).unwrap_or_else(|| entry.modified_at(now));
            shows.push((digest.clone(), entry.show(&modified_at).to_string().into_bytes()));
            models.push(entry.tag(&digest, &modified_at));
        }
        Ok(Self { tags: json!({ "models": models }).to_string().into_bytes(), shows })
    }
}

impl Entry {
    fn read(entry: &Value, others: &[Value]) -> Option<Self> {
        let id = entry.get("id")?.as_str().filter(|id| !id.is_empty())?.to_owned();
        let meta = |key: &str| entry.get("meta")?.get(key);
        let whole = |value: Option<&Value>| value.and_then(Value::as_u64);
        let own_words = others.iter().find(|other| other.get("name").and_then(Value::as_str) == Some(&id));
        let told = own_words.and_then(|other| other.get("capabilities")?.as_array()).into_iter().flatten();
        let name = id.to_ascii_lowercase();
        let sees = told.filter_map(Value::as_str).any(|ability| matches!(ability, "multimodal" | "vision"))
            || ["vision", "llava", "-vl"].iter().any(|part| name.contains(part));
        Some(Self {
            created: whole(entry.get("created")).unwrap_or(0),
            parameters: meta("n_params").and_then(Value::as_f64).filter(|count| *count > 0.0),
            bytes: whole(meta("size")).unwrap_or(0),
            context: whole(meta("n_ctx_train")).or_else(|| whole(entry.get("max_model_len"))),
            sees,
            id,
        })
    }

    /// All that makes it another model when it changes.
    fn facts(&self) -> String {
        format!("{} {} {} {:?} {}", self.id, self.parameter_size(), self.bytes, self.context, self.sees)
    }

    fn modified_at(&self, now: SystemTime) -> String {
        let created = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.created)).filter(|_| self.created > 0);
        Stamp::default().print(created.map_or(now, |created| created.min(now)))
    }

    /// As Ollama prints it: `8.0B`, `268.1M`.
    fn parameter_size(&self) -> String {
        match self.parameters {
            Some(count) if count >= 1e9 => format!("{:.1}B", count / 1e9),
            Some(count) => format!("{:.1}M", count / 1e6),
            None => String::new(),
        }
    }

    fn capabilities(&self) -> Vec<&'static str> {
        let name = self.id.to_ascii_lowercase();
        let is = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if is(&["embed"]) {
            vec!["embedding"]
        } else if is(&["whisper", "tts", "kokoro", "stable-diffusion", "flux"]) {
            Vec::new()
        } else if self.sees {
            vec!["completion", "tools", "vision"]
        } else {
            vec!["completion", "tools"]
        }
    }

    fn details(&self) -> Value {
        let format = if self.id.to_ascii_lowercase().ends_with(".gguf") { "gguf" } else { "" };
        json!({
            "parent_model": "", "format": format, "family": FAMILY, "families": [FAMILY],
            "parameter_size": self.parameter_size(), "quantization_level": "",
        })
    }

    fn tag(&self, digest: &str, modified_at: &str) -> Value {
        json!({
            "name": self.id, "model": self.id, "modified_at": modified_at, "size": self.bytes, "digest": digest,
            "details": self.details(), "capabilities": self.capabilities(),
        })
    }

    fn show(&self, modified_at: &str) -> Value {
        let mut info = json!({ "general.architecture": FAMILY });
        info[format!("{FAMILY}.context_length")] = self.context.unwrap_or(CONTEXT).into();
        json!({
            "modelfile": "", "parameters": "", "template": "", "details": self.details(), "model_info": info,
            "capabilities": self.capabilities(), "modified_at": modified_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value, known: Option<&str>) -> (Value, Vec<(String, Value)>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_188_645);
        let digest = |facts: &str| format!("of {facts}");
        let list = NodeList::read(body.to_string().as_bytes(), digest, |_| known.map(str::to_owned), now).unwrap();
        let shows = list.shows.into_iter().map(|(digest, body)| (digest, serde_json::from_slice(&body).unwrap()));
        (serde_json::from_slice(&list.tags).unwrap(), shows.collect())
    }

    #[test]
    fn a_list_of_llama_cpp_tells_sizes_and_its_time_of_the_question_is_not_the_models() {
        let entry = |created: u64| {
            json!({
                "models": [{ "name": "org/Qwen3-VL.gguf", "capabilities": ["completion", "multimodal"] }],
                "object": "list",
                "data": [{ "id": "org/Qwen3-VL.gguf", "object": "model", "created": created, "owned_by": "llamacpp",
                    "meta": { "n_params": 7_615_616_512_u64, "size": 4_677_120_000_u64, "n_ctx_train": 32_768 } }],
            })
        };
        let (tags, shows) = read(&entry(1_700_000_000), None);
        let model = &tags["models"][0];
        assert_eq!((&model["name"], &model["size"]), (&json!("org/Qwen3-VL.gguf"), &json!(4_677_120_000_u64)));
        assert_eq!(model["details"]["parameter_size"], "7.6B");
        assert_eq!(model["modified_at"], "2023-11-14T22:13:20Z");
        assert_eq!(model["capabilities"], json!(["completion", "tools", "vision"]));
        let (digest, show) = &shows[0];
        assert_eq!(&model["digest"], digest);
        assert_eq!(show["model_info"], json!({ "general.architecture": "openai", "openai.context_length": 32_768 }));
        // Asked again, nothing has changed: neither digest nor time.
        let known = model["modified_at"].as_str();
        assert_eq!(read(&entry(1_700_000_099), known).0, tags);
    }

    #[test]
    fn a_name_alone_is_enough() {
        let (tags, shows) = read(&json!({ "object": "list", "data": [{ "id": "a" }, { "id": "text-embed" }, {}] }), None);
        assert_eq!(tags["models"].as_array().unwrap().len(), 2);
        assert_eq!(tags["models"][0]["modified_at"], "2026-11-20T15:30:45Z");
        assert_eq!(tags["models"][1]["capabilities"], json!(["embedding"]));
        assert_ne!(shows[0].0, shows[1].0);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for body in ["", "{}", "{\"error\":\"Unexpected endpoint\"}", "<html>"] {
            assert!(NodeList::read(body.as_bytes(), str::to_owned, |_| None, SystemTime::UNIX_EPOCH).is_err(), "{body}");
        }
    }
}
