//! How requests are shared among equals, with the memory that taking turns needs.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::choose::{Candidate, Order};
use crate::values::Strategy;

#[cfg(test)]
mod tests;

/// So many sets of equals have their own turns; beyond it all begin anew, which costs each set one turn.
const SETS: usize = 1024;

/// Whose turn it is, for each set of equals of its own: one cursor for all sets would share out unevenly as soon as two
/// models have different nodes.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    sets: HashMap<Box<[usize]>, Cursor>,
    taken: usize,
}

#[derive(Clone, Debug)]
struct Cursor {
    next: usize,
    /// How much each node has saved up towards its next turn (smooth weighted round robin).
    saved: Vec<f64>,
}

/// One of the equals, which must be in the order of the settings; `None` of none.
pub fn pick<'a>(order: Order, equals: &[&'a Candidate], turns: &mut Turns) -> Option<&'a Candidate> {
    if equals.len() < 2 {
        return equals.first().copied();
    }
    match order {
        Order::First => equals.first().copied(),
        // Where one must be woken for it anyway, the order of the settings is the owner's.
        Order::BestFit if equals.iter().any(|node| !node.readiness.is_up()) => equals.first().copied(),
        Order::BestFit => equals.iter().copied().min_by(|a, b| slack(a).total_cmp(&slack(b))),
        Order::By(Strategy::RoundRobin) => in_turn(equals, turns),
        Order::By(Strategy::WeightedRoundRobin) => by_weight(equals, turns),
        Order::By(Strategy::LeastConnections) => least(equals, turns, |a, b| work(a).total_cmp(&work(b))),
        Order::By(Strategy::LeastLoaded) => least(equals, turns, load),
        Order::By(Strategy::LeastEnergy) => least(equals, turns, |a, b| watts(a).total_cmp(&watts(b)).then_with(|| load(a, b))),
    }
}

fn slack(node: &Candidate) -> f64 {
    node.fit.unwrap_or(f64::INFINITY)
}

/// Requests in hand, ours and others'.
fn work(node: &Candidate) -> f64 {
    f64::from(node.active) + node.elsewhere
}

/// Parts of the capacity, compared without division.
fn load(a: &Candidate, b: &Candidate) -> Ordering {
    (work(a) * f64::from(b.capacity)).total_cmp(&(work(b) * f64::from(a.capacity)))
}

/// A node of which the owner states nothing counts as the thirstiest.
fn watts(node: &Candidate) -> f64 {
    node.idle_watts.unwrap_or(f64::INFINITY)
}

/// The least by `order`; several least take turns, else the first would get all that comes one by one.
fn least<'a>(
    equals: &[&'a Candidate],
    turns: &mut Turns,
    order: impl Fn(&Candidate, &Candidate) -> Ordering,
) -> Option<&'a Candidate> {
    let least = equals.iter().copied().min_by(|a, b| order(a, b))?;
    let tied: Vec<&Candidate> = equals.iter().copied().filter(|node| order(node, least) == Ordering::Equal).collect();
    in_turn(&tied, turns)
}

fn in_turn<'a>(equals: &[&'a Candidate], turns: &mut Turns) -> Option<&'a Candidate> {
    let cursor = turns.of(equals);
    let chosen = equals.get(cursor.next % equals.len().max(1)).copied();
    cursor.next = (cursor.next + 1) % equals.len().max(1);
    chosen
}

/// Each saves up its weight per turn, the richest serves and pays what all saved: nodes alternate as evenly as their
/// weights allow, instead of serving in blocks.
fn by_weight<'a>(equals: &[&'a Candidate], turns: &mut Turns) -> Option<&'a Candidate> {
    let saved = &mut turns.of(equals).saved;
    saved.iter_mut().zip(equals).for_each(|(saved, node)| *saved += node.weight);
    // Of equally rich ones the first: `max_by` alone would take the last.
    let richest = (0..equals.len()).rev().max_by(|a, b| saved[*a].total_cmp(&saved[*b]))?;
    saved[richest] -= equals.iter().map(|node| node.weight).sum::<f64>();
    equals.get(richest).copied()
}

impl Turns {
    fn of(&mut self, equals: &[&Candidate]) -> &mut Cursor {
        let set: Box<[usize]> = equals.iter().map(|node| node.index).collect();
        if self.sets.len() >= SETS && !self.sets.contains_key(&set) {
            self.sets.clear();
        }
        self.taken = self.taken.wrapping_add(1);
        // A new set begins anywhere: if all began with their first node, it would serve most while sets come and go.
        let next = self.taken % set.len().max(1);
        let saved = vec![0.0; set.len()];
        self.sets.entry(set).or_insert(Cursor { next, saved })
    }
}
