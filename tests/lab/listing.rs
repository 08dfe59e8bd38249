//! What needs no GPU is answered from memory, whatever the host does.

use std::time::Duration;

use serde_json::json;

use crate::calls::{Answer, Client};
use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::{Machine, Wakes};

/// The promise to clients that poll.
const PROMPT: Duration = Duration::from_millis(50);
/// A proxy that waits for a node at all waits for its first 300 ms; the machine of the tests may be busy for less.
const NEVER_WAITS: Duration = Duration::from_millis(250);
const ROUNDS: usize = 5;

/// One of each request that pollers make. All are begun at once, as a page does that loads.
pub fn poll(client: &Client) -> Vec<(&'static str, Answer)> {
    let show = json!({ "model": CHAT_MODEL });
    let lists = ["/api/tags", "/api/version", "/api/ps", "/v1/models"];
    let own = ["/", "/health", "/metrics", "/nodes", "/topology", "/ui/topology.js", "/topology.json", "/summary", "/journal"];
    let mut calls: Vec<_> = lists.iter().chain(&own).map(|path| (*path, client.get(path))).collect();
    calls.push(("/api/show", client.post("/api/show", &show)));
    calls.into_iter().map(|(path, call)| (path, call.finish())).collect()
}

/// All of them answer 200, typically within 50 ms, and none ever waits for a node.
#[track_caller]
fn assert_prompt(lab: &Lab) {
    let rounds: Vec<_> = (0..ROUNDS).map(|_| poll(lab.client())).collect();
    for at in 0..rounds[0].len() {
        let path = rounds[0][at].0;
        for round in &rounds {
            assert_eq!(round[at].1.status, 200, "{path}: {:?}", round[at].1);
        }
        let mut took: Vec<Duration> = rounds.iter().map(|round| round[at].1.took).collect();
        took.sort();
        assert!(took[ROUNDS / 2] <= PROMPT && took[ROUNDS - 1] <= NEVER_WAITS, "{path} took {took:?}");
    }
    let tags = &rounds[0][0].1;
    assert!(tags.body.contains(CHAT_MODEL), "{tags:?}");
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_sleeps() {
    let Some(lab) = Plan::named("lists_while_asleep").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    assert_prompt(&lab);
    assert_eq!(lab.client().get("/api/ps").finish().json(), json!({ "models": [] }));
    assert_eq!(lab.gpu().status().power, "asleep");
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_sleeps_after_a_restart_of_the_proxy() {
    let Some(mut lab) = Plan::named("lists_after_a_restart").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    let mark = lab.gpu().mark();
    lab.restart_proxy();
    assert_prompt(&lab);
    let frames = lab.gpu().frames_since(mark);
    assert!(!frames.iter().any(|frame| frame.syn || frame.magic), "a known catalog needs no first contact: {frames:?}");
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_sleeps_with_a_cache_older_than_its_ttl() {
    let Some(lab) = Plan::named("lists_with_an_old_cache").setting("--cache-ttl", "1s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    assert_prompt(&lab);
    let tags = lab.client().get("/api/tags").finish();
    assert_eq!(tags.header("x-ollama-proxy-cache"), Some("stale"), "{tags:?}");
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_is_being_woken() {
    let host = Machine::usual().wakes(Wakes::Never);
    let Some(lab) = Plan::named("lists_during_a_wake").host(host).start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    let _held = lab.client().chat(CHAT_MODEL);
    eventually("packets go out", LIMIT, || lab.gpu().status().magic > 0);
    assert_prompt(&lab);
}

#[test]
fn health_calls_a_sleeping_host_that_can_be_woken_healthy() {
    let Some(lab) = Plan::named("health_of_a_sleeper").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    let health = lab.client().get("/health").finish().json();
    assert_eq!((&health["status"], &health["healthy_nodes"]), (&json!("healthy"), &json!(1)), "{health}");
}
