//! What stays of a node when the settings change, and when its keeper ends.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::config::{Env, ServeArgs, load};
use crate::fleet::power::Event;
use crate::fleet::{Metrics, Rules};
use crate::telemetry::journal::Journal;
use crate::telemetry::metrics::Registry;

const PATIENCE: Duration = Duration::from_secs(5);

struct Rig {
    fleet: Fleet,
    keepers: JoinSet<anyhow::Result<()>>,
}

/// Nodes `node1`, `node2` … that do not answer, and are not asked.
fn configs(urls: &str) -> Vec<NodeConfig> {
    let args = ServeArgs::default().with("ollama-url", urls).with("wake-broadcast", "127.0.0.1");
    let nowhere = std::env::temp_dir().join("ollama-proxy-renewal-has-no-settings");
    load(&args, &Env::new(), &nowhere).unwrap().nodes
}

fn three() -> Vec<NodeConfig> {
    configs("http://192.0.2.1:1,http://192.0.2.2:1,http://192.0.2.3:1")
}

impl Rig {
    fn of(configs: &[NodeConfig], snapshot: &Snapshot) -> Self {
        let nowhere = std::env::temp_dir().join("ollama-proxy-renewal-has-no-settings");
        let config = load(&ServeArgs::default(), &Env::new(), &nowhere).unwrap();
        let rules = Rules {
            timeouts: config.timeouts.clone(),
            wake: config.wake.clone(),
            health_interval: None,
            cache_ttl: config.cache_ttl,
            journal: Journal::default(),
        };
        let (metrics, mut keepers) = (Metrics::register(&Registry::default()), JoinSet::new());
        let fleet = Fleet::start(configs, &rules, snapshot, &metrics, &mut keepers).unwrap();
        Self { fleet, keepers }
    }

    fn renew(&mut self, configs: &[NodeConfig]) -> Changes {
        let plan = self.fleet.plan(configs).unwrap();
        self.fleet.adopt(plan, &mut self.keepers)
    }

    fn names(&self) -> Vec<String> {
        self.fleet.nodes().iter().map(|node| node.name().to_string()).collect()
    }

    /// Waits until one keeper ends.
    async fn one_ends(&mut self) {
        timeout(PATIENCE, self.keepers.join_next()).await.expect("no keeper ends").unwrap().unwrap().unwrap();
    }
}

fn names(names: &[&str]) -> Vec<NodeName> {
    names.iter().map(|name| NodeName::new(name)).collect()
}

fn is_same(a: &Node, b: &Node) -> bool {
    std::ptr::eq(a.config(), b.config())
}

#[tokio::test]
async fn a_slot_belongs_to_a_name_whatever_comes_and_goes() {
    let all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let changes = rig.renew(&[all[2].clone(), all[0].clone()]);
    assert_eq!((changes.added, changes.removed, changes.changed), (vec![], names(&["node2"]), vec![]));
    assert_eq!(rig.names(), ["node3", "node1"], "the order is that of the settings");
    let slots: Vec<usize> = rig.fleet.nodes().iter().map(Node::slot).collect();
    assert_eq!(slots, [2, 0]);
    assert!(rig.fleet.at(1).is_none() && rig.fleet.at(7).is_none());
    assert_eq!(rig.renew(&all).added, names(&["node2"]));
    assert_eq!(rig.fleet.at(1).unwrap().name().as_str(), "node2");
}

/// Machines behind a name, and workers, may come under another name each time.
#[tokio::test]
async fn names_that_come_and_go_for_ever_take_no_more_slots_than_are_remembered() {
    let one = |round: usize| NodeConfig { name: NodeName::new(&format!("pod-{round}")), ..three().remove(0) };
    let mut rig = Rig::of(&[one(0)], &Snapshot::default());
    let held = rig.fleet.at(0).unwrap();
    for round in 1..3 * ABSENT {
        let plan = rig.fleet.plan(&[one(round)]).unwrap();
        let slot = plan.roster()[0].slot();
        assert!(slot != held.slot() && slot <= ABSENT + 3, "slot {slot} in round {round}");
        let is_new = slot == round;
        assert_eq!(plan.moved(), if is_new { vec![] } else { vec![slot] }, "what was remembered there was another's");
        rig.fleet.adopt(plan, &mut rig.keepers);
        if round > 1 {
            // Its keeper ends with it, and only then nothing of it is left.
            rig.one_ends().await;
        }
        rig.fleet.departed();
    }
}

