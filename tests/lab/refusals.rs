//! Requests that must not wake the host, however much they look like work.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{Answer, chat};
use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, Plan};
use crate::program::pause;

fn dormant(plan: Plan) -> Option<Lab> {
    let lab = plan.start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    Some(lab)
}

/// Asks, and fails the test if a magic packet went out then or soon after.
#[track_caller]
fn without_a_packet(lab: &Lab, path: &str, body: &Value) -> Answer {
    let answer = lab.client().post(path, body).finish();
    pause(Duration::from_millis(500));
    assert_eq!(lab.gpu().status().magic, 0, "{path} sent a packet: {answer:?}");
    answer
}

#[test]
fn unloading_a_model_of_a_sleeping_host_is_answered_without_a_wake() {
    let Some(lab) = dormant(Plan::named("unload_asleep")) else { return };
    for (path, body) in [
        ("/api/generate", json!({ "model": CHAT_MODEL, "keep_alive": 0 })),
        ("/api/chat", json!({ "model": CHAT_MODEL, "messages": [], "keep_alive": 0 })),
    ] {
        let answer = without_a_packet(&lab, path, &body);
        assert_eq!((answer.status, &answer.json()["done_reason"]), (200, &json!("unload")), "{path}");
    }
}

#[test]
fn a_model_that_is_not_listed_gets_404_in_ollamas_words_without_a_wake() {
    let Some(lab) = dormant(Plan::named("unlisted_asleep")) else { return };
    let answer = without_a_packet(&lab, "/api/chat", &chat("no-such-model"));
    assert_eq!((answer.status, answer.json()), (404, json!({ "error": "model 'no-such-model' not found" })));
}

#[test]
fn malformed_json_gets_400_without_a_wake() {
    let Some(lab) = dormant(Plan::named("malformed_asleep")) else { return };
    let answer = without_a_packet(&lab, "/api/chat", &json!("no object"));
    assert_eq!(answer.status, 400, "{answer:?}");
}

#[test]
fn a_client_that_forbids_waking_gets_503_at_once() {
    let Some(lab) = dormant(Plan::named("wake_forbidden")) else { return };
    let answer = lab.client().post_with("/api/chat", "X-Ollama-Proxy-Wake: never", &chat(CHAT_MODEL)).finish();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.took < Duration::from_secs(10), "{:?}", answer.took);
    pause(Duration::from_millis(500));
    assert_eq!(lab.gpu().status().magic, 0);
}

#[test]
fn paths_that_the_owner_excludes_never_wake() {
    let Some(lab) = dormant(Plan::named("excluded_path").setting("--never-wake-paths", "/api/embed*")) else { return };
    let answer = without_a_packet(&lab, "/api/embed", &json!({ "model": CHAT_MODEL, "input": "hello" }));
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[test]
fn a_person_wakes_the_host_and_is_told_how_long_it_took() {
    let Some(lab) = dormant(Plan::named("woken_by_a_person")) else { return };
    let answer = lab.client().post("/nodes/node1/wake?wait=1", &json!({})).finish();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0), "{answer:?}");
    assert_eq!(lab.gpu().status().woken, 1);
}
