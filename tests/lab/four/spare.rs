//! No more machines awake than needed: a second one wakes only when waiting for the first would take longer.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    NODES, SLEEPERS, assert_left_alone, chat_on, dormant, known_asleep, load_on, machine, plan_of, told, until_known, whole_chat,
};
use crate::plan::{CHAT_MODEL, Lab};

const AWAKE: [&str; 2] = ["node2", "node3"];

/// One place per machine. Of the sleepers, the last one's wake was measured: about two seconds.
fn with_one_place_each(test: &str) -> Option<Lab> {
    let machines = (1..=4).map(|number| machine(number).resume(Duration::from_millis(1500))).collect();
    let more: Vec<(&str, Value)> = NODES.into_iter().map(|node| (node, json!({ "capacity": 1 }))).collect();
    let lab = plan_of(test, machines, false, &more).start()?;
    until_known(&lab, &NODES);
    lab.host("node4").sleep();
    chat_on(&lab, "node4", CHAT_MODEL).finish().assert_whole_chat();
    let wake = told(&lab, "node4")["power"]["wake_seconds"].as_f64().unwrap();
    assert!((1.5..10.0).contains(&wake), "{wake}");
    load_on(&lab, &AWAKE, CHAT_MODEL);
    Some(lab)
}

fn takes(lab: &Lab, time: Duration) {
    for node in AWAKE {
        lab.host(node).set(&json!({ "first_token_ms": u64::try_from(time.as_millis()).unwrap() }));
    }
}

#[test]
fn a_short_wait_for_an_awake_machine_wakes_no_other() {
    let Some(lab) = with_one_place_each("a_short_wait") else { return };
    let marks = known_asleep(&lab, &SLEEPERS);
    takes(&lab, Duration::from_millis(100));
    let tally = lab.client().load(40, 8, "", &whole_chat(CHAT_MODEL), &NODES).finish();
    assert_eq!(tally.served_by("node2") + tally.served_by("node3"), 40, "{tally:?}");
    assert_left_alone(&lab, &SLEEPERS, &marks);
}

#[test]
fn a_wait_longer_than_a_wake_wakes_the_one_whose_wake_is_shorter_and_no_further_one() {
    let Some(lab) = with_one_place_each("a_long_wait") else { return };
    let marks = known_asleep(&lab, &SLEEPERS);
    takes(&lab, Duration::from_secs(12));
    let tally = lab.client().load(6, 6, "", &whole_chat(CHAT_MODEL), &NODES).finish();
    let served = NODES.map(|node| tally.served_by(node));
    assert_eq!(served, [0, 1, 1, 4], "{tally:?}");
    assert_eq!(lab.host("node4").status().woken, 2);
    // The wake of the first was never measured, so it counts as a long one.
    assert_left_alone(&lab, &SLEEPERS[..1], &marks[..1]);
}

#[test]
fn machines_that_only_seem_awake_are_tried_when_the_others_are_full_and_not_woken_for_a_short_wait() {
    let Some(lab) = with_one_place_each("seem_awake") else { return };
    dormant(&lab, &SLEEPERS);
    let woken = SLEEPERS.map(|node| lab.host(node).status().woken);
    takes(&lab, Duration::from_millis(300));
    let tally = lab.client().load(30, 6, "", &whole_chat(CHAT_MODEL), &NODES).finish();
    assert_eq!(tally.served_by("node2") + tally.served_by("node3"), 30, "{tally:?}");
    assert_eq!(SLEEPERS.map(|node| lab.host(node).status().woken), woken);
}
