//! A node fails in the middle of work: what could be served is, by one node, once, and no sleeping machine hears of it.

use serde_json::{Value, json};

use super::{
    NODES, assert_left_alone, chat_on, finished, known_asleep, load_on, machine, plan_of, until_known, until_power, whole_chat,
};
use crate::calls::{Loading, chat};
use crate::plan::{CHAT_MODEL, Lab};
use crate::program::{LIMIT, eventually};
use crate::sleeper::Wakes;
use crate::words::Tally;

const REQUESTS: u64 = 400;
const AT_ONCE: usize = 6;
const ASLEEP: [&str; 1] = ["node1"];
/// The second one fails; it is always on, as is the third. The fourth is a sleeper that is in use.
const WORKING: [&str; 3] = ["node2", "node3", "node4"];

struct Ward {
    lab: Lab,
    marks: Vec<usize>,
    finished: Vec<u64>,
}

impl Ward {
    fn open(test: &str) -> Option<Self> {
        Self::checked_every(test, "1s")
    }

    fn checked_every(test: &str, interval: &str) -> Option<Self> {
        let machines =
            (1..=4).map(|number| machine(number).wakes(if number == 2 { Wakes::Never } else { Wakes::ByMagic })).collect();
        let plan = plan_of(test, machines, false, &[]);
        let lab = plan.setting("--health-interval", interval).setting("--model-timeout", "1s").start()?;
        until_known(&lab, &NODES);
        let marks = known_asleep(&lab, &ASLEEP);
        load_on(&lab, &WORKING, CHAT_MODEL);
        let finished = finished(&lab, &WORKING);
        Some(Self { lab, marks, finished })
    }

    fn sick(&self) -> &crate::sleeper::Sleeper {
        self.lab.host("node2")
    }

    fn load(&self, body: &Value) -> Loading {
        self.lab.client().load(REQUESTS, AT_ONCE, "", body, &NODES)
    }

    /// How many generations a node of [`WORKING`] has finished since the beginning.
    fn finished_on(&self, node: &str) -> u64 {
        let at = WORKING.iter().position(|known| *known == node).unwrap();
        finished(&self.lab, &[node])[0] - self.finished[at]
    }

    /// Every answer that these gave was one client's, and what they worked for in vain was at most `in_vain`.
    #[track_caller]
    fn assert_none_twice(&self, nodes: &[&str], tally: &Tally, in_vain: u64) {
        for node in nodes {
            let (done, served) = (self.finished_on(node), tally.served_by(node));
            assert!(done >= served && done - served <= in_vain, "{node} worked {done} times: {tally:?}");
        }
        assert_left_alone(&self.lab, &ASLEEP, &self.marks);
    }
}

fn served(tally: &Tally) -> u64 {
    NODES.iter().map(|node| tally.served_by(node)).sum()
}

#[test]
fn when_ollama_is_killed_the_others_take_over_until_it_is_back() {
    let Some(ward) = Ward::open("ollama_killed") else { return };
    // Its answers take a while, so that some are under way.
    ward.sick().set(&json!({ "first_token_ms": 50 }));
    let load = ward.load(&whole_chat(CHAT_MODEL));
    load.until_answered(100);
    ward.sick().kill_ollama();
    let tally = load.finish();
    assert_eq!(served(&tally), REQUESTS, "{tally:?}");
    assert!(tally.served_by("node2") > 0, "{tally:?}");
    ward.assert_none_twice(&["node3", "node4"], &tally, 0);
    // Named, it has no replacement; after five failures in a row its breaker answers for it.
    let named = || chat_on(&ward.lab, "node2", CHAT_MODEL).finish();
    let refused = named();
    assert!([502, 503].contains(&refused.status) && refused.body.contains("node2"), "{refused:?}");
    ward.sick().start_ollama();
    until_power(&ward.lab, "node2", "awake");
    eventually("its breaker lets it serve again", LIMIT, || named().status == 200);
    ward.assert_none_twice(&[], &tally, 0);
}

