//! The proxy ends in the middle of everything and starts again: it knows what it knew and wakes nobody.

use std::time::Duration;

use serde_json::json;

use super::{MODELS, NODES, SLEEPERS, assert_left_alone, chat_on, dormant, machine, plan_of, told, until_known};
use crate::plan::{CHAT_MODEL, PI_MAC};
use crate::program::{LIMIT, eventually, pause};
use crate::words::Ended;

#[test]
fn after_a_crash_in_the_middle_of_everything_the_catalog_is_back_and_nobody_is_woken_by_the_start() {
    let machines = (1..=4).map(|number| machine(number).resume(Duration::from_secs(5))).collect();
    let Some(mut lab) = plan_of("a_crash", machines, false, &[]).start() else { return };
    until_known(&lab, &NODES);
    // It writes every 10 s at most, and nobody waits for a crash.
    eventually("all that was read is on disk", LIMIT, || {
        let kept = lab.kept();
        NODES.iter().all(|node| kept[*node]["shows"].as_object().is_some_and(|shows| shows.len() == MODELS.len()))
    });
    let marks = dormant(&lab, &SLEEPERS);
    // A stream goes on at the second, the fourth is being woken, the first sleeps.
    lab.host("node2").set(&json!({ "token_gap_ms": 100, "tokens": 1000 }));
    let mut streaming = chat_on(&lab, "node2", CHAT_MODEL);
    streaming.until_first_byte();
    let waking = chat_on(&lab, "node4", CHAT_MODEL);
    eventually("packets are sent", LIMIT, || lab.host("node4").status().magic > 0);
    lab.crash_proxy();
    let (streaming, waking) = (streaming.finish(), waking.finish());
    assert!(streaming.ended != Ended::Clean && waking.ended != Ended::Clean, "never looks whole: {streaming:?} {waking:?}");
    assert_eq!((streaming.status, waking.status), (200, 0));

    let (first, fourth) = (lab.host("node1").mark(), lab.host("node4").mark());
    lab.start_proxy();
    let tags = lab.client().get("/api/tags").finish();
    for (model, _) in MODELS {
        assert!(tags.body.contains(model), "{model}: {tags:?}");
        let show = lab.client().post("/api/show", &json!({ "model": model })).finish();
        assert!(show.status == 200 && show.header("x-ollama-proxy-cache").is_some(), "{show:?}");
    }
    for node in NODES {
        assert_eq!(told(&lab, node)["models"].as_array().unwrap().len(), MODELS.len(), "{node}");
    }
    for _ in 0..5 {
        lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    }
    lab.host("node4").until_awake(LIMIT);
    pause(Duration::from_secs(1));
    assert_left_alone(&lab, &["node1"], &[first]);
    let frames = lab.host("node4").frames_from(PI_MAC, fourth);
    assert!(!frames.iter().any(|frame| frame.syn || frame.magic), "{frames:#?}");
    assert_eq!(lab.host("node1").frames_since(marks[0]).iter().filter(|frame| frame.magic).count(), 0);
}