#[tokio::test]
async fn a_node_with_the_same_settings_is_the_same_node() {
    let all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let before = rig.fleet.nodes();
    assert_eq!(rig.renew(&all), Changes::default());
    assert!(before.iter().zip(&*rig.fleet.nodes()).all(|(a, b)| is_same(a, b)));
    assert_eq!(rig.keepers.len(), 3);
}

#[tokio::test]
async fn other_preferences_leave_the_keeper_and_all_it_knows_alone() {
    let mut all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let before = rig.fleet.at(0).unwrap();
    before.answered(Ipv4Addr::LOCALHOST.into());
    before.watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
    let _running = before.enter();
    all[0].weight = 7.0;
    all[0].capacity = Some(9);
    all[0].models = vec!["llama3.2:3b".to_owned()];
    assert_eq!(rig.renew(&all).changed, names(&["node1"]));
    let after = rig.fleet.at(0).unwrap();
    assert_eq!((after.config().weight, after.config().capacity), (7.0, Some(9)));
    assert_eq!((after.state(), after.active(), rig.keepers.len()), ("awake", 1, 3));
    // The keeper hears the new handle.
    after.failed_to(&crate::upstream::Trouble::NoAnswer, Instant::now() + PATIENCE);
    after.watch().wait_for(|view| view.power == Power::Asleep).await.unwrap();
}

#[tokio::test]
async fn a_removed_node_is_kept_to_the_end_of_its_last_request_and_then_its_keeper_ends() {
    let all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let request = rig.fleet.at(1).unwrap();
    rig.renew(&[all[0].clone(), all[2].clone()]);
    assert!(rig.fleet.find("node2").is_none());
    request.answered(Ipv4Addr::LOCALHOST.into());
    request.watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
    assert!(rig.fleet.departed().is_empty() && rig.keepers.len() == 3);
    drop(request);
    rig.one_ends().await;
    assert_eq!(rig.fleet.departed(), names(&["node2"]));
    assert_eq!((rig.fleet.departed(), rig.keepers.len()), (vec![], 2));
}

#[tokio::test]
async fn a_node_that_came_back_before_its_last_request_ended_has_not_departed() {
    let all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let request = rig.fleet.at(1).unwrap();
    rig.renew(&all[..1]);
    rig.renew(&all);
    drop(request);
    rig.one_ends().await;
    rig.one_ends().await;
    assert!(rig.fleet.departed().is_empty());
    assert_eq!(rig.keepers.len(), 3);
}

#[tokio::test]
async fn another_way_to_wake_is_another_keeper_that_knows_what_the_old_one_knew() {
    let mut all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let before = rig.fleet.at(0).unwrap();
    before.answered(Ipv4Addr::LOCALHOST.into());
    before.watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
    let running = before.enter();
    drop(before);
    all[0].wake.mac = Some("02:00:00:00:00:01".parse().unwrap());
    assert_eq!(rig.renew(&all).changed, names(&["node1"]));
    rig.one_ends().await;
    let after = rig.fleet.at(0).unwrap();
    let view = after.view();
    assert_eq!((after.state(), view.address, after.active()), ("awake", Some(Ipv4Addr::LOCALHOST.into()), 1));
    assert_eq!(view.mac.map(|known| known.source), Some(MacSource::Set));
    assert!(after.last_seen().is_some() && view.means.packets);
    drop(running);
    assert_eq!(after.active(), 0);
}

#[tokio::test]
async fn when_it_sleeps_by_itself_is_the_keepers_business_and_what_it_draws_is_not() {
    let mut all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    let shared = |rig: &Rig| rig.fleet.at(0).unwrap().remains();
    let first = shared(&rig);
    all[0].power.idle_watts = Some(60.0);
    rig.renew(&all);
    assert!(first.ptr_eq(&shared(&rig)));
    all[0].power.sleeps_after = Some(Duration::from_secs(60));
    rig.renew(&all);
    assert!(!first.ptr_eq(&shared(&rig)));
    rig.one_ends().await;
}

