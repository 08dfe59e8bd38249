//! What needs no GPU is answered from memory, whatever the host does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::calls::{Answer, Client};
use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::{Machine, Wakes};

/// The promise to clients that poll.
const PROMPT: Duration = Duration::from_millis(50);
/// Rounds that are prompt. A proxy that waits for a node waits 300 ms in each.
const ROUNDS: usize = 5;
/// A machine that does much else pauses now and then: rounds in which one answer or another is late are made up for.
const MORE_ROUNDS: usize = 300;
/// Longer than the machine pauses, and shorter than the proxy would wait for an answer or a wake.
const NEVER_WAITS: Duration = Duration::from_secs(8);

/// One of each request that pollers make. All are begun at once, as a page does that loads.
pub fn poll(client: &Client) -> Vec<(&'static str, Answer)> {
    let show = json!({ "model": CHAT_MODEL });
    let lists = ["/api/tags", "/api/version", "/api/ps", "/v1/models"];
    let own = ["/", "/health", "/metrics", "/nodes", "/topology", "/ui/topology.js", "/topology.json", "/summary", "/journal"];
    let mut calls: Vec<_> = lists.iter().chain(&own).map(|path| (*path, client.get(path))).collect();
    calls.push(("/api/show", client.post("/api/show", &show)));
    calls.into_iter().map(|(path, call)| (path, call.finish())).collect()
}

/// All of them answer 200 and within 50 ms, but for what the machine takes for itself, and none waits for a node.
#[track_caller]
fn assert_prompt(lab: &Lab) {
    let mut took: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..MORE_ROUNDS {
        for (path, answer) in poll(lab.client()) {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert!(answer.took <= NEVER_WAITS, "{path} took {:?}", answer.took);
            assert!(path != "/api/tags" || answer.body.contains(CHAT_MODEL), "{answer:?}");
            took.entry(path).or_default().push(answer.took);
        }
        if took.values().all(|took| took.iter().filter(|time| **time <= PROMPT).count() >= ROUNDS) {
            return;
        }
    }
    for took in took.values_mut() {
        took.sort();
    }
    panic!("not within {PROMPT:?} in {MORE_ROUNDS} rounds: {took:#?}");
}

/// Nothing that would be waited for was sent to the host since the mark.
#[track_caller]
fn assert_unasked(lab: &Lab, mark: usize) {
    let frames = lab.gpu().frames_since(mark);
    assert!(!frames.iter().any(|frame| frame.syn || frame.magic), "{frames:?}");
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_sleeps() {
    let Some(lab) = Plan::named("lists_while_asleep").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    let mark = lab.gpu().mark();
    assert_prompt(&lab);
    assert_unasked(&lab, mark);
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
    // A known catalog needs no first contact.
    assert_unasked(&lab, mark);
}

#[test]
fn lists_are_answered_within_50_ms_while_the_host_sleeps_with_a_cache_older_than_its_ttl() {
    let Some(lab) = Plan::named("lists_with_an_old_cache").setting("--cache-ttl", "1s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    pause(EVIDENCE);
    let mark = lab.gpu().mark();
    assert_prompt(&lab);
    assert_unasked(&lab, mark);
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
