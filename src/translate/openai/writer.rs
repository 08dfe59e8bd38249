//! An answer in OpenAI's shape: chunks of a chat or text completion, or one whole object.

use serde::Serialize;
use serde_json::{Value, json};

use crate::translate::client::{Client, Voice, push_data, push_json};
use crate::translate::speech::{Reason, Said, Speech, Usage};

/// The state between two pieces.
#[derive(Debug)]
pub(crate) struct Writer {
    client: Client,
    /// One for all chunks: clients put them together by it.
    id: String,
    begun: bool,
    calls: usize,
}

impl Writer {
    pub(crate) fn new(client: Client) -> Self {
        let prefix = if client.voice == Voice::Completions { "cmpl" } else { "chatcmpl" };
        let id = format!("{prefix}-{}", client.id);
        Self { client, id, begun: false, calls: 0 }
    }

    /// Writes what a stream needs of a piece.
    pub(crate) fn say(&mut self, said: Said, out: &mut Vec<u8>) {
        if self.client.voice == Voice::Completions {
            return self.say_text(said, out);
        }
        match said {
            Said::Begin { .. } | Said::CallEnd(_) | Said::Signed(_) => {}
            // One chunk has thoughts or text, thoughts first.
            Said::Words { text, thinking, logprobs } => {
                let mut logprobs = logprobs.map(|content| json!({ "content": content }));
                if !thinking.is_empty() {
                    let role = self.role();
                    let delta =
                        Delta { role, reasoning: Some(&thinking), reasoning_content: Some(&thinking), ..Delta::default() };
                    self.chunk(&delta, logprobs.take(), out);
                }
                if !text.is_empty() {
                    let role = self.role();
                    self.chunk(&Delta { role, content: Some(&text), ..Delta::default() }, logprobs, out);
                }
            }
            Said::CallBegin { id, name } => {
                let call =
                    json!([{ "index": self.calls, "id": id, "type": "function", "function": { "name": name, "arguments": "" } }]);
                self.calls += 1;
                let role = self.role();
                self.chunk(&Delta { role, tool_calls: Some(call), ..Delta::default() }, None, out);
            }
            Said::CallPart(part) => {
                let call = json!([{ "index": self.calls.saturating_sub(1), "function": { "arguments": part } }]);
                self.chunk(&Delta { tool_calls: Some(call), ..Delta::default() }, None, out);
            }
            Said::End { reason, usage } => {
                if let Some(role) = self.role() {
                    self.chunk(&Delta { role: Some(role), content: Some(""), ..Delta::default() }, None, out);
                }
                let reason = reason_word(&reason, self.calls > 0);
                self.choice(&json!({ "index": 0, "delta": {}, "finish_reason": reason }), out);
                self.close(usage, out);
            }
        }
    }

    fn say_text(&mut self, said: Said, out: &mut Vec<u8>) {
        match said {
            Said::Words { text, .. } if !text.is_empty() => {
                self.choice(&json!({ "text": text, "index": 0, "logprobs": null, "finish_reason": null }), out);
            }
            Said::End { reason, usage } => {
                let reason = reason_word(&reason, false);
                self.choice(&json!({ "text": "", "index": 0, "logprobs": null, "finish_reason": reason }), out);
                self.close(usage, out);
            }
            _ => {}
        }
    }

    /// The role stands in the first chunk only.
    fn role(&mut self) -> Option<&'static str> {
        (!std::mem::replace(&mut self.begun, true)).then_some("assistant")
    }

    fn chunk(&self, delta: &Delta<'_>, logprobs: Option<Value>, out: &mut Vec<u8>) {
        self.choice(&Choice { index: 0, delta, logprobs, finish_reason: None }, out);
    }

    fn choice(&self, choice: &impl Serialize, out: &mut Vec<u8>) {
        push_data(out, &self.object(Some(choice), None, true));
    }

    /// The counts, if asked for, and the end mark.
    fn close(&self, usage: Usage, out: &mut Vec<u8>) {
        if self.client.wants_usage {
            push_data(out, &self.object(None::<&()>, Some(self::usage(usage)), true));
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn object<'a, C: Serialize>(&'a self, choice: Option<&'a C>, usage: Option<Value>, chunk: bool) -> Object<'a, C> {
        Object {
            id: &self.id,
            kind: match (self.client.voice, chunk) {
                (Voice::Completions, _) => "text_completion",
                (_, true) => "chat.completion.chunk",
                (_, false) => "chat.completion",
            },
            created: self.client.created(),
            model: &self.client.model,
            choices: choice.into_iter().collect(),
            usage,
        }
    }

    /// A whole answer.
    pub(crate) fn whole(self, speech: Speech) -> Vec<u8> {
        let reason = reason_word(&speech.reason, !speech.calls.is_empty());
        let logprobs = (!speech.logprobs.is_empty()).then(|| json!({ "content": speech.logprobs }));
        let choice = if self.client.voice == Voice::Completions {
            json!({ "text": speech.text, "index": 0, "logprobs": null, "finish_reason": reason })
        } else {
            let content = (!speech.text.is_empty() || speech.calls.is_empty()).then_some(speech.text);
            let mut message = json!({ "role": "assistant", "content": content });
            if !speech.thinking.is_empty() {
                message["reasoning"] = speech.thinking.as_str().into();
                message["reasoning_content"] = speech.thinking.into();
            }
            if !speech.calls.is_empty() {
                let calls = speech.calls.into_iter().map(|call| {
                    json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
                });
                message["tool_calls"] = calls.collect();
            }
            json!({ "index": 0, "message": message, "logprobs": logprobs, "finish_reason": reason })
        };
        let mut out = Vec::new();
        push_json(&mut out, &self.object(Some(&choice), Some(usage(speech.usage)), false));
        out
    }
}

fn usage(usage: Usage) -> Value {
    let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
    let mut told = json!({ "prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output) });
    if let Some(cached) = usage.cached {
        told["prompt_tokens_details"] = json!({ "cached_tokens": cached });
    }
    told
}

/// A call that was made anywhere in the answer overrides a mere stop.
fn reason_word(reason: &Reason, called: bool) -> &str {
    match reason {
        Reason::Stop if called => "tool_calls",
        Reason::Stop => "stop",
        Reason::Length => "length",
        Reason::Calls => "tool_calls",
        Reason::Filter => "content_filter",
        Reason::Other(word) => word,
    }
}

#[derive(Serialize)]
struct Object<'a, C: Serialize> {
    id: &'a str,
    #[serde(rename = "object")]
    kind: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<&'a C>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: &'a Delta<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Value>,
    finish_reason: Option<&'static str>,
}

/// Thoughts under both names that clients look for.
#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Value>,
}
