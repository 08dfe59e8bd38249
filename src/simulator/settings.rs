//! What a simulated Ollama holds and how fast it is.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How one simulated server behaves. `Settings::default()` answers at once, with two models.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The models on its disk at start.
    pub models: Vec<SimulatedModel>,
    /// How long a model takes to load.
    pub load: Duration,
    /// From the start of a generation to its first token (the processing of the prompt).
    pub first_token: Duration,
    /// Between two tokens; also between two progress lines of a pull, push or create.
    pub token_gap: Duration,
    /// How many tokens an answer has when the request sets no limit.
    pub tokens: usize,
    /// The word that every token of text has, so that one server's answers can be told from another's. A prompt
    /// that holds `answer-with:WORD` is answered with that word instead.
    pub word: String,
    /// What `/api/version` says.
    pub version: String,
    /// How long an idle model stays loaded when the request says nothing (`OLLAMA_KEEP_ALIVE`).
    pub keep_alive: Duration,
    /// How many generations one loaded model runs at a time (`OLLAMA_NUM_PARALLEL`).
    pub parallel: usize,
    /// How many requests may wait for a load before further ones get 503 (`OLLAMA_MAX_QUEUE`).
    pub max_queue: usize,
    /// How many models fit at a time (`OLLAMA_MAX_LOADED_MODELS`).
    pub max_loaded: usize,
    /// The context of a model loaded without `num_ctx`, in tokens.
    pub context: u64,
    /// Whether models run on the CPU (`size_vram` 0), as after a resume that lost the GPU.
    pub on_cpu: bool,
    /// Whether the control routes under `/sim/` exist. They are for tests only.
    pub control: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            models: vec![
                SimulatedModel::chat("llama3.2:3b", "3.2B", 2_019_393_189),
                SimulatedModel::embedding("nomic-embed-text:latest", "137M", 274_302_450),
            ],
            load: Duration::ZERO,
            first_token: Duration::ZERO,
            token_gap: Duration::ZERO,
            tokens: 20,
            word: "token".to_owned(),
            version: "0.12.6".to_owned(),
            keep_alive: Duration::from_secs(300),
            parallel: 1,
            max_queue: 512,
            max_loaded: 3,
            context: 4096,
            on_cpu: false,
            control: false,
        }
    }
}

/// One model on the disk of the simulated server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedModel {
    /// Its name with the tag, in Ollama's shortest form (`llama3.2:3b`).
    pub name: String,
    /// What the model is; two names with the same content share digest and loaded runner, as a copy does.
    pub content: String,
    /// As the registry writes it: `3.2B`, `137M`.
    pub parameter_size: String,
    /// Bytes on disk.
    pub size: u64,
    /// `llama`, `nomic-bert` …
    pub family: String,
    /// As `/api/tags` lists them: `completion`, `tools`, `thinking`, `embedding` …
    pub capabilities: Vec<String>,
    /// The longest context it was trained for, in tokens.
    pub context_length: u64,
    /// The length of its vectors.
    pub embedding_length: u64,
    /// When its manifest was written.
    pub modified: DateTime<Utc>,
}

impl SimulatedModel {
    /// A model that chats, generates and calls tools.
    pub fn chat(name: &str, parameter_size: &str, size: u64) -> Self {
        Self::new(name, parameter_size, size, "llama", &["completion", "tools"])
    }

    /// A model that only makes embeddings.
    pub fn embedding(name: &str, parameter_size: &str, size: u64) -> Self {
        Self::new(name, parameter_size, size, "nomic-bert", &["embedding"])
    }

    fn new(name: &str, parameter_size: &str, size: u64, family: &str, capabilities: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            content: name.to_owned(),
            parameter_size: parameter_size.to_owned(),
            size,
            family: family.to_owned(),
            capabilities: capabilities.iter().map(|&c| c.to_owned()).collect(),
            context_length: 8192,
            embedding_length: 64,
            modified: DateTime::from_timestamp(1_760_000_000, 123_456_789).unwrap_or_default(),
        }
    }

    /// The digest of its manifest: 64 hex digits, the same in every run.
    pub fn digest(&self) -> String {
        let half = |part: &str| md5::compute(format!("{part} of {}", self.content));
        format!("{:x}{:x}", half("head"), half("tail"))
    }

    /// The digest of its weights, likewise stable.
    pub(super) fn weights(&self) -> String {
        let half = |part: &str| md5::compute(format!("{part} of the weights of {}", self.content));
        format!("{:x}{:x}", half("head"), half("tail"))
    }

    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|c| c == capability)
    }

    /// How many parameters `parameter_size` stands for.
    pub(super) fn parameter_count(&self) -> u64 {
        let digits = self.parameter_size.trim_end_matches(['B', 'M', 'K']);
        let thousands = match self.parameter_size.chars().last() {
            Some('B') => 1_000_000_000,
            Some('M') => 1_000_000,
            Some('K') => 1_000,
            _ => 1,
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let part = format!("{part:0<9}");
        let whole: u64 = whole.parse().unwrap_or(0);
        let billionths: u64 = part.get(..9).and_then(|p| p.parse().ok()).unwrap_or(0);
        whole * thousands + billionths * thousands / 1_000_000_000
    }
}
