//! Streams and dialects. What must be known of a stream while it passes untouched: whether it came to its proper end, and
//! how to say in its own dialect that it will not. And the translation of requests and answers between Ollama's, OpenAI's
//! and Anthropic's dialects, through a form that is none of them: each dialect is read and written in one place.
//!
//! A client's [`Voice`] is the route on which it talks; a [`Tongue`] is that of whoever answers, a node or a provider. A
//! request is understood as a [`Talk`] and asked in the tongue; what comes back is read into pieces (`Said`), and those are
//! written for the [`Client`]. A [`Translation`] does that to a stream, `whole` to an answer in one piece. Embeddings go
//! their own short way.
//!
//! Pure: bytes in, bytes out. The times that answers tell are the caller's.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::values::Dialect;

mod anthropic;
mod calls;
mod client;
mod embeddings;
mod end_watch;
mod events;
mod fields;
#[cfg(test)]
mod framing_tests;
mod images;
mod json;
mod lines;
mod listing;
mod native;
mod node_list;
mod openai;
mod opening;
mod refused;
mod rename;
mod speech;
mod sse;
mod talk;
mod target;
mod thoughts;
mod translation;
mod trouble;

#[cfg(test)]
mod tests;

pub use client::{Client, Now, Voice};
pub use embeddings::{EmbedRequest, EmbedRoute};
pub use end_watch::{EndWatch, Passed};
pub use lines::LineFramer;
pub use listing::{Listed, Page, page};
pub use node_list::NodeList;
pub use opening::Opening;
pub use refused::{Less, refused_parameter, without};
pub use rename::with_model;
pub use speech::Usage;
pub use sse::{Event, SseDecoder};
pub use talk::Talk;
pub use target::{Abilities, Flavour, Target};
pub use thoughts::Thoughts;
pub use translation::{Told, Tongue, Translation, ask, count_tokens, nothing_said, understand, whole, whole_told};
pub use trouble::{hidden, of_answer};

/// The longest event or line that is read: as much as Ollama's own client takes.
pub const EVENT_LIMIT: usize = 8 * 1024 * 1024;

/// A line or an event is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// How an answer is framed and what ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines of JSON; the last has `"done":true`.
    Ndjson,
    /// Lines of JSON about a pull, push or create; the last has `"status":"success"`.
    Progress,
    /// Server-sent events that end with `data: [DONE]`.
    SseChat,
    /// Server-sent events that end with `response.completed`, `response.failed` or `response.incomplete`.
    SseResponses,
    /// Server-sent events that end with `message_stop`.
    SseMessages,
    /// No end mark that we know: HTTP's own framing says whether it is whole.
    Whole,
}

impl Form {
    /// The form of an answer on a route (its template). The node's `Content-Type` decides whether it is a stream at all:
    /// loads, errors and `"stream":false` answer in one piece on the same routes.
    pub fn of(dialect: Dialect, route: &str, content_type: Option<&str>) -> Self {
        let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/x-ndjson") {
            match route {
                "/api/generate" | "/api/chat" => Self::Ndjson,
                "/api/pull" | "/api/push" | "/api/create" => Self::Progress,
                _ => Self::Whole,
            }
        } else if kind.eq_ignore_ascii_case("text/event-stream") {
            match (dialect, route) {
                (Dialect::OpenAi, "/v1/chat/completions" | "/v1/completions") => Self::SseChat,
                (Dialect::OpenAi, "/v1/responses") => Self::SseResponses,
                (Dialect::Anthropic, "/v1/messages") => Self::SseMessages,
                _ => Self::Whole,
            }
        } else {
            Self::Whole
        }
    }

    fn is_events(self) -> bool {
        matches!(self, Self::SseChat | Self::SseResponses | Self::SseMessages)
    }
}

/// The bytes that tell the client inside its stream that the answer broke off, for a status already sent. They end
/// what is half sent (`mid_line`, see [`EndWatch::mid_line`]) first. `None` for [`Form::Whole`]: such an answer can
/// only be aborted.
pub fn in_band_error(form: Form, text: &str, mid_line: bool) -> Option<Bytes> {
    let half = match (mid_line, form.is_events()) {
        (false, _) => "",
        (true, false) => "\n",
        (true, true) => "\n\n",
    };
    let error = match form {
        Form::Whole => return None,
        Form::Ndjson | Form::Progress => format!("{}\n", json!({ "error": text })),
        Form::SseChat => format!("data: {}\n\n", json!({ "error": openai_error(text) })),
        // `message` for clients that read the event, `error` for those that look for one in any event.
        Form::SseResponses => event(&json!({
            "type": "error", "code": "server_error", "message": text, "param": null, "sequence_number": 0,
            "error": openai_error(text),
        })),
        Form::SseMessages => event(&json!({ "type": "error", "error": { "type": "api_error", "message": text } })),
    };
    Some(Bytes::from(format!("{half}{error}")))
}

fn openai_error(text: &str) -> Value {
    json!({ "message": text, "type": "api_error", "param": null, "code": null })
}

fn event(data: &Value) -> String {
    format!("event: error\ndata: {data}\n\n")
}
