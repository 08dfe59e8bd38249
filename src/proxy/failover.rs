//! What follows from the way an attempt ended: one table.

use hyper::StatusCode;

use crate::values::{Fault, Kind, Retry};

#[cfg(test)]
mod tests;

/// How an attempt ended without an answer for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The host refused the connection: it is up, Ollama is not.
    Refused,
    /// It did not answer the connect, and another attempt may mend that: it is always on, or a sleeper that was to be left
    /// alone as long as others are awake.
    Unanswered,
    /// It sleeps, and can or may not be woken.
    Asleep,
    /// It was to be woken and did not come.
    WakeFailed,
    /// The connection ended before the first byte of an answer.
    WentAway,
    /// The host fell silent under a standing connection, or failed two life checks.
    FellSilent,
    /// Ollama said that its queue is full.
    ServerBusy,
    /// An answer with this status.
    Status(StatusCode),
    /// Anything that no other node would do better: our own limits, the client's mistakes, a late listing.
    Final,
}

/// Which node may have the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// None: this is the client's answer.
    Nobody,
    /// Only another one.
    Another,
    /// Another one first, then this one once more.
    AnotherOrSame,
}

/// Whether the ending counts against the node, for its breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    No,
    Yes,
    /// A sleeper that fell asleep has not failed.
    UnlessSleeper,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Consequence {
    pub(super) next: Next,
    /// Whether the node may already have worked on the request, so that only what may be repeated goes on.
    pub(super) may_have_run: bool,
    pub(super) blame: Blame,
}

const fn row(next: Next, may_have_run: bool, blame: Blame) -> Consequence {
    Consequence { next, may_have_run, blame }
}

impl Ending {
    /// The table.
    pub(super) fn consequence(self) -> Consequence {
        match self {
            Self::Refused => row(Next::Another, false, Blame::Yes),
            Self::Unanswered => row(Next::AnotherOrSame, false, Blame::UnlessSleeper),
            Self::Asleep => row(Next::Another, false, Blame::No),
            Self::WakeFailed => row(Next::Another, false, Blame::No),
            Self::WentAway => row(Next::AnotherOrSame, true, Blame::Yes),
            Self::FellSilent => row(Next::AnotherOrSame, true, Blame::UnlessSleeper),
            Self::ServerBusy => row(Next::Another, true, Blame::No),
            Self::Status(StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
                row(Next::Another, true, Blame::Yes)
            }
            // A 500 may be the request's own doing (too large for the memory, a broken image): the next node would load
            // the model only to fail as well. A 4xx is the client's affair.
            Self::Status(_) | Self::Final => row(Next::Nobody, true, Blame::No),
        }
    }

    /// Of an answer by its status and the beginning of its body.
    pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        const BUSY: &[u8] = b"server busy";
        let busy = status == StatusCode::SERVICE_UNAVAILABLE && body.windows(BUSY.len()).any(|part| part == BUSY);
        if busy { Self::ServerBusy } else { Self::Status(status) }
    }

    /// Of a fault on the way to a node.
    pub(super) fn of_fault(fault: &Fault) -> Self {
        match fault.kind {
            Kind::Refusing => Self::Refused,
            Kind::NoNode if fault.retry == Retry::Now => Self::Unanswered,
            Kind::Asleep | Kind::NoNode => Self::Asleep,
            Kind::WakeFailed => Self::WakeFailed,
            Kind::Died => Self::WentAway,
            Kind::BadRequest
            | Kind::Unauthorized
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Method
            | Kind::SlowClient
            | Kind::Conflict
            | Kind::TooLarge
            | Kind::Busy
            | Kind::Timeout
            | Kind::Draining
            | Kind::Loop
            | Kind::Credentials
            | Kind::Limited
            | Kind::Overloaded => Self::Final,
        }
    }
}
