//! What an answer says, in no dialect, piece by piece; and all of it at once for clients that do not stream.

use serde_json::Value;

use super::talk::Call;
use super::thoughts::Thoughts;

/// A piece of an answer, in the order in which it was said. Calls come one after the other: begin, parts, end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// The provider has taken the request; tells how many tokens it read, where it does.
    Begin { input: Option<u64> },
    /// Text and thoughts; at least one of them is not empty.
    Words { text: String, thinking: String, logprobs: Option<Value> },
    /// A call begins.
    CallBegin { id: String, name: String },
    /// More of the text of its arguments.
    CallPart(String),
    /// The call is whole.
    CallEnd(Call),
    /// The thoughts in front of the calls, signed: to be kept, not told.
    Signed(Box<Thoughts>),
    /// The proper end.
    End { reason: Reason, usage: Usage },
}

/// Why an answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reason {
    #[default]
    Stop,
    Length,
    Calls,
    Filter,
    Other(String),
}

/// Token counts, as far as they were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub input: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
    /// Of the input: what the provider had cached.
    pub cached: Option<u64>,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Speech {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) logprobs: Vec<Value>,
    pub(crate) reason: Reason,
    pub(crate) usage: Usage,
    pub(crate) signed: Option<Box<Thoughts>>,
}

impl Speech {
    /// Takes the next piece in.
    pub(crate) fn take(&mut self, said: Said) {
        match said {
            Said::Words { text, thinking, logprobs } => {
                self.text.push_str(&text);
                self.thinking.push_str(&thinking);
                if let Some(Value::Array(more)) = logprobs {
                    self.logprobs.extend(more);
                }
            }
            Said::CallEnd(call) => self.calls.push(call),
            Said::Signed(thoughts) => self.signed = Some(thoughts),
            Said::End { reason, usage } => (self.reason, self.usage) = (reason, usage),
            Said::Begin { .. } | Said::CallBegin { .. } | Said::CallPart(_) => {}
        }
    }
}
