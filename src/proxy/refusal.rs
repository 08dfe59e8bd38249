//! Why requests are refused, as it is counted: each rule and each bound of ours by its own name.

use super::Proxy;
use crate::values::{Fault, Kind};

/// One of our bounds that fill up and empty again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The setting without its dashes and its `max`.
    pub bound: &'static str,
    /// How much of it is taken.
    pub used: usize,
    /// How much there is.
    pub most: usize,
}

impl Proxy {
    /// How full the bounds of requests are.
    pub fn filled(&self) -> [Filled; 2] {
        let limits = &self.0.settings.limits;
        let taken = |most: usize, left: usize| most.saturating_sub(left);
        [
            Filled { bound: "held", used: taken(limits.held, self.0.held.available_permits()), most: limits.held },
            Filled { bound: "buffer_bytes", used: taken(limits.buffer, self.0.budget.left()), most: limits.buffer },
        ]
    }
}

/// By what a request was refused: who may do what, and each of our bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its address is not among those that may, or among those that may not.
    Address,
    /// It lacks a key, or has none that opens this.
    Key,
    /// A wrong key.
    WrongKey,
    /// A web page from elsewhere.
    Origin,
    /// A name that is not ours: perhaps a page whose name was turned to our address.
    Host,
    /// Its key does not open the model.
    Model,
    /// Its key does not open the node.
    Node,
    /// `--client-rate`.
    Rate,
    /// `--client-concurrent`.
    Concurrency,
    /// `--wake-budget`.
    WakeBudget,
    /// `--max-body`.
    Body,
    /// `--max-buffer`.
    Buffer,
    /// `--max-held`.
    Held,
    /// `--queue-wait`.
    QueueWait,
    /// A body that came too slowly.
    SlowBody,
}

impl Refusal {
    pub(super) const ALL: [Self; 15] = [
        Self::Address,
        Self::Key,
        Self::WrongKey,
        Self::Origin,
        Self::Host,
        Self::Model,
        Self::Node,
        Self::Rate,
        Self::Concurrency,
        Self::WakeBudget,
        Self::Body,
        Self::Buffer,
        Self::Held,
        Self::QueueWait,
        Self::SlowBody,
    ];

    /// As label and in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Key => "key",
            Self::WrongKey => "wrong_key",
            Self::Origin => "origin",
            Self::Host => "host",
            Self::Model => "model",
            Self::Node => "node",
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::WakeBudget => "wake_budget",
            Self::Body => "body",
            Self::Buffer => "buffer",
            Self::Held => "held",
            Self::QueueWait => "queue_wait",
            Self::SlowBody => "slow_body",
        }
    }

    /// Which bound a body ran into, if one of ours.
    pub(super) fn of_body(fault: &Fault) -> Option<Self> {
        match fault.kind {
            Kind::TooLarge => Some(Self::Body),
            Kind::Busy => Some(Self::Buffer),
            Kind::SlowClient => Some(Self::SlowBody),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_of_a_body_is_counted_by_its_own_name_and_a_client_s_fault_by_none() {
        let counted = |kind: Kind| Refusal::of_body(&Fault::client(kind, "")).map(Refusal::word);
        assert_eq!(counted(Kind::TooLarge), Some("body"));
        assert_eq!(counted(Kind::Busy), Some("buffer"));
        assert_eq!(counted(Kind::SlowClient), Some("slow_body"));
        assert_eq!(counted(Kind::BadRequest), None);
    }

    #[test]
    fn no_two_reasons_have_one_word() {
        let words: std::collections::BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.word()).collect();
        assert_eq!(words.len(), Refusal::ALL.len());
    }
}
