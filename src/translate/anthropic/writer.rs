//! An answer in the shape of Anthropic's Messages: blocks that begin, grow and end, or one whole object.

use serde::Serialize;
use serde_json::{Value, json};

use crate::translate::client::{Client, push_event, push_json};
use crate::translate::speech::{Reason, Said, Speech, Usage};

/// The state between two pieces.
#[derive(Debug)]
pub(crate) struct Writer {
    client: Client,
    input: Option<u64>,
    begun: bool,
    open: Option<Block>,
    /// Blocks so far.
    blocks: u64,
    called: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Text,
    Thinking,
    Call,
}

/// A block grows: nearly every event of a stream, so no map is made of it.
#[derive(Serialize)]
struct Grows<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u64,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "input_json_delta")]
    Call { partial_json: &'a str },
}

impl Writer {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, input: None, begun: false, open: None, blocks: 0, called: false }
    }

    /// Writes what a stream needs of a piece.
    pub(crate) fn say(&mut self, said: Said, out: &mut Vec<u8>) {
        match said {
            Said::Begin { input } => self.input = input,
            Said::Words { text, thinking, .. } => {
                if !thinking.is_empty() {
                    self.within(Block::Thinking, || json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
                    self.delta(Delta::Thinking { thinking: &thinking }, out);
                }
                if !text.is_empty() {
                    self.within(Block::Text, || json!({ "type": "text", "text": "" }), out);
                    self.delta(Delta::Text { text: &text }, out);
                }
            }
            Said::CallBegin { id, name } => {
                self.called = true;
                self.close(out);
                self.within(Block::Call, || json!({ "type": "tool_use", "id": id, "name": name, "input": {} }), out);
            }
            Said::CallPart(part) => self.delta(Delta::Call { partial_json: &part }, out),
            Said::CallEnd(_) => self.close(out),
            Said::Signed(_) => {}
            Said::End { reason, usage } => {
                self.begin(out);
                self.close(out);
                let delta = json!({ "stop_reason": reason_word(&reason, self.called), "stop_sequence": null });
                push_event(out, "message_delta", &json!({ "type": "message_delta", "delta": delta, "usage": self.usage(usage) }));
                push_event(out, "message_stop", &json!({ "type": "message_stop" }));
            }
        }
    }

    /// What the provider does not tell at once is estimated, as Ollama does; the end tells the truth.
    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let usage = json!({ "input_tokens": self.input.unwrap_or(self.client.estimate), "output_tokens": 0 });
        let message = self.message(&json!([]), None, &usage);
        push_event(out, "message_start", &json!({ "type": "message_start", "message": message }));
    }

    /// Opens a block of this kind, unless one is open.
    fn within(&mut self, kind: Block, start: impl FnOnce() -> Value, out: &mut Vec<u8>) {
        self.begin(out);
        if self.open == Some(kind) {
            return;
        }
        self.close(out);
        self.open = Some(kind);
        let event = json!({ "type": "content_block_start", "index": self.blocks, "content_block": start() });
        push_event(out, "content_block_start", &event);
    }

    fn delta(&self, delta: Delta<'_>, out: &mut Vec<u8>) {
        let kind = "content_block_delta";
        push_event(out, kind, &Grows { kind, index: self.blocks, delta });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            push_event(out, "content_block_stop", &json!({ "type": "content_block_stop", "index": self.blocks }));
            self.blocks += 1;
        }
    }

    fn usage(&self, usage: Usage) -> Value {
        let input = usage.input.or(self.input).unwrap_or(self.client.estimate);
        let cached = usage.cached.unwrap_or(0);
        let mut told = json!({ "input_tokens": input.saturating_sub(cached), "output_tokens": usage.output.unwrap_or(0) });
        if usage.cached.is_some() {
            told["cache_read_input_tokens"] = cached.into();
        }
        told
    }

    fn message(&self, content: &Value, stop_reason: Option<&str>, usage: &Value) -> Value {
        json!({
            "id": format!("msg_{}", self.client.id),
            "type": "message",
            "role": "assistant",
            "model": self.client.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": usage,
        })
    }

    /// A whole answer.
    pub(crate) fn whole(self, speech: &Speech) -> Vec<u8> {
        let mut content = Vec::new();
        if !speech.thinking.is_empty() {
            content.push(json!({ "type": "thinking", "thinking": speech.thinking, "signature": "" }));
        }
        if !speech.text.is_empty() {
            content.push(json!({ "type": "text", "text": speech.text }));
        }
        for call in &speech.calls {
            // They were found to be an object when the call ended.
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            content.push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input }));
        }
        let reason = reason_word(&speech.reason, !speech.calls.is_empty());
        let message = self.message(&Value::Array(content), Some(reason), &self.usage(speech.usage));
        let mut out = Vec::new();
        push_json(&mut out, &message);
        out
    }
}

fn reason_word(reason: &Reason, called: bool) -> &'static str {
    match reason {
        Reason::Stop if called => "tool_use",
        Reason::Stop | Reason::Other(_) => "end_turn",
        Reason::Length => "max_tokens",
        Reason::Calls => "tool_use",
        Reason::Filter => "refusal",
    }
}