#[test]
fn when_a_host_vanishes_without_a_word_its_requests_go_to_the_others() {
    let Some(ward) = Ward::open("host_vanishes") else { return };
    // Its answers take a while, so that some are under way.
    ward.sick().set(&json!({ "first_token_ms": 50 }));
    let load = ward.load(&whole_chat(CHAT_MODEL));
    load.until_answered(100);
    ward.sick().sleep();
    let tally = load.finish();
    assert_eq!(served(&tally), REQUESTS, "{tally:?}");
    ward.assert_none_twice(&["node3", "node4"], &tally, 0);
    until_power(&ward.lab, "node2", "asleep");
    let before = tally.served_by("node2");
    let after = ward.load(&whole_chat(CHAT_MODEL)).finish();
    assert_eq!((served(&after), after.served_by("node2")), (REQUESTS, 0), "{after:?}");
    ward.sick().wake_by_hand();
    until_power(&ward.lab, "node2", "awake");
    // What it had begun when it vanished may have been finished there for nobody.
    let done = ward.finished_on("node2");
    assert!(done >= before && done <= before + AT_ONCE as u64, "{done} of {before}: {tally:?}");
}

#[test]
fn connections_that_are_reset_after_the_head_are_answered_by_the_others_alone() {
    let Some(ward) = Ward::open("reset_after_the_head") else { return };
    ward.sick().fail(&json!({ "next": "reset_after_head", "times": 1000, "path": "/api/chat" }));
    let tally = ward.load(&chat(CHAT_MODEL)).finish();
    assert_eq!((served(&tally), tally.served_by("node2")), (REQUESTS, 0), "{tally:?}");
    ward.assert_none_twice(&WORKING, &tally, 0);
    let cancelled = ward.sick().counters()["generations_cancelled"].as_u64().unwrap();
    // A node that fails counts as cold, so only those under way at its first failure meet it.
    assert!((1..=AT_ONCE as u64).contains(&cancelled), "{cancelled} were sent there");
}

#[test]
fn connections_that_end_without_a_byte_are_answered_by_the_others_alone() {
    let Some(ward) = Ward::open("reset_before_the_head") else { return };
    ward.sick().fail(&json!({ "next": "reset_before_head", "times": 1000, "path": "/api/chat" }));
    let tally = ward.load(&chat(CHAT_MODEL)).finish();
    assert_eq!((served(&tally), tally.served_by("node2")), (REQUESTS, 0), "{tally:?}");
    ward.assert_none_twice(&WORKING, &tally, 0);
}

#[test]
fn a_busy_server_is_left_to_its_queue_and_the_others_serve() {
    let Some(ward) = Ward::open("server_busy") else { return };
    ward.sick().fail(&json!({ "next": "busy_503", "times": 60 }));
    let tally = ward.load(&chat(CHAT_MODEL)).finish();
    assert_eq!(served(&tally), REQUESTS, "{tally:?}");
    // Being busy is no failure: it is asked again, and serves once it is not.
    assert!(tally.served_by("node2") > 0, "{tally:?}");
    ward.assert_none_twice(&WORKING, &tally, 0);
}

#[test]
fn a_500_is_the_clients_answer_and_no_other_node_works_for_it() {
    let Some(ward) = Ward::open("status_500") else { return };
    ward.sick().fail(&json!({ "next": "status_500", "times": 30 }));
    let tally = ward.load(&chat(CHAT_MODEL)).finish();
    assert_eq!((tally.count("500 node2"), served(&tally)), (30, REQUESTS - 30), "{tally:?}");
    ward.assert_none_twice(&WORKING, &tally, 0);
}

#[test]
fn a_model_that_was_removed_on_one_machine_is_a_404_until_its_list_is_read_which_the_404_itself_brings_about() {
    // The next regular check is far away.
    let Some(ward) = Ward::checked_every("status_404", "10m") else { return };
    ward.sick().remove_model(CHAT_MODEL);
    let tally = ward.load(&chat(CHAT_MODEL)).finish();
    let missing = tally.count("404 node2");
    assert_eq!(served(&tally) + missing, REQUESTS, "{tally:?}");
    assert!((1..REQUESTS / 5).contains(&missing) && tally.served_by("node2") == 0, "{tally:?}");
    ward.assert_none_twice(&WORKING, &tally, 0);
    let again = ward.load(&chat(CHAT_MODEL)).finish();
    assert_eq!((served(&again), again.served_by("node2")), (REQUESTS, 0), "{again:?}");
}
