//! Law 1: a dormant host gets no packet that no inference request asked for.

use std::time::Duration;

use tokio::time::Instant;

use crate::calls::Answer;
use crate::listing::poll;
use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, PI_MAC, Plan};
use crate::program::pause;
use crate::sleeper::{Machine, Wakes};

/// Within this time after the last answer the kernels may still check their neighbour entries.
const SETTLING: Duration = Duration::from_secs(15);
/// How long clients poll while the card is watched.
const WATCHED: Duration = Duration::from_secs(60);
/// Clients poll this often.
const PERIOD: Duration = Duration::from_secs(1);

/// The pages and all their parts, as browsers that reload them ask for them.
fn pages(lab: &Lab) -> Vec<(String, Answer)> {
    let parts = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard/ui")).unwrap();
    let names = parts.map(|part| part.unwrap().file_name().into_string().unwrap());
    let served = names.filter(|name| [".js", ".css", ".svg", ".webmanifest"].iter().any(|kind| name.ends_with(kind)));
    let paths: Vec<String> =
        ["/", "/topology"].map(str::to_owned).into_iter().chain(served.map(|name| format!("/ui/{name}"))).collect();
    let calls: Vec<_> = paths.iter().map(|path| lab.client().get_with(path, "Accept: text/html,*/*")).collect();
    paths.iter().cloned().zip(calls.into_iter().map(crate::calls::Call::finish)).collect()
}

fn poll_for(lab: &Lab, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for (path, answer) in poll(lab.client()) {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
        for (path, answer) in pages(lab) {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert!(path != "/" || answer.body.contains("<html"), "{answer:?}");
        }
        pause(PERIOD);
    }
}

/// After real work the host sleeps (or not), and clients poll everything while its card is watched. The cache expires in
/// that time, and the regular check of always-on nodes would come round. Two pages follow the events: one since before the
/// host slept, one that was opened then.
fn assert_unseen(test: &str, wakes: Wakes, sleeps: bool) {
    let plan = Plan::named(test).host(Machine::usual().wakes(wakes)).setting("--cache-ttl", "10s");
    let Some(lab) = plan.start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    let mut followed = lab.client().get("/events");
    followed.until_first_byte();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    // Within 5 s of an answer the host counts as in use and `/api/ps` may ask it; no PC falls asleep that soon.
    poll_for(&lab, EVIDENCE);
    if sleeps {
        lab.gpu().sleep();
    }
    poll_for(&lab, SETTLING);
    assert_eq!(lab.connections_to_gpu(), "", "no connection stays established");
    let mark = lab.gpu().mark();
    let mut opened = lab.client().get("/events");
    opened.until_first_byte();
    let heard = [followed.received_now(), opened.received_now()];
    poll_for(&lab, WATCHED);
    let frames = lab.gpu().frames_from(PI_MAC, mark);
    assert!(frames.is_empty(), "{} frames from the Pi: {frames:#?}", frames.len());
    assert!(followed.received_now() > heard[0] && opened.received_now() > heard[1], "the pages were kept up to date");
    assert_eq!(lab.connections_to_gpu(), "", "no connection stays established");
    assert_eq!(lab.gpu().status().power, if sleeps { "asleep" } else { "awake" });
    assert_eq!(lab.gpu().status().woken, 0);
}

#[test]
fn a_sleeping_host_sees_no_frame_while_clients_poll_for_a_minute() {
    assert_unseen("dormant_asleep", Wakes::ByMagic, true);
}

#[test]
fn a_sleeping_host_that_wakes_on_connections_sees_no_frame_while_clients_poll_for_a_minute() {
    assert_unseen("dormant_asleep_syn", Wakes::BySyn, true);
}

#[test]
fn a_sleeping_host_that_answers_arp_sees_no_frame_while_clients_poll_for_a_minute() {
    assert_unseen("dormant_asleep_arp", Wakes::ByMagicAnsweringArp, true);
}

#[test]
fn an_awake_but_dormant_host_sees_no_frame_while_clients_poll_for_a_minute() {
    assert_unseen("dormant_awake", Wakes::ByMagic, false);
}

#[test]
fn polling_what_only_an_awake_host_can_answer_lets_it_become_dormant() {
    let Some(lab) = Plan::named("dormant_unknown_paths").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    let verbose = serde_json::json!({ "model": CHAT_MODEL, "verbose": true });
    let poll_for = |time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            lab.client().post("/api/show", &verbose).finish();
            lab.client().get("/api/experimental/model-recommendations").finish();
            pause(PERIOD);
        }
    };
    poll_for(SETTLING);
    let mark = lab.gpu().mark();
    poll_for(Duration::from_secs(5));
    let frames = lab.gpu().frames_from(PI_MAC, mark);
    assert!(frames.is_empty(), "{} frames from the Pi: {frames:#?}", frames.len());
}
