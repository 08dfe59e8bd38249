//! An answer in Ollama's own shape: lines of JSON, the last with `done`, its reason, durations and counts.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::translate::client::{Client, Now, Stamp, Voice, push_json};
use crate::translate::speech::{Reason, Said, Speech, Usage};
use crate::translate::talk::Call;

/// The state between two pieces.
#[derive(Debug)]
pub(crate) struct Writer {
    client: Client,
    stamp: Stamp,
    calls: usize,
    clock: Clock,
}

/// When the first and the last word came.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    first: Option<Duration>,
    last: Duration,
}

impl Writer {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, stamp: Stamp::default(), calls: 0, clock: Clock::default() }
    }

    /// Writes what a stream needs of a piece.
    pub(crate) fn say(&mut self, said: Said, now: Now, out: &mut Vec<u8>) {
        if !matches!(said, Said::Begin { .. } | Said::End { .. }) {
            self.clock.first.get_or_insert(now.since);
            self.clock.last = now.since;
        }
        match said {
            Said::Words { text, thinking, logprobs } => {
                self.line(&Line { text, thinking, logprobs, ..Line::default() }, now, out);
            }
            Said::CallEnd(call) => {
                let calls = vec![ToolCall::of(self.calls, call)];
                self.calls += 1;
                self.line(&Line { calls, ..Line::default() }, now, out);
            }
            Said::End { reason, usage } => {
                let end = Some(self.end(&reason, usage, now));
                self.line(&Line { end, ..Line::default() }, now, out);
            }
            Said::Begin { .. } | Said::CallBegin { .. } | Said::CallPart(_) | Said::Signed(_) => {}
        }
    }

    /// A whole answer. It came at once: all of its time is the generation's.
    pub(crate) fn whole(mut self, speech: Speech, now: Now) -> Vec<u8> {
        self.clock = Clock { first: Some(Duration::ZERO), last: now.since };
        let end = Some(self.end(&speech.reason, speech.usage, now));
        let calls = speech.calls.into_iter().enumerate().map(|(index, call)| ToolCall::of(index, call)).collect();
        let logprobs = (!speech.logprobs.is_empty()).then_some(Value::Array(speech.logprobs));
        let mut out = Vec::new();
        self.line(&Line { text: speech.text, thinking: speech.thinking, calls, logprobs, end }, now, &mut out);
        out.pop();
        out
    }

    fn line(&mut self, line: &Line, now: Now, out: &mut Vec<u8>) {
        let created_at = self.stamp.print(now.wall);
        let thinking = (!line.thinking.is_empty()).then_some(line.thinking.as_str());
        let chat = self.client.voice == Voice::Chat;
        let message = Message { role: "assistant", content: &line.text, thinking, tool_calls: &line.calls };
        push_json(
            out,
            &Answer {
                model: &self.client.model,
                created_at,
                message: chat.then_some(message),
                response: (!chat).then_some(&line.text),
                thinking: thinking.filter(|_| !chat),
                done: line.end.is_some(),
                logprobs: line.logprobs.as_ref(),
                end: line.end.as_ref(),
            },
        );
        out.push(b'\n');
    }

    /// Durations are never 0, which clients divide by; the time to load is not known.
    fn end(&self, reason: &Reason, usage: Usage, now: Now) -> End {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let first = self.clock.first.unwrap_or(now.since);
        End {
            done_reason: match reason {
                // Ollama has no word for calls.
                Reason::Stop | Reason::Calls => "stop".to_owned(),
                Reason::Length => "length".to_owned(),
                Reason::Filter => "content_filter".to_owned(),
                Reason::Other(word) => word.clone(),
            },
            total_duration: nanos(now.since),
            prompt_eval_count: usage.input,
            prompt_eval_duration: nanos(first),
            eval_count: usage.output,
            eval_duration: nanos(self.clock.last.saturating_sub(first)),
        }
    }
}

/// What Ollama answers when a request says nothing: the model is loaded, or unloaded. Of a cloud model that is always so.
pub(crate) fn nothing_said(client: &Client, unload: bool, now: Now) -> Vec<u8> {
    let chat = client.voice == Voice::Chat;
    let message = Message { role: "assistant", content: "", thinking: None, tool_calls: &[] };
    let mut out = Vec::new();
    push_json(
        &mut out,
        &Answer {
            model: &client.model,
            created_at: Stamp::default().print(now.wall),
            message: chat.then_some(message),
            response: (!chat).then_some(""),
            thinking: None,
            done: true,
            logprobs: None,
            end: Some(&Done { done_reason: if unload { "unload" } else { "load" } }),
        },
    );
    out
}

#[derive(Serialize)]
struct Done {
    done_reason: &'static str,
}

#[derive(Default)]
struct Line {
    text: String,
    thinking: String,
    calls: Vec<ToolCall>,
    logprobs: Option<Value>,
    end: Option<End>,
}

#[derive(Serialize)]
struct Answer<'a, E: Serialize> {
    model: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a Value>,
    #[serde(flatten)]
    end: Option<&'a E>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tool_calls: &'a [ToolCall],
}

#[derive(Serialize)]
struct ToolCall {
    id: String,
    function: Function,
}

#[derive(Serialize)]
struct Function {
    index: usize,
    name: String,
    arguments: Box<RawValue>,
}

impl ToolCall {
    fn of(index: usize, call: Call) -> Self {
        // They were found to be an object when the call ended.
        let arguments = RawValue::from_string(call.arguments).unwrap_or_default();
        Self { id: call.id, function: Function { index, name: call.name, arguments } }
    }
}

#[derive(Serialize)]
struct End {
    done_reason: String,
    total_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
    prompt_eval_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_count: Option<u64>,
    eval_duration: u64,
}
