//! What is known of the nodes, gathered for the choice. Reads published views; asks nobody.

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Circuit;
use super::choose::{self, Candidate, Holds, Part, Readiness, Tried};
use super::desk::{Desk, Rules, Scheduler};
use super::size::{self, Asked};
use super::warm::{Runner, canonical};
use crate::catalog::Model;
use crate::classify::Preload;
use crate::config::{NodeConfig, NodeKind};
use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node, Roster, View};
use crate::values::ModelKey;

#[cfg(test)]
mod tests;

/// A wake that was never measured is taken to last so long.
const WAKE: Duration = Duration::from_secs(30);

/// After this time a node that refused may be tried like one that sleeps: somebody may have started Ollama.
const REFUSING: Duration = Duration::from_secs(60);

/// So many nodes are looked at sooner than they are looked up.
const FEW: usize = 4;

/// What a request needs of a node.
#[derive(Clone, Debug, Default)]
pub struct Need<'a> {
    /// The model whose holders alone come into question; `None`: any node.
    pub held: Option<&'a str>,
    /// The model whose size must fit.
    pub sized: Option<&'a str>,
    /// The only node that may serve.
    pub only: Option<&'a str>,
    /// Whether it takes a place: it works the GPU.
    pub takes_place: bool,
    /// The model's name as it is looked up, where it was read already.
    key: Option<ModelKey>,
    /// Whether only an Ollama can do it.
    pub of_ollama: bool,
    pub(super) runner: Option<Runner>,
}

impl<'a> Need<'a> {
    /// Of a model that a node must hold; `preload` says with which runner.
    pub fn of_model(name: &'a str, preload: Option<&Preload>, takes_place: bool) -> Self {
        let model = preload.map_or_else(|| canonical(name), |preload| preload.runner().0.to_owned());
        let options = preload.map(|preload| preload.runner().1);
        let runner = Some(Runner { model: model.into(), options: options.map(Into::into) });
        Self { held: Some(name), sized: Some(name), takes_place, runner, ..Self::default() }
    }

    /// Of a model that a node shall receive.
    pub fn of_size(name: Option<&'a str>) -> Self {
        Self { sized: name, ..Self::default() }
    }

    /// Of any node.
    pub fn of_any(takes_place: bool) -> Self {
        Self { takes_place, ..Self::default() }
    }

    /// Of an Ollama: other servers know no such request.
    pub fn of_ollama(self) -> Self {
        Self { of_ollama: true, ..self }
    }

    /// Of the one node that was named, if any was.
    pub fn only(self, node: Option<&'a str>) -> Self {
        Self { only: node, ..self }
    }

    /// By this key its model is looked up: nobody need read the name again.
    pub fn by(self, key: Option<&ModelKey>) -> Self {
        Self { key: key.cloned(), ..self }
    }

    fn asked<'r>(&self, rules: &'r Rules) -> Option<Asked<'r>>
    where
        'a: 'r,
    {
        let name = self.held.or(self.sized)?;
        Some(self.key.clone().map_or_else(|| Asked::of(name, &rules.sizes), |key| Asked::by(key, name, &rules.sizes)))
    }

    pub(super) fn places(&self) -> u32 {
        u32::from(self.takes_place)
    }
}

impl Scheduler {
    /// What is known of each node, for the choice. `tried` says what this request has tried on the node of that slot.
    pub fn survey(
        &self,
        fleet: &Fleet,
        need: &Need<'_>,
        quiet_after: Duration,
        tried: impl Fn(usize) -> Tried,
    ) -> Vec<Candidate> {
        let (nodes, rules, desk) = (fleet.nodes(), self.rules(), self.0.desk());
        let look = Look::at(&nodes, need, need.asked(&rules), &desk, quiet_after);
        nodes.iter().map(|node| look.candidate(node, tried(node.slot()))).collect()
    }

    /// As [`Self::survey`], without nodes that make no difference to the choice: while the model is known to be held, those
    /// that do not hold it; beside a named node, all others. Costs what the candidates do, not what the fleet does.
    pub fn shortlist(
        &self,
        fleet: &Fleet,
        need: &Need<'_>,
        quiet_after: Duration,
        tried: impl Fn(usize) -> Tried,
    ) -> Vec<Candidate> {
        let (nodes, rules) = (fleet.nodes(), self.rules());
        let asked = need.asked(&rules);
        let among = match (need.only, &asked) {
            (Some(only), _) => nodes.find(only).into_iter().collect(),
            (None, Some(asked)) if need.held.is_some() && nodes.len() > FEW => nodes.among(&fleet.holders(asked.key())),
            (None, _) => Vec::new(),
        };
        let desk = self.0.desk();
        let look = Look::at(&nodes, need, asked, &desk, quiet_after);
        let candidate = |node: &Node| look.candidate(node, tried(node.slot()));
        let some: Vec<Candidate> = among.into_iter().map(candidate).collect();
        if (need.only.is_some() && !some.is_empty()) || choose::holders_suffice(&some, rules.fallback) {
            return some;
        }
        nodes.iter().map(candidate).collect()
    }
}

