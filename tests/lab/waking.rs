//! An inference request wakes the host: once for everybody, and whoever leaves.

use std::time::Duration;

use crate::plan::{CHAT_MODEL, Lab, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::Machine;

/// What the proxy may add to the time that the host itself takes to get up.
const OVERHEAD: Duration = Duration::from_millis(1500);
/// From the request to the last token on an awake host: 50 ms, then five tokens 20 ms apart, and some work.
const CHAT: Duration = Duration::from_millis(250);

fn asleep(plan: Plan) -> Option<Lab> {
    let lab = plan.start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    lab.forget_neighbours();
    Some(lab)
}

fn until_packets(lab: &Lab) {
    eventually("a magic packet arrives", LIMIT, || lab.gpu().status().magic > 0);
}

#[test]
fn a_chat_wakes_a_sleeping_host_with_a_magic_packet_and_adds_at_most_1_5_s() {
    let host = Machine::usual().resume(Duration::from_millis(2300));
    let Some(lab) = asleep(Plan::named("a_chat_wakes").host(host)) else { return };
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    let status = lab.gpu().status();
    assert_eq!(status.woken, 1);
    assert!(status.magic >= 1);
    assert!(answer.took < status.took() + CHAT + OVERHEAD, "{:?} for a host that took {:?}", answer.took, status.took());
}

#[test]
fn a_chat_wakes_a_host_that_boots_and_adds_at_most_1_5_s() {
    let host = Machine::usual().resume(Duration::from_secs(1)).boot(Duration::from_millis(2300));
    let Some(lab) = asleep(Plan::named("a_chat_boots").host(host)) else { return };
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    let status = lab.gpu().status();
    assert!(answer.took < status.took() + CHAT + OVERHEAD, "{:?} for a host that took {:?}", answer.took, status.took());
}

#[test]
fn packets_that_are_lost_while_the_host_is_still_falling_asleep_are_repeated() {
    let host = Machine::usual().arms_after(Duration::from_millis(2500));
    let Some(lab) = asleep(Plan::named("still_falling_asleep").host(host)) else { return };
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
    // The next packets after 2.5 s come at 4 s, 300 ms after the request at the latest.
    assert!(answer.took < Duration::from_secs(4) + lab.gpu().status().took() + CHAT + OVERHEAD, "{:?}", answer.took);
}

#[test]
fn fifty_chats_make_one_campaign_and_fifty_answers() {
    let host = Machine::usual().resume(Duration::from_millis(2500)).simulates("--tokens", "2").simulates("--token-gap", "1ms");
    let host = host.simulates("--first-token", "5ms");
    let Some(lab) = asleep(Plan::named("fifty_chats").host(host)) else { return };
    let calls: Vec<_> = (0..50).map(|_| lab.client().chat(CHAT_MODEL)).collect();
    for call in calls {
        call.finish().assert_whole_chat();
    }
    let status = lab.gpu().status();
    assert_eq!(status.woken, 1);
    // Rounds at 0, 0.1, 0.2, 1, 2 s; each of at most a broadcast and a unicast on two ports.
    assert!(status.magic <= 24, "more packets than one campaign sends: {status:?}");
    assert_eq!(lab.gpu().counters()["generations_started"], 50, "nothing is asked twice");
}

#[test]
fn the_first_requester_leaving_cancels_nothing_for_the_others() {
    let host = Machine::usual().resume(Duration::from_secs(6));
    let Some(lab) = asleep(Plan::named("the_first_leaves").host(host)) else { return };
    let first = lab.client().chat(CHAT_MODEL);
    until_packets(&lab);
    let others = [lab.client().chat(CHAT_MODEL), lab.client().chat(CHAT_MODEL)];
    pause(Duration::from_millis(200));
    first.leave();
    for other in others {
        other.finish().assert_whole_chat();
    }
    assert_eq!(lab.gpu().status().woken, 1);
    assert_eq!(lab.gpu().counters()["generations_started"], 2, "the one that left is not asked any more");
}

#[test]
fn when_all_leave_the_host_still_wakes_and_its_model_is_loaded() {
    let host = Machine::usual().resume(Duration::from_secs(6)).simulates("--load", "1s");
    let Some(lab) = asleep(Plan::named("all_leave").host(host)) else { return };
    let calls = [lab.client().chat(CHAT_MODEL), lab.client().chat(CHAT_MODEL)];
    until_packets(&lab);
    for call in calls {
        call.leave();
    }
    lab.gpu().until_awake(LIMIT);
    eventually("the model is loaded", LIMIT, || lab.gpu().counters()["loads_finished"] == 1);
    assert_eq!(lab.gpu().counters()["loads_aborted"], 0);
    assert_eq!(lab.gpu().counters()["generations_started"], 0, "nobody waits for an answer");
}

#[test]
fn a_client_that_leaves_during_the_load_after_a_wake_throws_nothing_away() {
    let host = Machine::usual().simulates("--load", "8s");
    let Some(lab) = asleep(Plan::named("leaves_during_the_load").host(host)) else { return };
    let call = lab.client().chat(CHAT_MODEL);
    lab.gpu().until_awake(LIMIT);
    eventually("the model loads", LIMIT, || lab.gpu().counters()["loads_started"] == 1);
    call.leave();
    eventually("the model is loaded", LIMIT, || lab.gpu().counters()["loads_finished"] == 1);
    assert_eq!(lab.gpu().counters()["loads_aborted"], 0);
}

#[test]
fn every_dialect_and_kind_of_inference_wakes() {
    let message = serde_json::json!([{ "role": "user", "content": "hello" }]);
    let asks = [
        ("/api/generate", serde_json::json!({ "model": CHAT_MODEL, "prompt": "hello", "stream": false })),
        ("/v1/chat/completions", serde_json::json!({ "model": CHAT_MODEL, "messages": message })),
        ("/v1/messages", serde_json::json!({ "model": CHAT_MODEL, "max_tokens": 9, "messages": message })),
        ("/api/embed", serde_json::json!({ "model": "nomic-embed-text", "input": "hello" })),
    ];
    let host = Machine::usual().resume(Duration::from_millis(200));
    let Some(lab) = asleep(Plan::named("every_dialect_wakes").host(host)) else { return };
    for (at, (path, body)) in (1..).zip(&asks) {
        let answer = lab.client().post(path, body).finish();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(lab.gpu().status().woken, at, "{path} wakes");
        lab.gpu().sleep();
    }
}
