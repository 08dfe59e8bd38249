//! Always-on nodes are checked each by its own clock, leave the pool when they are ill and come back by themselves;
//! sleeping ones are never asked.

use std::time::Duration;

use serde_json::json;

use super::{NODES, SLEEPERS, assert_left_alone, dormant, load_on, plan, told, until_known, until_power, whole_chat};
use crate::plan::{CHAT_MODEL, Lab};
use crate::program::pause;

fn checked(lab: &Lab, node: &str) -> u64 {
    lab.host(node).counters()["requests"]["GET /api/tags"].as_u64().unwrap()
}

fn watched(test: &str) -> Option<(Lab, Vec<usize>)> {
    let lab = plan(test, false, &[]).setting("--health-interval", "500ms").setting("--timeout", "4s").start()?;
    until_known(&lab, &NODES);
    let marks = dormant(&lab, &SLEEPERS);
    load_on(&lab, &["node2", "node3"], CHAT_MODEL);
    Some((lab, marks))
}

/// All of some chats are served by the third.
#[track_caller]
fn assert_only_the_third_serves(lab: &Lab) {
    let tally = lab.client().load(30, 3, "", &whole_chat(CHAT_MODEL), &NODES).finish();
    assert_eq!(tally.served_by("node3"), 30, "{tally:?}");
}

#[test]
fn a_node_that_hangs_delays_no_other_check_leaves_the_pool_and_comes_back() {
    let Some((lab, marks)) = watched("health_hangs") else { return };
    // It takes connections and says nothing, neither to the check nor to a look at its life.
    for path in ["/api/tags", "/api/version"] {
        lab.host("node2").fail(&json!({ "next": "hang_before_head", "times": 1000, "path": path }));
    }
    let before = checked(&lab, "node3");
    until_power(&lab, "node2", "asleep");
    let ticks = checked(&lab, "node3") - before;
    assert!(ticks >= 6, "the third was checked {ticks} times while the second hung");
    assert_eq!(told(&lab, "node3")["power"]["state"], "awake");
    assert_only_the_third_serves(&lab);
    lab.host("node2").kill_ollama();
    lab.host("node2").start_ollama();
    until_power(&lab, "node2", "awake");
    assert_left_alone(&lab, &SLEEPERS, &marks);
}

#[test]
fn a_node_that_refuses_is_out_of_the_pool_until_its_check_finds_it_again() {
    let Some((lab, marks)) = watched("health_refuses") else { return };
    lab.host("node2").kill_ollama();
    until_power(&lab, "node2", "service_down");
    assert_only_the_third_serves(&lab);
    let health = lab.client().get("/health").finish().json();
    assert_eq!((&health["healthy_nodes"], &health["nodes"]["node2"]["healthy"]), (&json!(3), &json!(false)), "{health}");
    lab.host("node2").start_ollama();
    until_power(&lab, "node2", "awake");
    load_on(&lab, &["node2"], CHAT_MODEL);
    assert_eq!(lab.client().get("/health").finish().json()["healthy_nodes"], 4);
    assert_left_alone(&lab, &SLEEPERS, &marks);
}

#[test]
fn a_node_that_vanishes_is_out_of_the_pool_and_sleepers_are_never_asked() {
    let Some((lab, marks)) = watched("health_vanishes") else { return };
    lab.host("node2").sleep();
    until_power(&lab, "node2", "asleep");
    assert_only_the_third_serves(&lab);
    let (before, watched) = (checked(&lab, "node3"), Duration::from_secs(5));
    pause(watched);
    let ticks = checked(&lab, "node3") - before;
    assert!(ticks >= 6, "checked {ticks} times in {watched:?}");
    lab.host("node2").wake_by_hand();
    until_power(&lab, "node2", "awake");
    assert_left_alone(&lab, &SLEEPERS, &marks);
}
