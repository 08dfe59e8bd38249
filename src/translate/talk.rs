//! What a request for a chat says, in no dialect: read from the client's words, written in the provider's.

use serde_json::{Map, Number, Value};

/// A conversation to be continued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Talk {
    /// The model, as the client named it.
    pub model: String,
    /// Whether the client expects an answer in pieces.
    pub stream: bool,
    /// An OpenAI client wants the token counts behind its stream.
    pub wants_usage: bool,
    pub(crate) messages: Vec<Message>,
    /// The `function` of each tool, as it came: schemas hold more than any struct of ours.
    pub(crate) tools: Vec<Map<String, Value>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) parallel_calls: Option<bool>,
    pub(crate) format: Option<Format>,
    pub(crate) think: Option<Think>,
    pub(crate) sampling: Sampling,
    pub(crate) user: Option<String>,
    /// What the client asked for and no provider could be told.
    pub(crate) dropped: Vec<String>,
}

impl Talk {
    /// Whether there is nothing to answer: a native client loads or unloads a model so.
    pub fn says_nothing(&self) -> bool {
        self.messages.is_empty()
    }

    /// All texts of the system's messages, in order.
    pub(crate) fn system(&self) -> String {
        let of_system = self.messages.iter().filter(|message| message.role == Role::System);
        of_system.map(Message::text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    /// About how many tokens the conversation has: four bytes of text each, as Ollama itself estimates.
    pub fn estimated_tokens(&self) -> u64 {
        let texts = self.messages.iter().map(|message| {
            let calls: usize = message.calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            message.text().len() + message.thinking.len() + calls
        });
        let tools = self.tools.iter().map(|tool| serde_json::to_string(tool).map_or(0, |text| text.len()));
        let bytes: usize = texts.chain(tools).sum();
        (bytes as u64).div_ceil(4)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    System,
    #[default]
    User,
    Assistant,
    /// What a tool answered.
    Tool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part>,
    pub(crate) thinking: String,
    /// Blocks of Anthropic's with their signatures, to stand in front of the calls.
    pub(crate) signed: Vec<Value>,
    pub(crate) calls: Vec<Call>,
    /// Of [`Role::Tool`]: the call that is answered.
    pub(crate) answers: String,
    /// Of [`Role::Tool`]: the name of the tool, where it is known.
    pub(crate) tool: String,
}

impl Message {
    pub(crate) fn of(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: Part::of_text(text.into()), ..Self::default() }
    }

    /// Its texts, one behind the other.
    pub(crate) fn text(&self) -> String {
        let texts = self.parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" });
        texts.collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Image(Image),
    Audio { format: String, data: String },
}

impl Part {
    /// No part for no text: Anthropic refuses empty ones.
    pub(crate) fn of_text(text: String) -> Vec<Self> {
        if text.is_empty() { Vec::new() } else { vec![Self::Text(text)] }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Image {
    /// Base64.
    Inline {
        media_type: String,
        data: String,
    },
    Url(String),
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The text of a JSON object.
    pub(crate) arguments: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    Auto,
    None,
    /// Some tool.
    Required,
    Named(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// Any JSON object.
    Json,
    Schema {
        name: Option<String>,
        schema: Value,
        strict: Option<bool>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Think {
    Off,
    On,
    Effort(Effort),
    /// At most so many tokens.
    Budget(u64),
}

/// How hard to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" | "ultra" => Self::Max,
            _ => return None,
        })
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// The tokens that older models of Anthropic's are given for it.
    pub(crate) fn budget(self) -> u64 {
        match self {
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 4096,
            Self::High => 16_384,
            Self::Xhigh | Self::Max => 32_768,
        }
    }

    /// The effort that such a budget is.
    pub(crate) fn of_budget(tokens: u64) -> Self {
        match tokens {
            0..4096 => Self::Low,
            4096..16_384 => Self::Medium,
            _ => Self::High,
        }
    }
}

/// How words are drawn. Numbers stay as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sampling {
    pub(crate) max_tokens: Option<u64>,
    pub(crate) temperature: Option<Number>,
    pub(crate) top_p: Option<Number>,
    pub(crate) top_k: Option<Number>,
    pub(crate) seed: Option<Number>,
    pub(crate) stop: Vec<String>,
    pub(crate) frequency_penalty: Option<Number>,
    pub(crate) presence_penalty: Option<Number>,
    pub(crate) logprobs: Option<bool>,
    pub(crate) top_logprobs: Option<Number>,
}
