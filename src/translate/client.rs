//! Whom an answer is written for, and what its writer must know beside the answer itself.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use serde::Serialize;

use super::talk::Talk;

/// The routes on which clients talk, each with its own way of being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// `/api/chat`
    Chat,
    /// `/api/generate`
    Generate,
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// `/v1/messages`
    Messages,
}

impl Voice {
    /// The voice of a route's template.
    pub fn of_route(route: &str) -> Option<Self> {
        Some(match route {
            "/api/chat" => Self::Chat,
            "/api/generate" => Self::Generate,
            "/v1/chat/completions" => Self::ChatCompletions,
            "/v1/completions" => Self::Completions,
            "/v1/messages" => Self::Messages,
            _ => return None,
        })
    }

    /// The `Content-Type` of its answers.
    pub fn content_type(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::Chat | Self::Generate, true) => "application/x-ndjson",
            (Self::Chat | Self::Generate, false) => "application/json; charset=utf-8",
            (_, true) => "text/event-stream",
            (_, false) => "application/json",
        }
    }
}

/// Who is answered.
#[derive(Clone, Debug)]
pub struct Client {
    /// How it talks.
    pub voice: Voice,
    /// The model in its own words: it is echoed.
    pub model: String,
    /// Letters and digits that name this answer alone.
    pub id: String,
    /// When it asked.
    pub asked: SystemTime,
    /// An OpenAI client wants the counts behind its stream.
    pub wants_usage: bool,
    /// About how many tokens it said, until the provider tells.
    pub estimate: u64,
}

impl Client {
    /// The client that said `talk`.
    pub fn of(talk: &Talk, voice: Voice, id: String, asked: SystemTime) -> Self {
        let (model, wants_usage, estimate) = (talk.model.clone(), talk.wants_usage, talk.estimated_tokens());
        Self { voice, model, id, asked, wants_usage, estimate }
    }

    /// Whole seconds since 1970 when it asked.
    pub(crate) fn created(&self) -> u64 {
        self.asked.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

/// The time, as the caller sees it.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// By the calendar.
    pub wall: SystemTime,
    /// Since the request came.
    pub since: Duration,
}

/// Prints times as Go does. A stream prints many within one second: the seconds are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stamp {
    second: u64,
    printed: String,
}

impl Stamp {
    pub(crate) fn print(&mut self, time: SystemTime) -> String {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.printed.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            let whole =
                i64::try_from(self.second).ok().and_then(|second| DateTime::from_timestamp(second, 0)).unwrap_or_default();
            self.printed = whole.format("%Y-%m-%dT%H:%M:%S").to_string();
        }
        let nanos = format!(".{:09}", since.subsec_nanos());
        let fraction = nanos.trim_end_matches('0').trim_end_matches('.');
        [&self.printed, fraction, "Z"].concat()
    }
}

/// Appends the compact form. Our own values always serialize.
pub(crate) fn push_json(out: &mut Vec<u8>, value: &impl Serialize) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
    }
}

/// Appends an unnamed event.
pub(crate) fn push_data(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    push_json(out, value);
    out.extend_from_slice(b"\n\n");
}

/// Appends a named event: Anthropic's clients ignore unnamed ones.
pub(crate) fn push_event(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    push_data(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_as_go_prints_it_also_when_the_second_changes() {
        let mut stamp = Stamp::default();
        let mut at = |seconds, nanos| stamp.print(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos));
        assert_eq!(at(1_795_188_645, 451_699_555), "2026-11-20T15:30:45.451699555Z");
        assert_eq!(at(1_795_188_645, 500_000_000), "2026-11-20T15:30:45.5Z");
        assert_eq!(at(1_795_188_646, 0), "2026-11-20T15:30:46Z");
        assert_eq!(at(0, 40), "1970-01-01T00:00:00.00000004Z");
    }
}
