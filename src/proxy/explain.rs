//! Why nodes were kept or dropped: for `GET /route`, and for the client whom nobody can serve.

use std::time::Duration;

use serde_json::{Value, json};

use super::tries::Tries;
use super::{Job, Proxy, admit};
use crate::catalog::Listed;
use crate::classify::Class;
use crate::fleet::Node;
use crate::schedule::Need;
use crate::schedule::breaker::Circuit;
use crate::schedule::choose::{self, Candidate, Choice, Dropped, Holds, Order, Part, Terms, Tried};
use crate::schedule::explain;
use crate::schedule::size::Asked;
use crate::values::{Fault, ModelName, Strategy};

/// The answer of `GET /route`.
fn route(model: Option<&str>, strategy: Strategy, nodes: &[Value], choice: Option<&str>, wakes: bool, why: &str) -> Value {
    json!({
        "model": model,
        "scheduling_strategy": strategy.word(),
        "nodes": nodes,
        "choice": choice,
        "wakes": wakes,
        "why": why,
    })
}

impl Proxy {
    /// What would happen to a request for a model (`None`: for no model), in words. Sends nothing and takes nobody's turn.
    pub fn explain(&self, model: Option<&str>, named: Option<&str>) -> Value {
        let need = model.map_or_else(Need::default, |name| Need::of_model(name, None, true)).only(named);
        let candidates = self.survey(&need, |_| Tried::Not);
        let rules = self.0.scheduler.rules();
        let order = Order::By(rules.strategy);
        let ahead = u32::try_from(self.0.scheduler.waiting()).unwrap_or(u32::MAX);
        let terms = Terms { fallback: rules.fallback, order, may_wake: true, waited: Duration::ZERO, ahead };
        let dropped = choose::filter(&candidates, rules.fallback);
        let choice = self.0.scheduler.would_choose(&candidates, &terms);
        let asked = model.map(|name| Asked::of(name, &rules.sizes));
        let nodes: Vec<Value> =
            candidates.iter().zip(dropped).map(|(node, dropped)| self.node_json(node, dropped, asked.as_ref())).collect();
        let chosen = match &choice {
            Choice::Serve { index, .. } => Some(*index),
            Choice::Wait { .. } | Choice::Nobody => None,
        };
        let sleeps = |index: usize| candidates.iter().any(|node| node.index == index && !node.readiness.is_up());
        // A wrong name is told at once, and wakes nobody.
        if let Some(index) = chosen.filter(|index| sleeps(*index) && model.is_some_and(|name| self.is_on_no_list(name))) {
            let name = self.name(index);
            let why = format!("no node lists it: while {name} sleeps, a request for it gets 404 and wakes nothing");
            return route(model, rules.strategy, &nodes, None, false, &why);
        }
        let (name, why) = (chosen.map(|index| self.name(index)), self.because(&choice, &candidates));
        route(model, rules.strategy, &nodes, name.as_deref(), chosen.is_some_and(sleeps), &why)
    }

    /// Every list is known, and none has it; nor is it a model of Ollama's cloud, which works without being listed.
    fn is_on_no_list(&self, name: &str) -> bool {
        let cloud = ModelName::parse(name).is_some_and(|name| name.is_cloud());
        !cloud && self.0.fleet.listed(name) == Listed::No
    }

    fn node_json(&self, node: &Candidate, dropped: Option<Dropped>, asked: Option<&Asked<'_>>) -> Value {
        let known = self.0.fleet.at(node.index);
        let view = known.as_ref().map(Node::view);
        let listed = |asked: &Asked<'_>| asked.size(view.as_ref().and_then(|view| view.holding.find_by(asked.key())));
        let size = asked.and_then(listed);
        json!({
            "name": self.name(node.index),
            "kept": dropped.is_none(),
            "why": explain::words(node, dropped),
            "state": known.as_ref().map(Node::state),
            "has_model": match node.model { Holds::Yes => Some(true), Holds::No => Some(false), Holds::Unknown => None },
            "fits": node.fit.is_some(),
            "model_size_b": size.map(|known| known.size.0),
            "model_size_from": size.map(|known| known.source.words()),
            "loaded": node.loaded && node.readiness.is_up(),
            "active": node.active,
            "capacity": (node.capacity < u32::MAX).then_some(node.capacity),
            "breaker": self.0.scheduler.circuit(node.index).word(),
        })
    }

    fn name(&self, index: usize) -> String {
        self.0.fleet.at(index).map_or_else(|| "a node taken out just now".to_owned(), |node| node.name().to_string())
    }

    /// The choice in words.
    fn because(&self, choice: &Choice, candidates: &[Candidate]) -> String {
        match choice {
            Choice::Serve { index, .. } => {
                let state = candidates.iter().find(|node| node.index == *index).map_or("", |node| node.readiness.words());
                let chosen = self.name(*index);
                format!("{chosen} would serve: it is {state}, and no kept node is better off")
            }
            Choice::Wait { on, spill_in } => {
                let names: Vec<String> = on.iter().map(|index| self.name(*index)).collect();
                let full = format!("the request would wait for a place on {}: all their places are taken", names.join(", "));
                match spill_in {
                    Some(time) => format!("{full}; after {} s it would wake another node", time.as_secs()),
                    None => full,
                }
            }
            Choice::Nobody => "no node is left".to_owned(),
        }
    }

    /// Nobody is left: each node and why.
    pub(super) fn nobody_left(&self, job: &Job<'_>, tries: Tries) -> Fault {
        // What unloads takes a sleeping node for an answer, so its own words count.
        if let Class::Unload(_) = job.ask.class {
            return tries.fault(&[], None);
        }
        let named = self.named(job).ok().flatten();
        let candidates = self.survey(&admit::need(job, named), |index| tries.on(index));
        let dropped = choose::filter(&candidates, self.0.scheduler.rules().fallback);
        let mut reasons = Vec::new();
        let mut retry_in: Option<Duration> = None;
        // Those of another kind are worth a word only when there is no node of the right one.
        let worth = if candidates.iter().any(Candidate::takes_part) { Part::Takes } else { Part::OtherApi };
        for (node, dropped) in candidates.iter().zip(dropped).filter(|(node, _)| node.part == worth) {
            let tried = tries.why(node.index).map(str::to_owned);
            reasons.push(tried.unwrap_or_else(|| format!("node {}: {}", self.name(node.index), explain::words(node, dropped))));
            if let Circuit::Open { retry_in: Some(time) } = self.0.scheduler.circuit(node.index) {
                retry_in = Some(retry_in.map_or(time, |least| least.min(time)));
            }
        }
        tries.fault(&reasons, retry_in)
    }

    /// The nodes that come into question for one request.
    pub(super) fn shortlist(&self, need: &Need<'_>, tried: impl Fn(usize) -> Tried) -> Vec<Candidate> {
        self.0.scheduler.shortlist(&self.0.fleet, need, self.0.settings.timeouts.quiet_after, tried)
    }

    /// What is known of all nodes for one request.
    pub(super) fn survey(&self, need: &Need<'_>, tried: impl Fn(usize) -> Tried) -> Vec<Candidate> {
        self.0.scheduler.survey(&self.0.fleet, need, self.0.settings.timeouts.quiet_after, tried)
    }
}
