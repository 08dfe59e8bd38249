//! What is remembered between requests, behind one lock: places, breakers, turns, what is loaded, who waits.
//!
//! Taking a place and looking whether one is free are one step; a place given back goes straight to the first who waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::breaker::{Breaker, Circuit, Pass, Verdict};
use super::choose::{self, Candidate, Choice, Terms};
use super::strategies::Turns;
use super::survey::Need;
use super::waiting::{Queue, Queued};
use super::warm::{Runner, Warm, canonical};
use crate::config::{Fallback, NodeConfig, SizeRules, StandIns};
use crate::fleet::{Fleet, Node, Plan};
use crate::values::{ClientId, Strategy};

#[cfg(test)]
mod tests;

/// Places of a node whose owner states none: what Ollama itself ran at once for years.
const CAPACITY: u32 = 4;

/// So many service times are kept to learn from.
const SERVICES: usize = 20;

/// What the schedule goes by.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How requests are shared among equals.
    pub strategy: Strategy,
    /// Which nodes may serve when none fits.
    pub fallback: Fallback,
    /// What the owner says about sizes.
    pub sizes: SizeRules,
    /// Which models stand in for others.
    pub stand_ins: StandIns,
}

/// Chooses nodes and hands out their places. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler(pub(super) Arc<Shared>);

#[derive(Default)]
pub(super) struct Shared {
    rules: RwLock<Arc<Rules>>,
    desk: Mutex<Desk>,
    /// Told whenever the nodes are others than before.
    pub(super) renewed: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct Desk {
    /// By slot.
    seats: Vec<Seat>,
    turns: Turns,
    pub(super) queue: Queue,
}

/// What is remembered of one node. Stays when the node goes: its name may come back, and its leases do.
#[derive(Default)]
pub(super) struct Seat {
    /// Whether places are given out: the node is in the settings and takes part.
    open: bool,
    pub(super) capacity: u32,
    pub(super) active: u32,
    pub(super) warm: Warm,
    breaker: Option<Breaker>,
    services: VecDeque<Duration>,
    /// Of these, for each choice asks for their mean.
    services_sum: Duration,
    /// Requests that others have there, as its worker says, smoothed.
    elsewhere: f64,
}

impl Scheduler {
    /// For the nodes as they are now.
    pub fn new(fleet: &Fleet, rules: Rules) -> Self {
        let scheduler = Self(Arc::default());
        scheduler.seat(fleet.nodes().iter().map(|node: &Node| (node.slot(), node.config())), rules);
        scheduler
    }

    /// For the nodes to be; to be called just before the plan is put in force, so that no node is without a seat.
    pub fn renew(&self, plan: &Plan, rules: Rules) {
        let mut desk = self.0.desk();
        plan.moved().iter().for_each(|slot| desk.forget(*slot));
        drop(desk);
        self.seat(plan.roster().iter().map(|node| (node.slot(), node.config())), rules);
    }

    /// Gives every node its seat, by slot. Those who wait look again.
    pub(super) fn seat<'a>(&self, nodes: impl Iterator<Item = (usize, &'a NodeConfig)>, rules: Rules) {
        let nodes: Vec<_> = nodes.collect();
        // Alone, a node has nobody to be spared for: Ollama's own queue and errors are as good as ours.
        let alone = nodes.iter().filter(|(_, config)| config.enabled).count() < 2;
        let mut desk = self.0.desk();
        desk.seats.iter_mut().for_each(|seat| seat.open = false);
        for (slot, config) in nodes {
            if desk.seats.len() <= slot {
                desk.seats.resize_with(slot + 1, Seat::default);
            }
            let seat = &mut desk.seats[slot];
            seat.open = config.enabled;
            seat.capacity = config.capacity.unwrap_or(if alone { u32::MAX } else { CAPACITY });
            seat.breaker = if alone { None } else { Some(seat.breaker.take().unwrap_or_default()) };
        }
        let now = Instant::now();
        // There may be more places than before.
        (0..desk.seats.len()).for_each(|slot| desk.call_waiters(slot, now));
        drop(desk);
        *self.0.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
        self.0.renewed.send_replace(());
    }

    /// What it goes by now.
    pub fn rules(&self) -> Arc<Rules> {
        self.0.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Places taken and places of a node.
    pub fn places(&self, index: usize) -> (u32, u32) {
        self.0.desk().seats.get(index).map_or((0, 0), |seat| (seat.active, seat.capacity))
    }

    /// Its worker says how many requests it has in hand, ours among them: the rest is what others have there. It ranks,
    /// and takes no place: it is some seconds old.
    pub fn works_elsewhere(&self, index: usize, in_hand: u32) {
        if let Some(seat) = self.0.desk().seats.get_mut(index) {
            // Half of it is the moment's chance.
            seat.elsewhere = f64::midpoint(seat.elsewhere, f64::from(in_hand.saturating_sub(seat.active)));
        }
    }

    /// Its worker says which models are loaded there. It ranks among nodes that are equal otherwise.
    pub fn has_loaded(&self, index: usize, names: &[String]) {
        let models = names.iter().map(|name| canonical(name).into()).collect();
        if let Some(seat) = self.0.desk().seats.get_mut(index) {
            seat.warm.told(models, seat.active > 0, Instant::now());
        }
    }

    /// What the breaker of a node says now.
    pub fn circuit(&self, index: usize) -> Circuit {
        let now = Instant::now();
        self.0.desk().seats.get(index).map_or(Circuit::Closed, |seat| seat.circuit(now))
    }

    /// Which of these models a node most likely has in its memory, by their names in its list.
    pub fn warm<'a>(&self, index: usize, names: impl Iterator<Item = &'a str>) -> Vec<bool> {
        let (now, desk) = (Instant::now(), self.0.desk());
        let seat = desk.seats.get(index);
        let runner = |name: &str| Runner { model: canonical(name).into(), options: None };
        names.map(|name| seat.is_some_and(|seat| seat.warm.has(&runner(name), now))).collect()
    }

    /// Requests that wait for a place.
    pub fn waiting(&self) -> usize {
        self.0.desk().queue.len()
    }

    /// Chooses among candidates for a request; `queued` is its place in the waiting room, if it has one.
    pub fn choose(&self, candidates: &[Candidate], terms: &Terms) -> Choice {
        choose::choose(candidates, terms, &mut self.0.desk().turns)
    }

    /// As [`Self::choose`], and takes nobody's turn.
    pub fn would_choose(&self, candidates: &[Candidate], terms: &Terms) -> Choice {
        let mut turns = self.0.desk().turns.clone();
        choose::choose(candidates, terms, &mut turns)
    }

    /// Takes a place on a node; `None` when somebody else was faster or its breaker has opened.
    pub fn claim(&self, index: usize, need: &Need<'_>) -> Option<Lease> {
        let pass = self.0.desk().take(index, need.places(), Instant::now())?;
        Some(Lease::new(self.0.clone(), index, pass, need))
    }

    /// A place in the waiting room, where clients take turns.
    pub fn queue(&self, client: ClientId) -> Queued {
        Queued::new(self.0.clone(), client)
    }
}

