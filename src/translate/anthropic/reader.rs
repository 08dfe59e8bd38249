//! What Anthropic answers, read event by event or whole.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::translate::calls::{Calls, Fragment};
use crate::translate::speech::{Reason, Said, Usage};
use crate::translate::thoughts::Collected;
use crate::translate::trouble::{broken, cut_short, of_event};
use crate::values::Fault;

/// The state between two events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    calls: Calls,
    reason: Option<Reason>,
    usage: Usage,
    ended: bool,
    /// Where thoughts will be wanted back.
    thoughts: Option<Collected>,
}

impl Reader {
    /// Keeps the signed thoughts for [`Said::Signed`].
    pub(crate) fn keep_thoughts(&mut self) {
        self.thoughts = Some(Collected::default());
    }

    /// Reads the data of an event; its JSON says what it is, whatever the `event:` line says.
    pub(crate) fn event(&mut self, data: &[u8], out: &mut Vec<Said>) -> Result<(), Fault> {
        let data = data.trim_ascii();
        if self.ended || data.is_empty() {
            return Ok(());
        }
        match serde_json::from_slice::<Event<'_>>(data) {
            Ok(event) => self.read(event, out),
            Err(_) if data.contains(&b'\n') => data.split(|b| *b == b'\n').try_for_each(|line| self.event(line, out)),
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

    fn read(&mut self, event: Event<'_>, out: &mut Vec<Said>) -> Result<(), Fault> {
        match event.kind.as_str() {
            "message_start" => {
                self.count(event.message.as_ref().and_then(|message| message.get("usage")));
                out.push(Said::Begin { input: self.usage.input });
            }
            "content_block_start" => self.block(event.index, event.content_block, out)?,
            "content_block_delta" => self.delta(event.index, event.delta.unwrap_or_default(), out)?,
            "message_delta" => {
                if let Some(reason) = event.delta.unwrap_or_default().stop_reason {
                    self.reason = Some(reason_of(&reason));
                }
                self.count(event.usage.as_ref());
            }
            "message_stop" => self.end(out)?,
            "error" => {
                let error = event.error.map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap_or_default());
                return Err(of_event(&error.unwrap_or_default()));
            }
            // `ping`, `content_block_stop`, and what there may be one day.
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        self.calls.finish(out)?;
        self.ended = true;
        out.extend(self.thoughts.take().and_then(Collected::finish).map(|thoughts| Said::Signed(Box::new(thoughts))));
        out.push(Said::End { reason: self.reason.take().unwrap_or_default(), usage: self.usage });
        Ok(())
    }

    /// Counts are told anew with each event, never to be added up.
    fn count(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage else { return };
        let told = self::usage(usage);
        self.usage = Usage {
            input: told.input.max(self.usage.input),
            output: told.output.max(self.usage.output),
            cached: told.cached.max(self.usage.cached),
        };
    }

    /// The `input` of a call that begins is always `{}`; the real one comes in deltas.
    fn block(&mut self, index: Option<u64>, block: Option<Block<'_>>, out: &mut Vec<Said>) -> Result<(), Fault> {
        let Some(block) = block else { return Ok(()) };
        match block.kind.as_str() {
            "tool_use" => {
                if let Some(thoughts) = &mut self.thoughts {
                    thoughts.call(block.id.as_deref().unwrap_or_default());
                }
                let fragment = Fragment { index, id: block.id.as_deref(), name: block.name.as_deref(), arguments: "" };
                self.calls.take(&fragment, out)
            }
            kind => {
                let thinking = block.thinking.as_deref().unwrap_or_default();
                if let Some(thoughts) = self.thoughts.as_mut().filter(|_| kind.ends_with("thinking")) {
                    let (signature, data) = (block.signature.unwrap_or_default(), block.data.unwrap_or_default());
                    thoughts.begin(index, kind, thinking, &signature, &data);
                }
                words(block.text.unwrap_or_default(), block.thinking.unwrap_or_default(), out);
                Ok(())
            }
        }
    }

    fn delta(&mut self, index: Option<u64>, delta: Delta, out: &mut Vec<Said>) -> Result<(), Fault> {
        if let Some(json) = delta.partial_json {
            return self.calls.take(&Fragment { index, arguments: &json, ..Fragment::default() }, out);
        }
        let thinking = delta.thinking.as_deref().unwrap_or_default();
        let signature = delta.signature.unwrap_or_default();
        if let Some(thoughts) = self.thoughts.as_mut().filter(|_| !thinking.is_empty() || !signature.is_empty()) {
            thoughts.grow(index, thinking, &signature);
        }
        words(delta.text.unwrap_or_default(), delta.thinking.unwrap_or_default(), out);
        Ok(())
    }
}

fn words(text: String, thinking: String, out: &mut Vec<Said>) {
    if !text.is_empty() || !thinking.is_empty() {
        out.push(Said::Words { text, thinking, logprobs: None });
    }
}

/// Reads a whole answer.
pub(crate) fn whole(body: &[u8], keep_thoughts: bool, out: &mut Vec<Said>) -> Result<(), Fault> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|_| broken("its answer is no JSON that we know"))?;
    if let Some(error) = answer.error.filter(|error| !error.is_null()) {
        return Err(of_event(&error));
    }
    let content = answer.content.ok_or_else(|| broken("its answer has no content"))?;
    let mut reader = Reader::default();
    if keep_thoughts {
        reader.keep_thoughts();
    }
    for (index, block) in content.into_iter().enumerate() {
        let index = Some(index as u64);
        let input = block.input.map(RawValue::get).unwrap_or_default();
        let is_call = block.kind == "tool_use";
        reader.block(index, Some(block), out)?;
        if is_call {
            reader.calls.take(&Fragment { index, arguments: input, ..Fragment::default() }, out)?;
        }
    }
    reader.count(answer.usage.as_ref());
    reader.reason = answer.stop_reason.map(|reason| reason_of(&reason));
    reader.end(out)
}

fn usage(usage: &Value) -> Usage {
    let count = |key| usage.get(key).and_then(Value::as_u64);
    let cached = count("cache_read_input_tokens");
    let beside_fresh = count("cache_creation_input_tokens").unwrap_or(0).saturating_add(cached.unwrap_or(0));
    let input = count("input_tokens").map(|fresh| fresh.saturating_add(beside_fresh));
    Usage { input, output: count("output_tokens"), cached }
}

fn reason_of(word: &str) -> Reason {
    match word {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::Calls,
        "refusal" => Reason::Filter,
        // `end_turn`, `stop_sequence`, `pause_turn`, and what there may be one day.
        _ => Reason::Stop,
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    index: Option<u64>,
    message: Option<Value>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    delta: Option<Delta>,
    usage: Option<Value>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    id: Option<String>,
    name: Option<String>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    content: Option<Vec<Block<'a>>>,
    stop_reason: Option<String>,
    usage: Option<Value>,
    error: Option<Value>,
}