#[tokio::test]
async fn of_another_machine_under_the_same_name_only_the_catalog_and_the_wake_times_hold() {
    let known = NodeSnapshot {
        mac: Some("02:00:00:00:00:07".to_owned()),
        address: Some("127.0.0.1".to_owned()),
        wake_seconds: vec![12.0],
        ..NodeSnapshot::default()
    };
    let snapshot = Snapshot { nodes: [("node1".to_owned(), known)].into(), ..Snapshot::default() };
    let mut all = three();
    let mut rig = Rig::of(&all, &snapshot);
    let before = rig.fleet.at(0).unwrap();
    before.answered(Ipv4Addr::LOCALHOST.into());
    before.watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
    drop(before.enter());
    all[0].hosts[0].port = 4;
    let plan = rig.fleet.plan(&all).unwrap();
    assert_eq!(plan.moved(), [0]);
    rig.fleet.adopt(plan, &mut rig.keepers);
    let after = rig.fleet.at(0).unwrap();
    let view = after.view();
    assert_eq!((&view.power, view.address, view.mac, after.last_seen()), (&Power::Unknown, None, None, None));
    assert_eq!((&view.wake_history[..], after.totals()), (&[12.0][..], (1, 0)));
}

#[tokio::test]
async fn a_disabled_node_has_no_keeper_and_comes_back_with_what_it_knew() {
    let mut all = three();
    let mut rig = Rig::of(&all, &Snapshot::default());
    rig.fleet.at(1).unwrap().answered(Ipv4Addr::LOCALHOST.into());
    rig.fleet.at(1).unwrap().watch().wait_for(|view| view.power == Power::Awake).await.unwrap();
    all[1].enabled = false;
    assert_eq!(rig.renew(&all).changed, names(&["node2"]));
    rig.one_ends().await;
    let off = rig.fleet.at(1).unwrap();
    assert_eq!((off.state(), off.may_be_asked(), rig.fleet.nodes().enabled().count()), ("disabled", false, 2));
    assert!(off.refresh().await.is_err() && !off.alive().await);
    off.want(super::super::Want::default()).await;
    drop(off);
    all[1].enabled = true;
    rig.renew(&all);
    let on = rig.fleet.at(1).unwrap();
    assert_eq!((on.state(), on.view().address), ("unknown", Some(Ipv4Addr::LOCALHOST.into())));
    assert_eq!(rig.keepers.len(), 3);
}

#[tokio::test]
async fn what_is_known_of_a_removed_node_is_kept_for_its_return_and_bounded() {
    let known = |seen| NodeSnapshot { last_seen: Some(seen), wake_seconds: vec![9.0], ..NodeSnapshot::default() };
    let absent = (0..40).map(|at| (format!("old{at}"), known(at)));
    let all = three();
    let mut rig = Rig::of(&all, &Snapshot { nodes: absent.collect(), ..Snapshot::default() });
    let kept = rig.fleet.snapshot().nodes;
    assert_eq!(kept.len(), ABSENT + 3);
    assert!(kept.contains_key("old39") && !kept.contains_key("old0"), "{:?}", kept.keys());
    let mut back = all[0].clone();
    back.name = NodeName::new("old39");
    rig.renew(&[back]);
    assert_eq!(rig.fleet.find("old39").unwrap().view().wake_history, [9.0]);
    assert!(rig.fleet.snapshot().nodes.contains_key("node3"));
}

#[test]
fn work_under_way_stays_with_the_keeper_that_began_it() {
    let now = Instant::now();
    let means = super::super::power::Means { packets: true, url: false, deadline: PATIENCE };
    let (waking, _) = super::super::power::next(Power::Asleep, Event::Wanted, now, means);
    assert!(matches!(waking, Power::Waking(_)));
    assert_eq!(settled(&waking), Power::Asleep);
    assert_eq!(settled(&Power::WakeFailed { until: now, refused: true }), Power::Asleep);
    assert_eq!(settled(&Power::ServiceDown(Refused::GivenUp { until: now })), Power::ServiceDown(Refused::Resting));
    assert_eq!(settled(&Power::Awake), Power::Awake);
}
