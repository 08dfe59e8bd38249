//! `/v1/chat/completions` and `/v1/completions`: server-sent events that end with `[DONE]`.

use chrono::Utc;
use serde_json::{Value, json};

use super::super::generation::{Outcome, Piece, ToolCall};
use super::super::reply;
use super::{Voice, text_of, thinking_of, tools_of};

const DONE: &str = "data: [DONE]\n\n";

fn event(value: &Value) -> String {
    format!("data: {}\n\n", reply::marshal(value))
}

fn usage(outcome: &Outcome) -> Value {
    json!({
        "prompt_tokens": outcome.prompt_tokens, "completion_tokens": outcome.tokens,
        "total_tokens": outcome.prompt_tokens + outcome.tokens,
    })
}

fn finish(outcome: &Outcome) -> &'static str {
    match (outcome.tool, outcome.limited) {
        (true, _) => "tool_calls",
        (false, true) => "length",
        (false, false) => "stop",
    }
}

fn tool(call: &ToolCall, index: usize) -> Value {
    let function = json!({"name": call.name, "arguments": call.arguments.to_string()});
    json!({"id": call.id, "index": index, "type": "function", "function": function})
}

/// `/v1/chat/completions`. `model` is the name as the client sent it.
pub(in super::super) struct ChatCompletion {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
    opened: bool,
}

impl ChatCompletion {
    pub(in super::super) fn new(model: &str, include_usage: bool) -> Self {
        let id = format!("chatcmpl-{}", super::number(999));
        Self { id, created: Utc::now().timestamp(), model: model.to_owned(), include_usage, opened: false }
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "system_fingerprint": "fp_ollama", "choices": choices,
        })
    }

    /// The role stands in the first chunk only.
    fn delta(&mut self, fields: Value) -> String {
        let mut delta = if self.opened { json!({}) } else { json!({"role": "assistant"}) };
        self.opened = true;
        if let (Value::Object(delta), Value::Object(fields)) = (&mut delta, fields) {
            delta.extend(fields);
        }
        event(&self.chunk(&json!([{"index": 0, "delta": delta, "finish_reason": null}])))
    }
}

impl Voice for ChatCompletion {
    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        vec![self.delta(match piece {
            Piece::Text(text) => json!({"content": text}),
            Piece::Thinking(text) => json!({"content": "", "reasoning": text}),
            Piece::Tool(call) => json!({"content": "", "tool_calls": [tool(call, 0)]}),
        })]
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        let last = self.chunk(&json!([{"index": 0, "delta": {}, "finish_reason": finish(outcome)}]));
        let mut events = vec![event(&last)];
        if self.include_usage {
            let mut counts = self.chunk(&json!([]));
            counts["usage"] = usage(outcome);
            events.push(event(&counts));
        }
        events.push(DONE.to_owned());
        events
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        let mut message = json!({"role": "assistant", "content": text_of(pieces)});
        let (thinking, tools) = (thinking_of(pieces), tools_of(pieces));
        if !thinking.is_empty() {
            message["reasoning"] = thinking.into();
        }
        if !tools.is_empty() {
            message["tool_calls"] = tools.iter().enumerate().map(|(index, call)| tool(call, index)).collect();
        }
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "system_fingerprint": "fp_ollama",
            "choices": [{"index": 0, "message": message, "finish_reason": finish(outcome)}],
            "usage": usage(outcome),
        })
    }
}

/// `/v1/completions`. `model` is the name as the client sent it.
pub(in super::super) struct Completion {
    id: String,
    created: i64,
    model: String,
    include_usage: bool,
}

impl Completion {
    pub(in super::super) fn new(model: &str, include_usage: bool) -> Self {
        let id = format!("cmpl-{}", super::number(999));
        Self { id, created: Utc::now().timestamp(), model: model.to_owned(), include_usage }
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "choices": choices,
            "model": self.model, "system_fingerprint": "fp_ollama",
        })
    }
}

impl Voice for Completion {
    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let text = text_of(std::slice::from_ref(piece));
        vec![event(&self.chunk(&json!([{"text": text, "index": 0, "finish_reason": null}])))]
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        let last = self.chunk(&json!([{"text": "", "index": 0, "finish_reason": finish(outcome)}]));
        let mut events = vec![event(&last)];
        if self.include_usage {
            let mut counts = self.chunk(&json!([]));
            counts["usage"] = usage(outcome);
            events.push(event(&counts));
        }
        events.push(DONE.to_owned());
        events
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": self.model,
            "system_fingerprint": "fp_ollama",
            "choices": [{"text": text_of(pieces), "index": 0, "finish_reason": finish(outcome)}],
            "usage": usage(outcome),
        })
    }
}
