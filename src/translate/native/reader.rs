//! What an Ollama node answers to a chat or a generate, read line by line; a whole answer is its only line.

use serde::Deserialize;
use serde_json::Value;

use crate::translate::calls::{Calls, Fragment};
use crate::translate::fields::arguments;
use crate::translate::speech::{Reason, Said, Usage};
use crate::translate::trouble::{broken, cut_short, of_event};
use crate::values::Fault;

/// The state between two lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    calls: Calls,
    called: u64,
    begun: bool,
    ended: bool,
}

impl Reader {
    /// Reads a line.
    pub(crate) fn line(&mut self, line: &[u8], out: &mut Vec<Said>) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let line: Line = serde_json::from_slice(line).map_err(|_| broken("a line holds no JSON that we know"))?;
        if let Some(error) = line.error.filter(|error| !error.is_null()) {
            return Err(of_event(&error));
        }
        if !self.begun {
            self.begun = true;
            out.push(Said::Begin { input: line.prompt_eval_count });
        }
        let message = line.message.unwrap_or_default();
        let text = message.content.or(line.response).unwrap_or_default();
        let thinking = message.thinking.or(line.thinking).unwrap_or_default();
        if !text.is_empty() || !thinking.is_empty() {
            out.push(Said::Words { text, thinking, logprobs: line.logprobs.filter(Value::is_array) });
        }
        for call in message.tool_calls.unwrap_or_default() {
            let arguments = arguments(call.function.arguments).map_err(|_| broken("a call's arguments are no object"))?;
            // Calls come whole, and older nodes give them all the index 0.
            let (id, name) = (call.id.as_deref(), Some(call.function.name.as_str()));
            self.calls.take(&Fragment { index: Some(self.called), id, name, arguments: &arguments }, out)?;
            self.called += 1;
        }
        if line.done {
            self.calls.finish(out)?;
            self.ended = true;
            let reason = match line.done_reason.as_deref() {
                None | Some("" | "stop" | "load" | "unload") => Reason::Stop,
                Some("length") => Reason::Length,
                Some("content_filter") => Reason::Filter,
                Some(other) => Reason::Other(other.to_owned()),
            };
            let usage = Usage { input: line.prompt_eval_count, output: line.eval_count, cached: None };
            out.push(Said::End { reason, usage });
        }
        Ok(())
    }

    /// The stream has ended.
    pub(crate) fn eof(&self) -> Result<(), Fault> {
        if self.ended { Ok(()) } else { Err(cut_short()) }
    }
}

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    message: Option<Message>,
    response: Option<String>,
    thinking: Option<String>,
    logprobs: Option<Value>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
}

#[derive(Deserialize)]
struct ToolCall {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: String,
    arguments: Option<Value>,
}
