//! One answer in the making: the same tokens every time, at the pace of the settings.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::counters::Tally;
use super::engine::Seat;

/// What is to be generated.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) tokens: usize,
    /// What each token of text says, before its number.
    pub(super) word: String,
    /// Whether the request's own limit sets the number of tokens.
    pub(super) limited: bool,
    pub(super) first_token: Duration,
    pub(super) token_gap: Duration,
    pub(super) prompt_tokens: u64,
    /// Whether the answer opens with thinking.
    pub(super) thinking: bool,
    /// Whether the answer has to be JSON.
    pub(super) json: bool,
    /// The answer is this call instead of text.
    pub(super) tool: Option<ToolCall>,
}

/// A call of a tool that the request offered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: Value,
}

/// A part of the answer, as the model hands it out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Thinking(String),
    Text(String),
    Tool(ToolCall),
}

/// What is known when the answer is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) limited: bool,
    pub(super) tool: bool,
    pub(super) prompt_tokens: u64,
    pub(super) tokens: u64,
    pub(super) total: Duration,
    pub(super) load: Duration,
    pub(super) prompt: Duration,
    pub(super) eval: Duration,
}

/// A generation under way. Dropped before its end it counts as cancelled, and frees its turn at once.
#[derive(Debug)]
pub(super) struct Generation {
    tally: Arc<Tally>,
    seat: Option<Seat>,
    plan: Plan,
    made: usize,
    arrived: Instant,
    begun: Instant,
    load: Duration,
    first: Option<Instant>,
}

impl Generation {
    /// `arrived` is when the request came, for its total time.
    pub(super) fn begin(tally: &Arc<Tally>, seat: Seat, plan: Plan, arrived: Instant) -> Self {
        tally.note(|c| c.generations_started += 1);
        let load = seat.hold.took;
        Self { tally: tally.clone(), seat: Some(seat), plan, made: 0, arrived, begun: Instant::now(), load, first: None }
    }

    /// The next piece at its time; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        let total = self.total();
        if self.made < total {
            let pause = if self.made == 0 { self.plan.first_token } else { self.plan.token_gap };
            // Even a sleep of nothing takes a millisecond.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.first.get_or_insert_with(Instant::now);
            let piece = self.piece(self.made, total);
            self.made += 1;
            return Some(piece);
        }
        if self.seat.take().is_some() {
            self.tally.note(|c| c.generations_finished += 1);
        }
        None
    }

    pub(super) fn outcome(&self) -> Outcome {
        let first = self.first.unwrap_or(self.begun);
        // A real engine never needs no time at all, and Ollama leaves out what is zero.
        let some = |span: Duration| span.max(Duration::from_nanos(1));
        Outcome {
            limited: self.plan.limited,
            tool: self.plan.tool.is_some(),
            prompt_tokens: self.plan.prompt_tokens,
            tokens: self.made as u64,
            total: some(self.arrived.elapsed()),
            load: some(self.load),
            prompt: some(first - self.begun),
            eval: some(first.elapsed()),
        }
    }

    fn total(&self) -> usize {
        let answer = if self.plan.tool.is_some() { 1 } else { self.plan.tokens };
        answer + usize::from(self.plan.thinking)
    }

    fn piece(&self, at: usize, total: usize) -> Piece {
        let at = match (self.plan.thinking, at) {
            (true, 0) => return Piece::Thinking("Counting the tokens. ".to_owned()),
            (thinking, at) => at - usize::from(thinking),
        };
        if let Some(call) = &self.plan.tool {
            return Piece::Tool(call.clone());
        }
        let last = at + 1 + usize::from(self.plan.thinking) == total;
        let word = format!("{} {}", self.plan.word, at + 1);
        Piece::Text(match (self.plan.json, at, last) {
            (true, 0, true) => format!("{{\"answer\":\"{word}\"}}"),
            (true, 0, false) => format!("{{\"answer\":\"{word} "),
            (true, _, true) => word + "\"}",
            _ => word + " ",
        })
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if self.seat.is_some() {
            self.tally.note(|c| c.generations_cancelled += 1);
        }
    }
}
