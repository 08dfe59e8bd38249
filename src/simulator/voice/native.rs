//! `/api/chat` and `/api/generate`: one JSON object per line.

use serde_json::{Map, Value, json};

use super::super::generation::{Outcome, Piece, ToolCall};
use super::super::reply;
use super::{Voice, line, text_of, thinking_of, tools_of};

/// `/api/chat`. `model` is the name as the client sent it.
pub(in super::super) struct Chat {
    pub(in super::super) model: String,
}

impl Chat {
    /// A line with an empty message, as after a load or an unload.
    pub(in super::super) fn bare(&self, reason: &str) -> Value {
        let mut line = self.line(&json!({"role": "assistant", "content": ""}), true);
        line["done_reason"] = reason.into();
        line
    }

    fn line(&self, message: &Value, done: bool) -> Value {
        json!({"model": self.model, "created_at": reply::now(), "message": message, "done": done})
    }
}

impl Voice for Chat {
    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let message = match piece {
            Piece::Text(text) => json!({"role": "assistant", "content": text}),
            Piece::Thinking(text) => json!({"role": "assistant", "content": "", "thinking": text}),
            Piece::Tool(call) => json!({"role": "assistant", "content": "", "tool_calls": [tool(call, 0)]}),
        };
        vec![line(&self.line(&message, false))]
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        let value = self.line(&json!({"role": "assistant", "content": ""}), true);
        vec![line(&counted(value, outcome, None))]
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        let mut message = json!({"role": "assistant", "content": text_of(pieces)});
        let (thinking, tools) = (thinking_of(pieces), tools_of(pieces));
        if !thinking.is_empty() {
            message["thinking"] = thinking.into();
        }
        if !tools.is_empty() {
            message["tool_calls"] = tools.iter().enumerate().map(|(index, call)| tool(call, index)).collect();
        }
        counted(self.line(&message, true), outcome, None)
    }
}

/// `/api/generate`. `model` is the name as the client sent it.
pub(in super::super) struct Generate {
    pub(in super::super) model: String,
}

impl Generate {
    /// A line with an empty response, as after a load or an unload.
    pub(in super::super) fn bare(&self, reason: &str) -> Value {
        let mut line = self.line("", None, true);
        line["done_reason"] = reason.into();
        line
    }

    fn line(&self, response: &str, thinking: Option<&str>, done: bool) -> Value {
        let mut line = json!({"model": self.model, "created_at": reply::now(), "response": response});
        if let Some(thinking) = thinking.filter(|t| !t.is_empty()) {
            line["thinking"] = thinking.into();
        }
        line["done"] = done.into();
        line
    }
}

impl Voice for Generate {
    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let value = match piece {
            Piece::Text(text) => self.line(text, None, false),
            Piece::Thinking(text) => self.line("", Some(text), false),
            Piece::Tool(call) => self.line(&call.name, None, false),
        };
        vec![line(&value)]
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        vec![line(&counted(self.line("", None, true), outcome, Some(context(outcome))))]
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        let value = self.line(&text_of(pieces), Some(&thinking_of(pieces)), true);
        counted(value, outcome, Some(context(outcome)))
    }
}

fn tool(call: &ToolCall, index: usize) -> Value {
    json!({"id": call.id, "function": {"index": index, "name": call.name, "arguments": call.arguments}})
}

fn context(outcome: &Outcome) -> Value {
    (0..outcome.tokens).collect()
}

/// The line with the reason of its end, the context of a generate, and the counts.
fn counted(mut value: Value, outcome: &Outcome, context: Option<Value>) -> Value {
    let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let mut more = Map::new();
    more.insert("done_reason".to_owned(), if outcome.limited { "length" } else { "stop" }.into());
    if let Some(context) = context {
        more.insert("context".to_owned(), context);
    }
    for (name, number) in [
        ("total_duration", nanos(outcome.total)),
        ("load_duration", nanos(outcome.load)),
        ("prompt_eval_count", outcome.prompt_tokens),
        ("prompt_eval_duration", nanos(outcome.prompt)),
        ("eval_count", outcome.tokens),
        ("eval_duration", nanos(outcome.eval)),
    ] {
        more.insert(name.to_owned(), number.into());
    }
    if let Value::Object(fields) = &mut value {
        fields.extend(more);
    }
    value
}
