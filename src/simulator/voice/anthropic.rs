//! `/v1/messages`: Anthropic's events, a block for each kind of content.

use serde_json::{Value, json};

use super::super::generation::{Outcome, Piece};
use super::super::reply;
use super::{Voice, text_of, thinking_of, tools_of};

/// `/v1/messages`. `model` is the name as the client sent it.
pub(in super::super) struct Messages {
    id: String,
    model: String,
    /// The block that is open: its number and kind.
    open: Option<(usize, &'static str)>,
    next: usize,
}

fn event(name: &str, value: &Value) -> String {
    format!("event: {name}\ndata: {}\n\n", reply::marshal(value))
}

fn reason(outcome: &Outcome) -> &'static str {
    match (outcome.tool, outcome.limited) {
        (true, _) => "tool_use",
        (false, true) => "max_tokens",
        (false, false) => "end_turn",
    }
}

impl Messages {
    pub(in super::super) fn new(model: &str) -> Self {
        let id = format!("{:x}", md5::compute(super::number(u64::MAX).to_be_bytes()));
        Self { id: format!("msg_{}", &id[..24]), model: model.to_owned(), open: None, next: 0 }
    }

    /// Opens a block of this kind unless one is open already.
    fn block(&mut self, kind: &'static str, start: &Value, into: &mut Vec<String>) -> usize {
        match self.open {
            Some((index, open)) if open == kind && kind != "tool_use" => index,
            _ => {
                self.close(into);
                let index = self.next;
                self.next += 1;
                self.open = Some((index, kind));
                let value = json!({"type": "content_block_start", "index": index, "content_block": start});
                into.push(event("content_block_start", &value));
                index
            }
        }
    }

    fn close(&mut self, into: &mut Vec<String>) {
        if let Some((index, _)) = self.open.take() {
            into.push(event("content_block_stop", &json!({"type": "content_block_stop", "index": index})));
        }
    }
}

impl Voice for Messages {
    fn opening(&mut self, prompt_tokens: u64) -> Vec<String> {
        let message = json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": [],
            "usage": {"input_tokens": prompt_tokens, "output_tokens": 0},
        });
        vec![event("message_start", &json!({"type": "message_start", "message": message}))]
    }

    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let mut events = Vec::new();
        let (index, delta) = match piece {
            Piece::Text(text) => {
                let index = self.block("text", &json!({"type": "text", "text": ""}), &mut events);
                (index, json!({"type": "text_delta", "text": text}))
            }
            Piece::Thinking(text) => {
                let index = self.block("thinking", &json!({"type": "thinking", "thinking": ""}), &mut events);
                (index, json!({"type": "thinking_delta", "thinking": text}))
            }
            Piece::Tool(call) => {
                let start = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
                let index = self.block("tool_use", &start, &mut events);
                (index, json!({"type": "input_json_delta", "partial_json": call.arguments.to_string()}))
            }
        };
        let value = json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.push(event("content_block_delta", &value));
        events
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        let mut events = Vec::new();
        self.close(&mut events);
        let usage = json!({"input_tokens": outcome.prompt_tokens, "output_tokens": outcome.tokens});
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason(outcome)}, "usage": usage});
        events.push(event("message_delta", &delta));
        events.push(event("message_stop", &json!({"type": "message_stop"})));
        events
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        let mut content = Vec::new();
        let (thinking, text) = (thinking_of(pieces), text_of(pieces));
        if !thinking.is_empty() {
            content.push(json!({"type": "thinking", "thinking": thinking}));
        }
        if !text.is_empty() {
            content.push(json!({"type": "text", "text": text}));
        }
        let call = |c: &&super::super::generation::ToolCall| json!({"type": "tool_use", "id": c.id, "name": c.name, "input": c.arguments});
        content.extend(tools_of(pieces).iter().map(call));
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": reason(outcome),
            "usage": {"input_tokens": outcome.prompt_tokens, "output_tokens": outcome.tokens},
        })
    }
}
