//! Looks at the beginning of a stream that will pass untouched: errors hide there behind a 200. It is held back until an
//! event comes that says something else.

use serde_json::Value;

use super::sse::SseDecoder;
use super::trouble::{broken, of_event};
use super::{EVENT_LIMIT, TooLong};
use crate::values::Fault;

/// More than this is not held back.
const LONGEST: usize = 256 * 1024;

/// The beginning of a stream.
#[derive(Debug)]
pub struct Opening {
    decoder: SseDecoder,
    seen: usize,
}

impl Default for Opening {
    fn default() -> Self {
        Self { decoder: SseDecoder::new(EVENT_LIMIT), seen: 0 }
    }
}

impl Opening {
    /// Reads the next bytes. Says whether the stream may go out now, with all that was held back.
    ///
    /// # Errors
    /// It begins with an error.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<bool, Fault> {
        let mut told = None;
        let fed = self.decoder.feed(chunk, &mut |event| {
            if told.is_none() {
                told = judge(event.name, event.data);
            }
        });
        self.seen += chunk.len();
        match (told, fed) {
            (Some(Told::Error(fault)), _) => Err(fault),
            (Some(Told::Matters), _) => Ok(true),
            (None, Err(TooLong)) => Err(broken("an event of it is longer than 8 MiB")),
            (None, Ok(())) => Ok(self.seen > LONGEST),
        }
    }
}

enum Told {
    Matters,
    Error(Fault),
}

/// `None` for an event that may stand in front of an error.
fn judge(name: &[u8], data: &[u8]) -> Option<Told> {
    let Ok(event) = serde_json::from_slice::<Value>(data) else {
        return (!data.trim_ascii().is_empty()).then_some(Told::Matters);
    };
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let error = event.get("error").or_else(|| event.get("response")?.get("error")).filter(|error| !error.is_null());
    if let Some(error) = error {
        return Some(Told::Error(of_event(error)));
    }
    if name == b"error" || kind == "error" {
        return Some(Told::Error(of_event(&event)));
    }
    let chatters = matches!(
        kind,
        "ping" | "message_start" | "content_block_start" | "response.created" | "response.queued" | "response.in_progress"
    );
    // Such as the results of Azure's filters for the prompt, or a delta with the role alone.
    let quiet = event.get("choices").and_then(Value::as_array).is_some_and(|choices| choices.iter().all(says_nothing));
    (!chatters && !quiet).then_some(Told::Matters)
}

/// A choice without a word, a call or an end.
fn says_nothing(choice: &Value) -> bool {
    let is_nothing = |value: &Value| value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    let delta = choice.get("delta").and_then(Value::as_object);
    let silent = delta.is_none_or(|delta| delta.iter().all(|(key, value)| key == "role" || is_nothing(value)));
    silent && ["finish_reason", "text"].iter().all(|key| choice.get(key).is_none_or(is_nothing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Kind;

    fn open(text: &str) -> Result<bool, Kind> {
        let in_pieces = {
            let mut opening = Opening::default();
            text.as_bytes().chunks(1).try_fold(false, |open, byte| Ok::<_, Fault>(opening.feed(byte)? || open))
        };
        let at_once = Opening::default().feed(text.as_bytes()).map_err(|fault| fault.kind);
        assert_eq!(in_pieces.map_err(|fault| fault.kind), at_once, "{text}");
        at_once
    }

    #[test]
    fn a_stream_is_held_back_until_it_says_something() {
        for text in [
            "",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            "data: {\"type\":\"content_block_start\",\"index\":0}\n\n",
            ": connected\n\n",
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
            "data: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
        ] {
            assert_eq!(open(text), Ok(false), "{text}");
        }
        for text in [
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}}]}\n\n",
            "data: {\"choices\":[{\"text\":\"a\"}]}\n\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0}\n\n",
            "data: [DONE]\n\n",
        ] {
            assert_eq!(open(text), Ok(true), "{text}");
        }
    }

    #[test]
    fn an_error_at_the_beginning_is_found_behind_what_says_nothing() {
        for (text, kind) in [
            ("data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n", Kind::Limited),
            (
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
                Kind::Overloaded,
            ),
            ("data: {\"choices\":[]}\n\ndata: {\"error\":{\"message\":\"x\",\"code\":429}}\n\n", Kind::Limited),
            (
                "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n",
                Kind::Died,
            ),
            ("data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"x\"}\n\n", Kind::Limited),
        ] {
            assert_eq!(open(text), Err(kind), "{text}");
        }
    }

    #[test]
    fn no_more_than_its_bound_is_held_back() {
        let mut opening = Opening::default();
        let comment = format!(": {}\n", "x".repeat(1000));
        let feeds = (0..1000).take_while(|_| opening.feed(comment.as_bytes()) == Ok(false)).count();
        assert_eq!(feeds, LONGEST / comment.len());
    }
}
