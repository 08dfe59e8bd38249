//! What changes models: on the one machine that it is meant for, or on every machine that has the model.

use std::time::Duration;

use serde_json::{Value, json};

use super::{NODES, SLEEPERS, assert_left_alone, dormant, machine, plan_of, until_known};
use crate::calls::Answer;
use crate::plan::{CHAT_MODEL, Lab};

/// What the hosts take to get up; far more than anything else in these tests.
const RESUME: Duration = Duration::from_secs(4);

fn asleep(test: &str) -> Option<(Lab, Vec<usize>)> {
    let lab = plan_of(test, (1..=4).map(|number| machine(number).resume(RESUME)).collect(), true, &[]).start()?;
    until_known(&lab, &NODES);
    let marks = dormant(&lab, &SLEEPERS);
    Some((lab, marks))
}

#[track_caller]
fn assert_served_by(answer: &Answer, node: &str) {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    assert_eq!(answer.header("x-ollama-proxy-node"), Some(node), "{answer:?}");
}

fn pull(lab: &Lab, header: &str, model: &str) -> Answer {
    lab.client().post_with("/api/pull", header, &json!({ "model": model, "stream": false })).finish()
}

#[test]
fn a_pull_goes_to_the_awake_machine_that_fits_or_to_the_named_one_or_wakes_the_one_that_fits() {
    let Some((lab, marks)) = asleep("pulls") else { return };
    assert_served_by(&pull(&lab, "X-A: b", "qwen3:4b"), "node3");
    assert_served_by(&pull(&lab, "X-Ollama-Proxy-Node: node2", "qwen3:8b"), "node2");
    assert_served_by(&pull(&lab, "X-A: b", "llama2:70b"), "node2");
    assert_left_alone(&lab, &SLEEPERS, &marks);
    assert!(lab.host("node3").models().contains(&"qwen3:4b".to_owned()));
    let tags = lab.client().get("/api/tags").finish().body;
    assert!(["qwen3:4b", "qwen3:8b", "llama2:70b"].iter().all(|model| tags.contains(model)), "{tags}");
    assert_served_by(&pull(&lab, "X-A: b", "gpt-oss:120b"), "node1");
    assert_eq!(lab.host("node4").status().power, "asleep");
}

#[test]
fn blobs_go_to_the_first_awake_machine_and_a_create_follows_them() {
    let Some((lab, marks)) = asleep("blobs") else { return };
    // The digest of the JSON text `{}`.
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let create = json!({ "model": "mine", "files": { "a.gguf": digest }, "stream": false });
    let conflict = lab.client().post("/api/create", &create).finish();
    assert_eq!(conflict.status, 409, "{conflict:?}");
    let path = format!("/api/blobs/{digest}");
    assert_served_by(&lab.client().post(&path, &json!({})).finish(), "node2");
    assert_served_by(&lab.client().post("/api/create", &create).finish(), "node2");
    assert!(lab.host("node2").models().iter().any(|model| model.starts_with("mine")));
    assert_left_alone(&lab, &SLEEPERS, &marks);
}

fn holders(lab: &Lab, model: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| lab.host(node).models().iter().any(|known| known == model)).collect()
}

#[test]
fn a_copy_and_a_delete_act_on_every_machine_and_wake_all_that_sleep_together() {
    let Some((lab, _)) = asleep("on_every_machine") else { return };
    let copied = lab.client().post("/api/copy", &json!({ "source": CHAT_MODEL, "destination": "mine:latest" })).finish();
    assert_eq!(copied.status, 200, "{copied:?}");
    assert!(copied.took < RESUME * 2, "one wake after the other: {:?}", copied.took);
    assert_eq!(SLEEPERS.map(|node| lab.host(node).status().woken), [1, 1]);
    assert_eq!(holders(&lab, "mine:latest"), NODES);
    let deleted = lab.client().delete("/api/delete", &json!({ "model": CHAT_MODEL })).finish();
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert!(holders(&lab, CHAT_MODEL).is_empty());
    let tags = lab.client().get("/api/tags").finish().body;
    assert!(tags.contains("mine:latest") && !tags.contains(&format!("\"{CHAT_MODEL}\"")), "{tags}");
}

#[test]
fn a_delete_that_fails_on_one_machine_names_it_and_is_done_on_the_others() {
    let Some((lab, _)) = asleep("fails_on_one") else { return };
    lab.host("node3").fail(&json!({ "next": "status_500", "path": "/api/delete" }));
    let answer = lab.client().delete("/api/delete", &json!({ "model": CHAT_MODEL })).finish();
    assert_eq!(answer.status, 502, "{answer:?}");
    let told: Value = answer.json();
    let text = told["error"].as_str().unwrap();
    assert!(text.contains("node3") && !["node1", "node2", "node4"].iter().any(|node| text.contains(node)), "{text}");
    assert_eq!(holders(&lab, CHAT_MODEL), ["node3"]);
}
