//! The seed's rules: 120B to the first, 30 to 70B to the second, 1 to 8B to the others, and what fits nowhere anywhere.

use super::{NODES, SLEEPERS, assert_left_alone, dormant, load_on, plan, until_known, whole_chat};
use crate::plan::{CHAT_MODEL, Lab};
use crate::words::Tally;

const REQUESTS: u64 = 60;

fn served(lab: &Lab, model: &str) -> Tally {
    lab.client().load(REQUESTS, 3, "", &whole_chat(model), &NODES).finish()
}

#[track_caller]
fn assert_served_by(lab: &Lab, model: &str, nodes: &[&str]) {
    let tally = served(lab, model);
    for node in NODES {
        assert_eq!(tally.served_by(node) > 0, nodes.contains(&node), "{model}: {tally:?}");
    }
    assert_eq!(nodes.iter().map(|node| tally.served_by(node)).sum::<u64>(), REQUESTS, "{model}: {tally:?}");
}

#[test]
fn each_size_goes_to_the_machines_that_are_meant_for_it_and_what_fits_nowhere_to_any() {
    let Some(lab) = plan("rules", true, &[]).start() else { return };
    until_known(&lab, &NODES);
    assert_served_by(&lab, "gpt-oss:120b", &["node1"]);
    assert_served_by(&lab, "llama3.3:70b", &["node2"]);
    assert_served_by(&lab, "qwen3:30b-a3b", &["node2"]);
    load_on(&lab, &["node3", "node4"], CHAT_MODEL);
    assert_served_by(&lab, CHAT_MODEL, &["node3", "node4"]);
    load_on(&lab, &NODES, "gemma3:12b");
    assert_served_by(&lab, "gemma3:12b", &NODES);
}

#[test]
fn only_what_no_awake_machine_is_meant_for_wakes_one_and_only_the_right_one() {
    let Some(lab) = plan("rules_asleep", true, &[]).start() else { return };
    until_known(&lab, &NODES);
    let marks = dormant(&lab, &SLEEPERS);
    assert_served_by(&lab, "llama3.3:70b", &["node2"]);
    assert_served_by(&lab, CHAT_MODEL, &["node3"]);
    let tally = served(&lab, "gemma3:12b");
    assert_eq!(tally.served_by("node2") + tally.served_by("node3"), REQUESTS, "{tally:?}");
    assert_left_alone(&lab, &SLEEPERS, &marks);
    let answer = lab.client().chat("gpt-oss:120b").finish();
    answer.assert_whole_chat();
    assert_eq!(answer.header("x-ollama-proxy-node"), Some("node1"));
    assert_eq!(lab.host("node1").status().woken, 1);
    // Packets for another card are broadcast to all: what counts is that none was for this one.
    assert_eq!((lab.host("node4").status().woken, lab.host("node4").status().magic), (0, 0));
}
