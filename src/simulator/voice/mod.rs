//! How each route puts a generation into words: the chunks of a stream, or one whole answer.

mod anthropic;
mod native;
mod openai;
mod responses;

pub(super) use anthropic::Messages;
pub(super) use native::{Chat, Generate};
pub(super) use openai::{ChatCompletion, Completion};
pub(super) use responses::Responses;

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::Value;

use super::body::{self, Body};
use super::generation::{Generation, Outcome, Piece};
use super::reply;

/// One route's way of talking. Each text of the three stream methods is one chunk.
pub(super) trait Voice: Send {
    /// What goes out with the first piece, before it.
    fn opening(&mut self, _prompt_tokens: u64) -> Vec<String> {
        Vec::new()
    }

    /// The chunks for one piece.
    fn piece(&mut self, piece: &Piece) -> Vec<String>;

    /// The chunks after the last piece.
    fn closing(&mut self, outcome: &Outcome) -> Vec<String>;

    /// The whole answer of a request that does not stream.
    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value;
}

/// The body of a streamed answer whose first piece is already there, as headers come only with the first token.
pub(super) fn stream(mut voice: Box<dyn Voice>, generation: Generation, first: Option<&Piece>) -> Body {
    let mut ready: VecDeque<String> = voice.opening(generation.outcome().prompt_tokens).into();
    let ended = first.is_none();
    ready.extend(spoken(voice.as_mut(), first, &generation));
    body::chunks((voice, generation, ready, ended), |(mut voice, mut generation, mut ready, mut ended)| async move {
        while ready.is_empty() && !ended {
            let piece = generation.next().await;
            ended = piece.is_none();
            ready.extend(spoken(voice.as_mut(), piece.as_ref(), &generation));
        }
        let chunk = ready.pop_front()?;
        Some((Bytes::from(chunk), (voice, generation, ready, ended)))
    })
}

/// The chunks for a piece, or those that close the stream.
fn spoken(voice: &mut dyn Voice, piece: Option<&Piece>, generation: &Generation) -> Vec<String> {
    match piece {
        Some(piece) => voice.piece(piece),
        None => voice.closing(&generation.outcome()),
    }
}

/// The answer's text without thinking.
fn text_of(pieces: &[Piece]) -> String {
    pieces.iter().filter_map(|p| if let Piece::Text(text) = p { Some(text.as_str()) } else { None }).collect()
}

fn thinking_of(pieces: &[Piece]) -> String {
    pieces.iter().filter_map(|p| if let Piece::Thinking(text) = p { Some(text.as_str()) } else { None }).collect()
}

fn tools_of(pieces: &[Piece]) -> Vec<&super::generation::ToolCall> {
    pieces.iter().filter_map(|p| if let Piece::Tool(call) = p { Some(call) } else { None }).collect()
}

fn line(value: &Value) -> String {
    reply::marshal(value) + "\n"
}

/// A number for an id, below `limit`. Ollama's are random; these only differ from call to call.
fn number(limit: u64) -> u64 {
    let nanos = chrono::Utc::now().timestamp_nanos_opt().unwrap_or_default();
    nanos.unsigned_abs() / 100 % limit
}
