//! What a request has tried so far, and what the client is told when nothing is left.

use std::time::Duration;

use super::failover::{Blame, Consequence, Ending, Next};
use crate::fleet::Node;
use crate::fleet::power::Power;
use crate::schedule::choose::Tried;
use crate::values::{Fault, Kind, Retry, Whose};

/// Attempts on one node; the second only where it may mend what the first met.
const PER_NODE: usize = 2;

/// The attempts of one request.
#[derive(Default)]
pub(super) struct Tries {
    ended: Vec<Try>,
    last: Option<Fault>,
}

struct Try {
    index: usize,
    next: Next,
    why: String,
}

impl Tries {
    /// What was tried on a node.
    pub(super) fn on(&self, index: usize) -> Tried {
        let mut here = self.ended.iter().filter(|attempt| attempt.index == index);
        match (here.clone().count(), here.all(|attempt| attempt.next == Next::AnotherOrSame)) {
            (0, _) => Tried::Not,
            (count, true) if count < PER_NODE => Tried::Again,
            _ => Tried::Done,
        }
    }

    /// Attempts so far.
    pub(super) fn count(&self) -> usize {
        self.ended.len()
    }

    /// The node of the last attempt.
    pub(super) fn last(&self) -> Option<usize> {
        self.ended.last().map(|attempt| attempt.index)
    }

    /// How each node failed, in words.
    pub(super) fn why(&self, index: usize) -> Option<&str> {
        self.ended.iter().rev().find(|attempt| attempt.index == index).map(|attempt| attempt.why.as_str())
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, index: usize, next: Next, fault: Fault) {
        self.ended.push(Try { index, next, why: fault.text.to_string() });
        self.last = Some(fault);
    }

    /// An attempt brought an answer that another node may better.
    pub(super) fn answered(&mut self, index: usize, next: Next, why: String) {
        self.ended.push(Try { index, next, why });
    }

    /// What to tell the client: of one node its own fault, of several all their reasons.
    pub(super) fn fault(mut self, reasons: &[String], retry_in: Option<Duration>) -> Fault {
        match self.last.take() {
            Some(last) if reasons.len() < 2 => last,
            last => {
                let kind = last.as_ref().map(|fault| fault.kind).filter(|kind| *kind == Kind::WakeFailed);
                let retry = match last.map(|fault| fault.retry) {
                    Some(Retry::After(wait)) => Retry::After(wait),
                    _ => Retry::After(retry_in.unwrap_or(Duration::from_secs(10))),
                };
                let text = if reasons.is_empty() {
                    "no node can serve this request".to_owned()
                } else {
                    format!("no node can serve this request now: {}", reasons.join("; "))
                };
                Fault { kind: kind.unwrap_or(Kind::NoNode), whose: Whose::Node, retry, text: text.into() }
            }
        }
    }
}

/// Whether another attempt may follow.
pub(super) fn goes_on(consequence: Consequence, may_be_repeated: bool) -> bool {
    consequence.next != Next::Nobody && (may_be_repeated || !consequence.may_have_run)
}

/// Whether the ending counts against this node.
pub(super) fn is_to_blame(ending: Ending, node: &Node) -> bool {
    match ending.consequence().blame {
        Blame::No => false,
        Blame::Yes => true,
        Blame::UnlessSleeper => node.config().always_on || matches!(node.view().power, Power::ServiceDown(_)),
    }
}
