//! The breaker of one node: pure, total, written out. *Closed* lets requests pass, *open* lets none.
//!
//! It takes a node that fails again and again out of the choice for a while. Sleep, refusals of the node's own (4xx),
//! clients that leave and "server busy" are no failures; the caller does not report them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// So many failures in a row open it.
const IN_A_ROW: u32 = 5;

/// Beside that, half of at least so many requests within [`WINDOW`].
const AT_LEAST: u32 = 10;

/// What is remembered for judging by halves.
const WINDOW: Duration = Duration::from_secs(30);

/// Results are counted in pieces of this length, so that a busy node costs no more memory than a quiet one.
const PIECE: Duration = Duration::from_secs(1);

/// How long it stays open at first; doubles with each trial that fails.
const OPEN: Duration = Duration::from_secs(15);

/// The longest it stays open: a node that is mended is found again within two minutes.
const LONGEST: Duration = Duration::from_secs(120);

/// The breaker of one node.
#[derive(Clone, Debug)]
pub struct Breaker {
    state: State,
    in_a_row: u32,
    recent: VecDeque<Piece>,
    open_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// A trial is under way.
    Trial,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    since: Instant,
    good: u32,
    bad: u32,
}

/// What the breaker says to the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// It may pass.
    Closed,
    /// It may pass as the one trial.
    HalfOpen,
    /// It may not.
    Open {
        /// When a trial will be let through, if that is a matter of time and not of a trial under way.
        retry_in: Option<Duration>,
    },
}

impl Circuit {
    /// Whether a request may pass.
    pub fn passes(self) -> bool {
        !matches!(self, Self::Open { .. })
    }

    /// The word in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open { .. } => "open",
        }
    }
}

/// As what a request passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As one of many.
    Usual,
    /// As the trial whose result decides.
    Trial,
}

/// How a request ended, as far as the node is to be judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node answered.
    Served,
    /// The node failed.
    Failed,
    /// Nothing can be said: the client left, the node sleeps, it was busy.
    Nothing,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, in_a_row: 0, recent: VecDeque::new(), open_for: OPEN }
    }
}

impl Breaker {
    /// What the next request would hear.
    pub fn circuit(&self, now: Instant) -> Circuit {
        match self.state {
            State::Closed => Circuit::Closed,
            State::Open { until } if now >= until => Circuit::HalfOpen,
            State::Open { until } => Circuit::Open { retry_in: Some(until - now) },
            State::Trial => Circuit::Open { retry_in: None },
        }
    }

    /// Lets a request pass, or not. Every pass is ended by [`Self::ended`].
    pub fn enter(&mut self, now: Instant) -> Option<Pass> {
        match self.circuit(now) {
            Circuit::Closed => Some(Pass::Usual),
            Circuit::HalfOpen => {
                self.state = State::Trial;
                Some(Pass::Trial)
            }
            Circuit::Open { .. } => None,
        }
    }

    /// A request has ended.
    pub fn ended(&mut self, pass: Pass, verdict: Verdict, now: Instant) {
        match (self.state, pass, verdict) {
            (State::Trial, Pass::Trial, Verdict::Served) => *self = Self::default(),
            (State::Trial, Pass::Trial, Verdict::Failed) => {
                self.open_for = (self.open_for * 2).min(LONGEST);
                self.open(now);
            }
            // The next request is the trial.
            (State::Trial, Pass::Trial, Verdict::Nothing) => self.state = State::Open { until: now },
            (State::Closed, _, Verdict::Served | Verdict::Failed) => self.count(verdict == Verdict::Served, now),
            // What began before it opened says nothing about now.
            (State::Open { .. } | State::Trial, _, _) | (State::Closed, _, Verdict::Nothing) => {}
        }
    }

    fn count(&mut self, good: bool, now: Instant) {
        self.in_a_row = if good { 0 } else { self.in_a_row + 1 };
        while self.recent.front().is_some_and(|piece| now - piece.since >= WINDOW) {
            self.recent.pop_front();
        }
        if self.recent.back().is_none_or(|piece| now - piece.since >= PIECE) {
            self.recent.push_back(Piece { since: now, good: 0, bad: 0 });
        }
        if let Some(piece) = self.recent.back_mut() {
            piece.good += u32::from(good);
            piece.bad += u32::from(!good);
        }
        let (all, bad) = self.recent.iter().fold((0, 0), |(all, bad), piece| (all + piece.good + piece.bad, bad + piece.bad));
        if self.in_a_row >= IN_A_ROW || (all >= AT_LEAST && bad * 2 >= all) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open { until: now + self.open_for };
        self.in_a_row = 0;
        self.recent.clear();
    }
}
