//! What a provider answers in OpenAI's dialect, read piece by piece or whole.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::translate::calls::{Calls, Fragment};
use crate::translate::speech::{Reason, Said, Usage};
use crate::translate::trouble::{broken, cut_short, of_event, told_error};
use crate::values::Fault;

/// The state between two events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    calls: Calls,
    begun: bool,
    reason: Option<Reason>,
    usage: Usage,
    ended: bool,
}

impl Reader {
    /// Reads the data of an event.
    pub(crate) fn event(&mut self, name: &[u8], data: &[u8], out: &mut Vec<Said>) -> Result<(), Fault> {
        let data = data.trim_ascii();
        if self.ended || data.is_empty() {
            return Ok(());
        }
        if data.starts_with(b"[DONE]") {
            return self.end(out);
        }
        match serde_json::from_slice::<Chunk<'_>>(data) {
            Ok(chunk) => self.chunk(name, chunk, out),
            // Some servers part their events by one line end only.
            Err(_) if data.contains(&b'\n') => data.split(|b| *b == b'\n').try_for_each(|line| self.event(name, line, out)),
            Err(_) => Err(broken("an event holds no JSON that we know")),
        }
    }

    /// The stream has ended.
    pub(crate) fn eof(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        match (self.ended, &self.reason) {
            (true, _) => Ok(()),
            (false, Some(_)) => self.end(out),
            (false, None) => Err(cut_short()),
        }
    }

    fn end(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        self.calls.finish(out)?;
        self.ended = true;
        out.push(Said::End { reason: self.reason.take().unwrap_or_default(), usage: self.usage });
        Ok(())
    }

    fn chunk(&mut self, name: &[u8], chunk: Chunk<'_>, out: &mut Vec<Said>) -> Result<(), Fault> {
        if let Some(error) = told_error(chunk.error) {
            return Err(of_event(&error));
        }
        if name == b"error" {
            return Err(broken("it reports an error that it does not explain"));
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(usage) {
            self.usage = usage;
        }
        for choice in chunk.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) != 0 {
                continue;
            }
            // Azure's filters tell their results in choices without a delta.
            let Some(delta) = choice.delta else { continue };
            if !self.begun {
                self.begun = true;
                out.push(Said::Begin { input: self.usage.input });
            }
            self.delta(delta, choice.logprobs, out)?;
            if let Some(reason) = choice.finish_reason {
                self.reason = Some(reason_of(&reason));
            }
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta<'_>, logprobs: Option<Value>, out: &mut Vec<Said>) -> Result<(), Fault> {
        let (text, thinking) = delta.words();
        if !text.is_empty() || !thinking.is_empty() {
            let logprobs = logprobs.and_then(|mut logprobs| logprobs.get_mut("content").map(Value::take));
            out.push(Said::Words { text, thinking, logprobs: logprobs.filter(Value::is_array) });
        }
        for call in delta.tool_calls.unwrap_or_default() {
            self.call(&call, out)?;
        }
        Ok(())
    }

    fn call(&mut self, call: &CallDelta<'_>, out: &mut Vec<Said>) -> Result<(), Fault> {
        let function = call.function.as_ref();
        let raw = function.and_then(|function| function.arguments).map(RawValue::get).filter(|raw| *raw != "null");
        // Some servers send the object instead of its text.
        let arguments = match raw {
            Some(raw) if raw.starts_with('"') => {
                serde_json::from_str(raw).map_err(|_| broken("a call's arguments are no text"))?
            }
            Some(raw) => raw.to_owned(),
            None => String::new(),
        };
        let name = function.and_then(|function| function.name.as_deref());
        self.calls.take(&Fragment { index: call.index, id: call.id.as_deref(), name, arguments: &arguments }, out)
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &[u8], out: &mut Vec<Said>) -> Result<(), Fault> {
    let answer: Chunk<'_> = serde_json::from_slice(body).map_err(|_| broken("its answer is no JSON that we know"))?;
    if let Some(error) = told_error(answer.error) {
        return Err(of_event(&error));
    }
    let mut reader = Reader { usage: answer.usage.as_ref().and_then(usage).unwrap_or_default(), ..Reader::default() };
    let choice = answer.choices.unwrap_or_default().into_iter().find(|choice| choice.index.unwrap_or(0) == 0);
    let Some(Choice { message: Some(mut message), logprobs, finish_reason, .. }) = choice else {
        return Err(broken("its answer has no message"));
    };
    // Whole calls have no index; each is its own.
    for (index, call) in message.tool_calls.iter_mut().flatten().enumerate() {
        call.index = Some(index as u64);
    }
    reader.delta(message, logprobs, out)?;
    reader.reason = finish_reason.map(|reason| reason_of(&reason));
    reader.end(out)
}

fn usage(usage: &Value) -> Option<Usage> {
    let count = |key| usage.get(key).and_then(Value::as_u64);
    let cached = usage.get("prompt_tokens_details").and_then(|details| details.get("cached_tokens")).and_then(Value::as_u64);
    usage.is_object().then(|| Usage { input: count("prompt_tokens"), output: count("completion_tokens"), cached })
}

fn reason_of(word: &str) -> Reason {
    match word {
        "stop" => Reason::Stop,
        "length" => Reason::Length,
        "tool_calls" | "function_call" => Reason::Calls,
        "content_filter" => Reason::Filter,
        other => Reason::Other(other.to_owned()),
    }
}

/// A chunk of a stream, or a whole answer: both as far as they matter here.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    finish_reason: Option<String>,
    logprobs: Option<Value>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(default, deserialize_with = "text")]
    content: String,
    #[serde(default, deserialize_with = "text")]
    refusal: String,
    #[serde(default, deserialize_with = "text")]
    reasoning_content: String,
    #[serde(default, deserialize_with = "text")]
    reasoning: String,
    #[serde(borrow)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
}

impl Delta<'_> {
    /// Text and thoughts, which go by two names; a server that uses both says the same twice.
    fn words(&self) -> (String, String) {
        let text = if self.refusal.is_empty() { self.content.clone() } else { format!("{}{}", self.content, self.refusal) };
        let thinking = if self.reasoning_content.is_empty() { &self.reasoning } else { &self.reasoning_content };
        (text, thinking.clone())
    }
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    index: Option<u64>,
    id: Option<String>,
    #[serde(borrow)]
    function: Option<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    name: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// A string, `null`, or a list of parts with texts.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect(),
        _ => String::new(),
    })
}
