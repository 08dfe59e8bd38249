//! One PC with two addresses, of which the first is dead: the second is used, and remembered.

use std::time::Duration;

use serde_json::json;

use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, PI_MAC, Plan};
use crate::program::pause;
use crate::sleeper::Machine;

const DEAD: &str = "10.77.0.99";

/// For so long the kernel repeats a question that nobody answers, though the connect is over.
const UNANSWERED: Duration = Duration::from_secs(4);

/// How often the Pi has asked whose the dead address is, since a mark: such questions reach every card.
fn looked_for_the_dead(lab: &Lab, mark: usize) -> usize {
    let frames = lab.gpu().frames_from(PI_MAC, mark);
    frames.iter().filter(|frame| frame.what.contains(&format!("who has {DEAD}"))).count()
}

#[test]
fn a_pc_whose_first_address_is_dead_is_reached_and_woken_by_its_second_which_is_remembered() {
    let machine = Machine::usual();
    let file = json!({ "nodes": [{ "name": "gpu", "hosts": [DEAD, machine.ip()], "wake": { "mac": machine.mac } }] });
    let Some(mut lab) = Plan::named("several_addresses").node_file(file).start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    assert!(looked_for_the_dead(&lab, 0) > 0, "they are tried in order");
    assert_eq!(lab.gpu().status().magic, 0, "no packet to a PC that is awake at its second address");

    lab.gpu().sleep();
    pause(EVIDENCE);
    let mark = lab.gpu().mark();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
    let frames = lab.gpu().frames_since(mark);
    assert!(frames.iter().any(|frame| frame.magic && frame.what.contains("> 10.77.0.11:")), "{frames:#?}");

    pause(UNANSWERED);
    let mark = lab.gpu().mark();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    lab.restart_proxy();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    pause(Duration::from_secs(1));
    assert_eq!(looked_for_the_dead(&lab, mark), 0, "it is remembered, over a restart too");
}