impl Shared {
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(super) fn circuit(&self, now: Instant) -> Circuit {
        self.breaker.as_ref().map_or(Circuit::Closed, |breaker| breaker.circuit(now))
    }

    /// Requests that others have there.
    pub(super) fn elsewhere(&self) -> f64 {
        self.elsewhere
    }

    /// How long a request usually keeps its place.
    pub(super) fn service(&self) -> Option<Duration> {
        let count = u32::try_from(self.services.len()).ok().filter(|count| *count > 0)?;
        Some(self.services_sum / count)
    }

    fn learn(&mut self, took: Duration) {
        if self.services.len() >= SERVICES {
            self.services_sum -= self.services.pop_front().unwrap_or_default();
        }
        self.services_sum += took;
        self.services.push_back(took);
    }
}

impl Desk {
    /// What was learnt of a node is not true of the machine that is there now.
    fn forget(&mut self, slot: usize) {
        if let Some(seat) = self.seats.get_mut(slot) {
            *seat = Seat { open: seat.open, capacity: seat.capacity, active: seat.active, ..Seat::default() };
        }
    }

    pub(super) fn seat(&self, index: usize) -> Option<&Seat> {
        self.seats.get(index)
    }

    /// Takes `places` (0 or 1) of a node.
    pub(super) fn take(&mut self, index: usize, places: u32, now: Instant) -> Option<Pass> {
        let seat = self.seats.get_mut(index).filter(|seat| seat.open)?;
        if seat.active.saturating_add(places) > seat.capacity {
            return None;
        }
        let pass = match &mut seat.breaker {
            Some(breaker) => breaker.enter(now)?,
            None => Pass::Usual,
        };
        seat.active += places;
        Some(pass)
    }

    /// Gives back what [`Self::take`] took, and lets the first waiter have it.
    pub(super) fn give_back(&mut self, index: usize, places: u32, pass: Pass, verdict: Verdict, now: Instant) {
        let Some(seat) = self.seats.get_mut(index) else { return };
        seat.active = seat.active.saturating_sub(places);
        if let Some(breaker) = &mut seat.breaker {
            breaker.ended(pass, verdict, now);
        }
        if verdict == Verdict::Failed {
            seat.warm.forget();
        }
        self.call_waiters(index, now);
    }

    /// Lets those who wait for a node have its free places, in the order in which they came.
    pub(super) fn call_waiters(&mut self, index: usize, now: Instant) {
        while self.queue.wants(index) {
            let Some(pass) = self.take(index, 1, now) else { return };
            if !self.queue.call(index, pass) {
                // The waiter has just left.
                self.give_back(index, 1, pass, Verdict::Nothing, now);
                return;
            }
        }
    }
}

/// A place on a node. Given back on drop; without a word before that, nothing is held against the node.
pub struct Lease {
    shared: Arc<Shared>,
    index: usize,
    places: u32,
    pass: Pass,
    verdict: Verdict,
    runner: Option<Runner>,
    began: Option<Instant>,
}

impl Lease {
    pub(super) fn new(shared: Arc<Shared>, index: usize, pass: Pass, need: &Need<'_>) -> Self {
        let runner = need.runner.clone().filter(|runner| runner.options.is_some());
        if let (Some(runner), Some(seat)) = (&runner, shared.desk().seats.get_mut(index)) {
            // From now on it is loading, so the next ask for this model belongs there too.
            seat.warm.uses(runner, Instant::now());
        }
        Self { shared, index, places: need.places(), pass, verdict: Verdict::Nothing, runner, began: None }
    }

    /// The node's slot.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The node has been reached: from now on it works for this request.
    pub fn begins(&mut self) {
        self.began = Some(Instant::now());
    }

    /// The node answered.
    pub fn served(&mut self) {
        self.verdict = Verdict::Served;
    }

    /// The node failed.
    pub fn failed(&mut self) {
        self.verdict = Verdict::Failed;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut desk = self.shared.desk();
        if let Some(seat) = desk.seats.get_mut(self.index).filter(|_| self.verdict == Verdict::Served) {
            if let Some(runner) = &self.runner {
                seat.warm.uses(runner, now);
            }
            if let Some(began) = self.began.filter(|_| self.places > 0) {
                seat.learn(now.saturating_duration_since(began));
            }
        }
        desk.give_back(self.index, self.places, self.pass, self.verdict, now);
    }
}
