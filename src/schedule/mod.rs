//! Which node serves an ask. Pure: values in, a choice out; sends nothing, waits for nothing.

use std::cmp::Reverse;

use tokio::time::Instant;

/// What the choice knows of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the settings.
    pub index: usize,
    /// Whether it holds the asked model.
    pub model: Holds,
    /// How soon it could answer.
    pub readiness: Readiness,
    /// When it last answered; ranks those that are only probably awake.
    pub seen: Option<Instant>,
    /// Attempts of this request that it has already failed.
    pub failed: u32,
}

/// Whether a node holds a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Its list is known and the model is not on it.
    No,
    /// Its list was never read.
    Unknown,
    /// It is listed.
    Yes,
}

/// How soon a node could answer, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It must be woken, or cannot be.
    Asleep,
    /// A wake is under way.
    Waking,
    /// It answered not long ago and nobody has seen it sleep since.
    ProbablyAwake,
    /// It answers now.
    Awake,
}

/// Attempts on one node; a second one only after the first found it asleep or lost it.
const PER_NODE: u32 = 2;

/// The best candidate: not yet failed before failed, then who holds the model, then the readiest, then (probably awake) the
/// last to answer, then the first in the settings. `None` when all have had their attempts.
pub fn choose(candidates: &[Candidate]) -> Option<usize> {
    candidates
        .iter()
        .filter(|candidate| candidate.failed < PER_NODE)
        .max_by_key(|candidate| {
            let evidence = candidate.seen.filter(|_| candidate.readiness == Readiness::ProbablyAwake);
            (Reverse(candidate.failed), candidate.model, candidate.readiness, evidence, Reverse(candidate.index))
        })
        .map(|candidate| candidate.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(index: usize, model: Holds, readiness: Readiness) -> Candidate {
        Candidate { index, model, readiness, seen: None, failed: 0 }
    }

    #[test]
    fn who_holds_the_model_comes_before_who_is_awake() {
        let all = [candidate(0, Holds::No, Readiness::Awake), candidate(1, Holds::Yes, Readiness::Asleep)];
        assert_eq!(choose(&all), Some(1));
    }

    #[test]
    fn no_machine_is_woken_while_an_awake_one_can_serve() {
        let all = [candidate(0, Holds::Yes, Readiness::Asleep), candidate(1, Holds::Yes, Readiness::Awake)];
        assert_eq!(choose(&all), Some(1));
    }

    #[test]
    fn among_those_that_are_probably_awake_the_last_to_answer_is_taken() {
        let mut all = [candidate(0, Holds::Yes, Readiness::ProbablyAwake), candidate(1, Holds::Yes, Readiness::ProbablyAwake)];
        let now = Instant::now();
        (all[0].seen, all[1].seen) = (Some(now), Some(now + std::time::Duration::from_secs(1)));
        assert_eq!(choose(&all), Some(1));
    }

    #[test]
    fn among_equals_the_first_in_the_settings_is_taken() {
        let all = [candidate(0, Holds::Yes, Readiness::Awake), candidate(1, Holds::Yes, Readiness::Awake)];
        assert_eq!(choose(&all), Some(0));
    }

    #[test]
    fn a_failed_node_comes_last_and_twice_failed_it_is_out() {
        let mut all = [candidate(0, Holds::Yes, Readiness::Awake), candidate(1, Holds::Yes, Readiness::Asleep)];
        all[0].failed = 1;
        assert_eq!(choose(&all), Some(1));
        assert_eq!(choose(&[Candidate { failed: 2, ..candidate(0, Holds::Yes, Readiness::Awake) }]), None);
    }
}
