//! How a client talks. It decides the shape of errors and the end mark of streams.

/// The dialect of a request, known from its path alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Ollama's own `/api/*`: NDJSON streams that end with `"done":true`.
    Native,
    /// `/v1/*`: server-sent events that end with `data: [DONE]` (or `response.completed` on `/v1/responses`).
    OpenAi,
    /// `/v1/messages`: server-sent events that end with `message_stop`.
    Anthropic,
}

impl Dialect {
    /// The dialect in which a client that asked for `path` expects its errors.
    pub fn of_path(path: &str) -> Self {
        if path == "/v1/messages" || path.starts_with("/v1/messages/") {
            Self::Anthropic
        } else if path == "/v1" || path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Native
        }
    }

    /// The word used in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}