/// One look at the nodes for one request.
struct Look<'a> {
    need: &'a Need<'a>,
    asked: Option<Asked<'a>>,
    desk: &'a Desk,
    quiet_after: Duration,
    now: Instant,
    beside_ollama: bool,
}

impl<'a> Look<'a> {
    fn at(nodes: &Roster, need: &'a Need<'a>, asked: Option<Asked<'a>>, desk: &'a Desk, quiet_after: Duration) -> Self {
        Self { need, asked, desk, quiet_after, now: Instant::now(), beside_ollama: nodes.enabled().any(Node::is_ollama) }
    }

    fn candidate(&self, node: &Node, tried: Tried) -> Candidate {
        let (view, config, need, now) = (node.view(), node.config(), self.need, self.now);
        let asked = self.asked.as_ref();
        let listed = asked.and_then(|asked| view.holding.find_by(asked.key()));
        let model = asked.filter(|_| need.held.is_some()).map_or(Holds::Unknown, |asked| holds(config, &view, listed, asked));
        let size = asked.and_then(|asked| asked.size(listed));
        let readiness = believed(readiness(node, &view, self.quiet_after), tried);
        let mut candidate = Candidate {
            index: node.slot(),
            part: self.part(config, model),
            model,
            fit: size::fit(size, &config.model_ranges),
            circuit: Circuit::Closed,
            tried,
            readiness,
            loaded: false,
            seen: node.last_seen().map(|seen| now.saturating_duration_since(seen)),
            wakes_in: if readiness.is_up() { Duration::ZERO } else { wakes_in(&view, now) },
            service: None,
            active: 0,
            elsewhere: 0.0,
            capacity: u32::MAX,
            weight: config.weight,
            idle_watts: config.power.idle_watts,
        };
        if let Some(seat) = self.desk.seat(node.slot()) {
            candidate.circuit = seat.circuit(now);
            candidate.loaded = need.runner.as_ref().is_some_and(|runner| seat.warm.has(runner, now));
            candidate.service = seat.service();
            candidate.active = seat.active;
            candidate.elsewhere = seat.elsewhere();
            if need.takes_place {
                candidate.capacity = seat.capacity;
            }
        }
        candidate
    }

    /// What is not Ollama may answer with its own model whatever name is asked for: a name that it does not list is better
    /// refused by an Ollama, if there is one.
    fn part(&self, config: &NodeConfig, model: Holds) -> Part {
        let (need, other) = (self.need, config.kind != NodeKind::Ollama);
        match need.only {
            _ if !config.enabled => Part::Disabled,
            Some(only) if only != config.name.as_str() => Part::NotNamed,
            _ if other && need.of_ollama => Part::OtherApi,
            None if other && need.held.is_some() && model == Holds::No && self.beside_ollama => Part::OtherApi,
            _ => Part::Takes,
        }
    }
}

/// What the owner says it holds counts before its list.
fn holds(config: &NodeConfig, view: &View, listed: Option<&Model>, asked: &Asked<'_>) -> Holds {
    if !config.models.is_empty() {
        return if config.models.iter().any(|known| asked.is_called(known)) { Holds::Yes } else { Holds::No };
    }
    match listed {
        Some(_) => Holds::Yes,
        // Models in the cloud work without being listed.
        None if view.holding.is_known() && (!asked.is_cloud() || config.kind != NodeKind::Ollama) => Holds::No,
        None => Holds::Unknown,
    }
}

/// What was only probable is not, once it has failed this very request.
fn believed(readiness: Readiness, tried: Tried) -> Readiness {
    match (readiness, tried) {
        (Readiness::ProbablyAwake, Tried::Again | Tried::Done) => Readiness::Asleep,
        _ => readiness,
    }
}

/// How soon a node could answer. Always-on nodes are awake until their check says otherwise.
pub fn readiness(node: &Node, view: &View, quiet_after: Duration) -> Readiness {
    let recently = || node.last_seen().is_some_and(|seen| seen.elapsed() < quiet_after);
    let fresh = || view.since.elapsed().is_ok_and(|since| since < REFUSING);
    match &view.power {
        Power::Waking(_) => Readiness::Waking,
        // Without checks it stays unknown until it serves, so it must get its turn.
        Power::Unknown if node.config().always_on => Readiness::Awake,
        Power::Awake if node.may_be_asked() => Readiness::Awake,
        Power::Awake if recently() => Readiness::ProbablyAwake,
        Power::ServiceDown(_) if fresh() || node.config().always_on => Readiness::Down,
        Power::WakeFailed { until, .. } if *until > Instant::now() => Readiness::Down,
        Power::Asleep if node.config().always_on || (fresh() && !view.means.any()) => Readiness::Down,
        Power::Awake
        | Power::Unknown
        | Power::ServiceDown(_)
        | Power::Asleep
        | Power::Suspending { .. }
        | Power::WakeFailed { .. } => Readiness::Asleep,
    }
}

fn wakes_in(view: &View, now: Instant) -> Duration {
    let usual = view.usual_wake().unwrap_or(WAKE);
    view.waking_since().map_or(usual, |since| usual.saturating_sub(now.saturating_duration_since(since)))
}
