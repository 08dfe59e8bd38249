//! The choice: filter, rank, room, and among equals the strategy.
//!
//! A machine is woken only when no awake one is left that could serve, or when waiting for a place on those would take
//! longer than the wake.

use std::time::Duration;

use super::breaker::Circuit;
use super::strategies::{self, Turns};
use crate::config::Fallback;
use crate::values::Strategy;

#[cfg(test)]
mod tests;

/// What the choice knows of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its slot in the fleet.
    pub index: usize,
    /// Whether it takes part in this request at all.
    pub part: Part,
    /// Whether it holds the asked model.
    pub model: Holds,
    /// How wide its range is that takes the model's size (infinite without ranges); `None`: it is not meant for that size.
    pub fit: Option<f64>,
    /// What its breaker says.
    pub circuit: Circuit,
    /// What this request has already tried on it.
    pub tried: Tried,
    /// How soon it could answer.
    pub readiness: Readiness,
    /// Whether the model is in its memory with the same runner options (a different `num_ctx` forces a reload).
    pub loaded: bool,
    /// Since its last sign of life.
    pub seen: Option<Duration>,
    /// What a wake usually takes; of a waking one, what is left of it; nothing of one that is up.
    pub wakes_in: Duration,
    /// How long a request usually keeps a place of it, once that is learnt.
    pub service: Option<Duration>,
    /// Places taken.
    pub active: u32,
    /// Places.
    pub capacity: u32,
    /// Its share under weighted strategies.
    pub weight: f64,
    /// What it draws while idle.
    pub idle_watts: Option<f64>,
}

impl Candidate {
    /// Whether it may be asked by this request at all.
    pub fn takes_part(&self) -> bool {
        self.part == Part::Takes
    }

    /// Whether nothing that happened there speaks against it.
    fn is_able(&self) -> bool {
        self.circuit.passes() && self.tried != Tried::Done
    }

    /// Whether it has a place left.
    pub fn has_room(&self) -> bool {
        self.active < self.capacity
    }
}

/// Whether a node takes part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It does.
    Takes,
    /// Its owner keeps it out.
    Disabled,
    /// The request names another one.
    NotNamed,
    /// It does not speak the API that the request needs, or would answer with a model that nobody asked for.
    OtherApi,
}

/// Whether a node holds a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Its list is known and the model is not on it.
    No,
    /// Its list was never read, or the request needs no model.
    Unknown,
    /// It is listed.
    Yes,
}

/// How soon a node could answer, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// It refuses, or failed to wake, or cannot be woken: only when nobody else is left.
    Down,
    /// It must be woken.
    Asleep,
    /// A wake is under way.
    Waking,
    /// It answered not long ago and nobody has seen it sleep since.
    ProbablyAwake,
    /// It answers now.
    Awake,
}

impl Readiness {
    /// Whether it can serve without a wake, as far as is known.
    pub fn is_up(self) -> bool {
        self >= Self::ProbablyAwake
    }

    /// The words in explanations.
    pub fn words(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Asleep => "asleep",
            Self::Waking => "waking",
            Self::ProbablyAwake => "probably awake",
            Self::Awake => "awake",
        }
    }
}

/// What a request has tried on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tried {
    /// Nothing yet.
    #[default]
    Not,
    /// It failed in a way that a second attempt there may mend.
    Again,
    /// It failed there for good.
    Done,
}

/// Why a node is out of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its owner keeps it out.
    Disabled,
    /// The request names another one.
    NotNamed,
    /// It does not speak the API that the request needs.
    OtherApi,
    /// Its list is known and lacks the model.
    LacksModel,
    /// Its list was never read, and others are known to hold the model.
    ListUnknown,
    /// The model's size is none of its sizes.
    DoesNotFit,
    /// It failed too often just now; its breaker is open.
    BreakerOpen,
    /// This request has already failed there.
    Tried,
}

/// What the choice goes by, beside the nodes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Which nodes may serve when none fits.
    pub fallback: Fallback,
    /// How equals are told apart.
    pub order: Order,
    /// Whether the request may wake a machine.
    pub may_wake: bool,
    /// How long the request has waited for a place.
    pub waited: Duration,
    /// Requests that wait before it for the same nodes.
    pub ahead: u32,
}

/// How equals are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By the strategy.
    By(Strategy),
    /// The one whose range of sizes is the narrowest, for what will stay there.
    BestFit,
    /// The first in the settings.
    First,
}

/// What is to be done with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// This node serves.
    Serve {
        /// Which.
        index: usize,
        /// Another one is awake, with room or soon: this one is not to be woken should it turn out to sleep.
        gently: bool,
        /// Another one is left, asleep or not: no need to wait for this one to come back.
        others: bool,
    },
    /// All that could serve are full: the first free place among these, or another look after this time.
    Wait {
        /// The full nodes.
        on: Vec<usize>,
        /// When waiting will have taken longer than a wake; `None`: nobody can be woken instead.
        spill_in: Option<Duration>,
    },
    /// Nobody is left.
    Nobody,
}

