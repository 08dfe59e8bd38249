//! What must be known of a stream while it passes untouched: whether it came to its proper end, and how to say in its
//! own dialect that it will not.

use bytes::Bytes;

use crate::values::Dialect;

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
    /// No end mark: HTTP's own framing says whether it is whole.
    Whole,
}
