//! A real fleet without a network: who comes into question, and how requests are shared while nodes come and go.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use tokio::task::JoinSet;

use super::*;
use crate::catalog::{Kept, NodeSnapshot, RawJson, Snapshot};
use crate::config::{Env, Fallback, ModelRange, ServeArgs, load};
use crate::fleet::{self, Metrics};
use crate::schedule::choose::{Choice, Order, Terms};
use crate::schedule::desk::Lease;
use crate::telemetry::journal::Journal;
use crate::telemetry::metrics::Registry;
use crate::values::Strategy;

const QUIET: Duration = Duration::from_secs(120);

/// So many requests run at once, and each as long as it takes for this many others to come.
const RUNNING: usize = 50;

const REQUESTS: usize = 10_000;

struct Rig {
    fleet: Fleet,
    scheduler: Scheduler,
    rules: Rules,
    keepers: JoinSet<anyhow::Result<()>>,
}

/// Always-on nodes `node1`, `node2` … whom nobody asks anything.
fn configs(count: usize) -> Vec<NodeConfig> {
    let urls: Vec<String> = (1..=count).map(|number| format!("http://198.18.0.{number}:1")).collect();
    let nowhere = std::env::temp_dir().join("ollama-proxy-survey-has-no-settings");
    let args = ServeArgs::default().with("ollama-url", &urls.join(",")).with("always-on", "true");
    load(&args, &Env::new(), &nowhere).unwrap().nodes
}