/// For each candidate, why it is out of the question, if it is.
///
/// The best knowledge about the model counts over all that take part: while one node is known to hold it, a node that
/// may not have it is no replacement, because its "not found" would be wrong.
pub fn filter(candidates: &[Candidate], fallback: Fallback) -> Vec<Option<Dropped>> {
    let best = candidates.iter().filter(|node| node.takes_part()).map(|node| node.model).max().unwrap_or(Holds::No);
    let fitting = candidates.iter().any(|node| node.takes_part() && node.model == best && node.fit.is_some() && node.is_able());
    candidates
        .iter()
        .map(|node| {
            // With `any` a fitting node that may have the model replaces holders of which none fits.
            let stands_in = fallback == Fallback::Any && !fitting && node.model == Holds::Unknown && node.fit.is_some();
            match node.model {
                _ if node.part == Part::Disabled => Some(Dropped::Disabled),
                _ if node.part == Part::NotNamed => Some(Dropped::NotNamed),
                _ if node.part == Part::OtherApi => Some(Dropped::OtherApi),
                Holds::No if best > Holds::No => Some(Dropped::LacksModel),
                Holds::Unknown if best > Holds::Unknown && !stands_in => Some(Dropped::ListUnknown),
                _ if node.fit.is_none() && (fitting || fallback == Fallback::None) => Some(Dropped::DoesNotFit),
                _ if !node.circuit.passes() => Some(Dropped::BreakerOpen),
                _ if node.tried == Tried::Done => Some(Dropped::Tried),
                _ => None,
            }
        })
        .collect()
}

/// Whether these holders of the model decide alone: the filter drops whatever else there is.
pub fn holders_suffice(holders: &[Candidate], fallback: Fallback) -> bool {
    let held = |node: &&Candidate| node.takes_part() && node.model == Holds::Yes;
    let fitting = || holders.iter().filter(held).any(|node| node.fit.is_some() && node.is_able());
    // With `any` and none that fits, a node that may have the model stands in.
    holders.iter().any(|node| held(&node)) && (fallback != Fallback::Any || fitting())
}

/// Chooses. Turns are taken only when a node is chosen among equals.
pub fn choose(candidates: &[Candidate], terms: &Terms, turns: &mut Turns) -> Choice {
    let dropped = filter(candidates, terms.fallback);
    let kept: Vec<&Candidate> =
        candidates.iter().zip(&dropped).filter(|(_, dropped)| dropped.is_none()).map(|(node, _)| node).collect();
    let (room, full): (Vec<&Candidate>, Vec<&Candidate>) = kept.iter().partition(|node| node.has_room());
    let up: Vec<&Candidate> = room.iter().copied().filter(|node| node.readiness.is_up()).collect();
    if !up.is_empty() {
        // Should it turn out to sleep, a full one that is up is still to be preferred to a wake, if only for a while.
        return serve(&up, &room, |chosen| kept.iter().any(|node| node.index != chosen && node.readiness.is_up()), terms, turns);
    }
    let mut wake = |among: &[&Candidate]| serve(among, &room, |_| false, terms, turns);
    // Full ones that are up or coming up: worth waiting for.
    let busy: Vec<&Candidate> = full.iter().copied().filter(|node| node.readiness >= Readiness::Waking).collect();
    if busy.is_empty() && !room.is_empty() {
        return wake(&room);
    }
    if busy.is_empty() {
        let on: Vec<usize> = full.iter().map(|node| node.index).collect();
        return if on.is_empty() { Choice::Nobody } else { Choice::Wait { on, spill_in: None } };
    }
    let reserve: Vec<&Candidate> =
        room.iter().copied().filter(|node| terms.may_wake && node.readiness > Readiness::Down).collect();
    let expected = expected_wait(&busy, terms.ahead);
    // Each by its own wake time: one that takes minutes is no relief from a wait of seconds.
    let sooner: Vec<&Candidate> =
        reserve.iter().copied().filter(|node| expected > node.wakes_in || terms.waited >= node.wakes_in).collect();
    if !sooner.is_empty() {
        return wake(&sooner);
    }
    let soonest = reserve.iter().map(|node| node.wakes_in).min();
    let spill_in = soonest.map(|wake| wake.saturating_sub(terms.waited));
    Choice::Wait { on: busy.iter().map(|node| node.index).collect(), spill_in }
}

/// How long a request that has `ahead` others before it waits for a place on these, as far as that is learnt.
fn expected_wait(busy: &[&Candidate], ahead: u32) -> Duration {
    let learnt: Vec<Duration> = busy.iter().filter_map(|node| node.service).collect();
    let places: u64 = busy.iter().map(|node| u64::from(node.capacity)).sum();
    let Ok(count) = u32::try_from(learnt.len()) else { return Duration::ZERO };
    if count == 0 || places == 0 {
        return Duration::ZERO;
    }
    let mean = learnt.iter().sum::<Duration>() / count;
    mean.saturating_mul(ahead + 1) / u32::try_from(places).unwrap_or(u32::MAX)
}

/// Warm before cold, then the readiest.
fn rank(node: &Candidate) -> (bool, Readiness) {
    (node.loaded && node.readiness.is_up(), node.readiness)
}

fn serve(among: &[&Candidate], room: &[&Candidate], spares: impl Fn(usize) -> bool, terms: &Terms, turns: &mut Turns) -> Choice {
    // A node that failed this very request comes after every other that is as much up: it may be warm and broken.
    let untried: Vec<&Candidate> = among.iter().copied().filter(|node| node.tried == Tried::Not).collect();
    let among = if untried.is_empty() { among } else { &untried };
    let Some(best) = among.iter().map(|node| rank(node)).max() else { return Choice::Nobody };
    let equals: Vec<&Candidate> = among.iter().copied().filter(|node| rank(node) == best).collect();
    let chosen = if best.1 == Readiness::ProbablyAwake {
        equals.iter().min_by_key(|node| node.seen.unwrap_or(Duration::MAX)).copied()
    } else {
        strategies::pick(terms.order, &equals, turns)
    };
    let Some(chosen) = chosen else { return Choice::Nobody };
    let others = room.iter().any(|node| node.index != chosen.index && node.readiness > Readiness::Down);
    Choice::Serve { index: chosen.index, gently: spares(chosen.index), others }
}