/// What a node listed when it was last read.
fn list(names: &[&str]) -> NodeSnapshot {
    let models: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    let body = RawJson::new(format!(r#"{{"models":[{}]}}"#, models.join(",")).as_bytes()).unwrap();
    let read_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    NodeSnapshot { tags: Some(Kept { read_unix, body }), ..NodeSnapshot::default() }
}

impl Rig {
    fn of(configs: &[NodeConfig], lists: Vec<Option<NodeSnapshot>>, rules: Rules) -> Self {
        let nowhere = std::env::temp_dir().join("ollama-proxy-survey-has-no-settings");
        let config = load(&ServeArgs::default(), &Env::new(), &nowhere).unwrap();
        let own = fleet::Rules {
            timeouts: config.timeouts.clone(),
            wake: config.wake.clone(),
            health_interval: None,
            cache_ttl: config.cache_ttl,
            journal: Journal::default(),
        };
        let known = configs.iter().zip(lists).filter_map(|(config, list)| Some((config.name.to_string(), list?)));
        let snapshot = Snapshot { nodes: known.collect(), ..Snapshot::default() };
        let (metrics, mut keepers) = (Metrics::register(&Registry::default()), JoinSet::new());
        let fleet = Fleet::start(configs, &own, &snapshot, &metrics, &mut keepers).unwrap();
        let scheduler = Scheduler::new(&fleet, rules.clone());
        Self { fleet, scheduler, rules, keepers }
    }

    /// The settings name these nodes now.
    fn renew(&mut self, configs: &[NodeConfig]) {
        let plan = self.fleet.plan(configs).unwrap();
        self.scheduler.renew(&plan, self.rules.clone());
        self.fleet.adopt(plan, &mut self.keepers);
    }

    /// These have just answered.
    async fn wake(&self, awake: impl Fn(&Node) -> bool) {
        for node in self.fleet.nodes().enabled().filter(|node| awake(node)) {
            node.answered(IpAddr::V4(Ipv4Addr::LOCALHOST));
            node.watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
        }
    }

    fn terms(&self) -> Terms {
        let Rules { strategy, fallback, .. } = self.rules;
        Terms { fallback, order: Order::By(strategy), may_wake: true, waited: Duration::ZERO, ahead: 0 }
    }

    fn shortlist(&self, need: &Need<'_>) -> Vec<Candidate> {
        self.scheduler.shortlist(&self.fleet, need, QUIET, |_| Tried::Not)
    }

    /// A place for one request.
    fn serve(&self, need: &Need<'_>) -> (Vec<Candidate>, Lease) {
        let candidates = self.shortlist(need);
        let Choice::Serve { index, .. } = self.scheduler.choose(&candidates, &self.terms()) else {
            panic!("nobody serves: {candidates:?}");
        };
        let lease = self.scheduler.claim(index, need).expect("a chosen node has a place");
        (candidates, lease)
    }
}

fn names(candidates: &[Candidate]) -> Vec<usize> {
    candidates.iter().map(|candidate| candidate.index + 1).collect()
}

#[tokio::test]
async fn only_holders_of_the_model_are_looked_at_in_the_order_of_the_settings() {
    let mut all = configs(10);
    let lists = (0..10).map(|at| Some(list(if at % 3 == 0 { &["a", "b"] } else { &["b"] }))).collect();
    let mut rig = Rig::of(&all, lists, Rules::default());
    let need = Need::of_model("library/A:latest", None, true);
    assert_eq!(names(&rig.shortlist(&need)), [1, 4, 7, 10]);
    assert_eq!(names(&rig.shortlist(&Need::of_model("a", None, true).only(Some("node3")))), [3]);
    assert_eq!(rig.shortlist(&Need::of_model("nowhere", None, true)).len(), 10, "nobody holds it: all are looked at");
    assert_eq!(rig.shortlist(&Need::of_any(true)).len(), 10);
    all.reverse();
    rig.renew(&all);
    assert_eq!(names(&rig.shortlist(&need)), [10, 7, 4, 1]);
}

#[tokio::test]
async fn nodes_that_come_go_or_are_said_to_hold_other_models_are_found_as_they_are() {
    let mut all = configs(8);
    let lists = (0..8).map(|at| (at != 5).then(|| list(&["a"]))).collect();
    let mut rig = Rig::of(&all, lists, Rules::default());
    let held = |rig: &Rig, name: &str| names(&rig.shortlist(&Need::of_model(name, None, true)));
    assert_eq!(held(&rig, "a"), [1, 2, 3, 4, 5, 7, 8], "the list of node6 was never read");
    all[1].enabled = false;
    all[2].models = vec!["whisper".to_owned()];
    let gone = all.remove(0);
    rig.renew(&all);
    let disabled = |node: &&Candidate| node.index == 1 && node.part == Part::Disabled;
    let everybody = rig.scheduler.survey(&rig.fleet, &Need::of_model("a", None, true), QUIET, |_| Tried::Not);
    assert_eq!((everybody.len(), everybody.iter().filter(disabled).count()), (7, 1), "an explanation names it all the same");
    assert_eq!(held(&rig, "whisper"), [3]);
    assert_eq!(held(&rig, "a"), [3, 4, 5, 7, 8]);
    let lacks = rig.shortlist(&Need::of_model("a", None, true))[0].model;
    assert_eq!(lacks, Holds::No, "what the owner says counts before the list");
    all.insert(0, gone);
    all[1].enabled = true;
    all[2].models = Vec::new();
    rig.renew(&all);
    assert_eq!(held(&rig, "a"), [1, 2, 3, 4, 5, 7, 8]);
    assert_eq!(held(&rig, "whisper").len(), 8, "nobody is said to hold it any more");
}

#[tokio::test]
async fn always_on_nodes_that_nobody_checks_take_turns_from_the_start() {
    let rig = Rig::of(&configs(3), vec![Some(list(&["a"])); 3], Rules::default());
    let need = Need::of_model("a", None, true);
    let leases: Vec<Lease> = (0..3).map(|_| rig.serve(&need).1).collect();
    let mut served: Vec<usize> = leases.iter().map(Lease::index).collect();
    served.sort_unstable();
    assert_eq!(served, [0, 1, 2]);
}

#[test]
fn a_node_that_only_seemed_awake_is_taken_for_asleep_once_it_failed_this_request() {
    assert_eq!(believed(Readiness::ProbablyAwake, Tried::Not), Readiness::ProbablyAwake);
    assert_eq!(believed(Readiness::ProbablyAwake, Tried::Again), Readiness::Asleep);
    assert_eq!(believed(Readiness::Awake, Tried::Again), Readiness::Awake, "fresh evidence counts for more");
}

const MODELS: [&str; 5] = ["a:1b", "b:8b", "me/c:70b", "d:cloud", "e"];

fn any_list() -> impl Generator<Value = Option<Vec<&'static str>>> {
    let list = prop::collection::vec(prop::sample::select(&MODELS[..]), 0..3);
    prop_oneof![1 => Just(None), 6 => list.prop_map(Some)]
}

/// A node's list, range, statement, whether it is enabled, answers, and has failed.
type Traits = (Option<Vec<&'static str>>, Option<(f64, f64)>, bool, bool, bool, bool);

fn any_traits() -> impl Generator<Value = Traits> {
    let range = prop::option::weighted(0.4, prop_oneof![Just((0.0, 5.0)), Just((5.0, 30.0)), Just((60.0, 80.0))]);
    let rare = || prop::bool::weighted(0.15);
    (any_list(), range, rare(), prop::bool::weighted(0.85), any::<bool>(), rare())
}

fn rig_of(nodes: &[Traits], fallback: Fallback) -> Rig {
    let mut all = configs(nodes.len());
    for (config, (_, stated, states, enabled, ..)) in all.iter_mut().zip(nodes) {
        config.enabled = *enabled;
        config.models = if *states { vec![MODELS[1].to_owned()] } else { Vec::new() };
        let range =
            |(min, max): &(f64, f64)| ModelRange { min_params_b: *min, max_params_b: Some(*max), description: String::new() };
        config.model_ranges = stated.iter().map(range).collect();
    }
    let lists = nodes.iter().map(|(names, ..)| names.as_deref().map(list)).collect();
    Rig::of(&all, lists, Rules { strategy: Strategy::RoundRobin, fallback, ..Rules::default() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_shortlist_leads_to_the_choice_that_a_look_at_all_nodes_leads_to(
        nodes in prop::collection::vec(any_traits(), FEW + 1..12),
        fallback in prop_oneof![Just(Fallback::Any), Just(Fallback::HaveModel), Just(Fallback::None)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _here = runtime.enter();
        let rig = rig_of(&nodes, fallback);
        runtime.block_on(rig.wake(|node| nodes[node.slot()].4));
        for slot in (0..nodes.len()).filter(|slot| nodes[*slot].5) {
            (0..5).filter_map(|_| rig.scheduler.claim(slot, &Need::of_any(true))).for_each(|mut lease| lease.failed());
        }
        for model in MODELS.into_iter().chain(["nowhere:1b"]) {
            for only in [None, Some("node1")] {
                let need = Need::of_model(model, None, true).only(only);
                let all = rig.scheduler.survey(&rig.fleet, &need, QUIET, |_| Tried::Not);
                let [short, long] = [&rig.shortlist(&need), &all].map(|among| rig.scheduler.would_choose(among, &rig.terms()));
                prop_assert_eq!(short, long, "{} {:?}", model, only);
            }
        }
    }
}

/// Four nodes with the model, of different capacity, weight and thirst; all answer.
async fn four(strategy: Strategy) -> (Rig, Vec<NodeConfig>) {
    let mut all = configs(4);
    for (config, number) in all.iter_mut().zip([1_u8, 2, 3, 4]) {
        config.capacity = Some(30 * u32::from(number));
        config.weight = f64::from(5 - number);
        config.power.idle_watts = Some(10.0 * f64::from(number));
    }
    let rules = Rules { strategy, ..Rules::default() };
    let rig = Rig::of(&all, vec![Some(list(&["a"])); 4], rules);
    rig.wake(|_| true).await;
    (rig, all)
}

/// Serves many requests one after the other, each of which runs until [`RUNNING`] others have come. Says of each who
/// could have served it and who did. Every `stay` requests a node goes or comes back.
async fn served(strategy: Strategy, stay: usize) -> Vec<(Vec<Candidate>, usize)> {
    let (mut rig, all) = four(strategy).await;
    let (need, mut running, mut told, mut present) = (Need::of_model("a", None, true), VecDeque::new(), Vec::new(), [true; 4]);
    for request in 0..REQUESTS {
        if request % stay == stay - 1 {
            let turn = (request / stay * 7 + request / stay / 3) % 4;
            present[turn] = !present[turn] || present.iter().filter(|here| **here).count() < 3;
            let here: Vec<NodeConfig> =
                all.iter().zip(present).filter(|(_, here)| *here).map(|(config, _)| config.clone()).collect();
            rig.renew(&here);
            rig.wake(|_| true).await;
        }
        if running.len() >= RUNNING {
            let ended: Option<Lease> = running.pop_front();
            ended.unwrap().served();
        }
        let (candidates, lease) = rig.serve(&need);
        told.push((candidates.into_iter().filter(Candidate::has_room).collect(), lease.index()));
        running.push_back(lease);
    }
    told
}

fn shares(told: &[(Vec<Candidate>, usize)]) -> [f64; 4] {
    let mut got = [0.0; 4];
    for (_, chosen) in told {
        got[*chosen] += 1.0;
    }
    got
}

/// Within one percent of all requests.
fn assert_near(strategy: Strategy, got: [f64; 4], due: [f64; 4]) {
    let near = got.iter().zip(due).all(|(got, due)| (got - due).abs() <= 0.01 * 10_000.0);
    assert!(near, "{strategy}: {got:?} instead of {due:?}");
}

#[tokio::test]
async fn ten_thousand_leases_are_shared_as_each_strategy_promises() {
    for (strategy, parts) in [
        (Strategy::RoundRobin, [0.25; 4]),
        (Strategy::LeastConnections, [0.25; 4]),
        (Strategy::WeightedRoundRobin, [0.4, 0.3, 0.2, 0.1]),
        // By capacity: 30, 60, 90 and 120 places.
        (Strategy::LeastLoaded, [0.1, 0.2, 0.3, 0.4]),
        // Of fifty that run at once the thriftiest has thirty, the next one the rest.
        (Strategy::LeastEnergy, [0.6, 0.4, 0.0, 0.0]),
    ] {
        assert_near(strategy, shares(&served(strategy, usize::MAX).await), parts.map(|part| part * 10_000.0));
    }
}

#[tokio::test]
async fn turns_and_weights_are_kept_within_one_percent_while_nodes_come_and_go() {
    for strategy in [Strategy::RoundRobin, Strategy::WeightedRoundRobin] {
        for stay in [37, 500] {
            let told = served(strategy, stay).await;
            let mut due = [0.0; 4];
            for (candidates, _) in &told {
                let part = |node: &Candidate| if strategy == Strategy::RoundRobin { 1.0 } else { node.weight };
                let all: f64 = candidates.iter().map(part).sum();
                for node in candidates {
                    due[node.index] += part(node) / all;
                }
            }
            assert!(told.iter().any(|(candidates, _)| candidates.len() < 4), "nobody ever went");
            assert_near(strategy, shares(&told), due);
        }
    }
}

#[tokio::test]
async fn the_emptiest_and_the_thriftiest_are_taken_also_while_nodes_come_and_go() {
    for strategy in [Strategy::LeastConnections, Strategy::LeastLoaded, Strategy::LeastEnergy] {
        for (candidates, chosen) in served(strategy, 37).await {
            let measure = |node: &Candidate| match strategy {
                Strategy::LeastConnections => f64::from(node.active),
                Strategy::LeastEnergy => node.idle_watts.unwrap(),
                _ => f64::from(node.active) / f64::from(node.capacity),
            };
            let least = candidates.iter().map(measure).fold(f64::INFINITY, f64::min);
            let taken = candidates.iter().find(|node| node.index == chosen).map(measure).unwrap();
            assert!(taken <= least + 1e-9, "{strategy}: {taken} where {least} was free");
        }
    }
}
