//! Awake while working, shown with the system's real `systemd-inhibit`.

use std::process::Command;

use crate::house::{slow, stream, worker};
use crate::logind::Logind;
use crate::rig::{Node, PATIENCE, Scratch, get, pause, post};

#[test]
fn the_system_is_held_awake_exactly_while_a_request_runs() {
    let (node, scratch) = (slow(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker = worker(&node, &logind, &scratch, None, &[]);
    assert_eq!(get(worker.address, "/api/tags").status, 200);
    assert_eq!(logind.taken(), 0, "a look at the list is no work");
    let (first, second) = (stream(worker.address), stream(worker.address));
    logind.until_held(1);
    let [what, who, _, mode] = &logind.held()[0];
    assert_eq!((what.as_str(), who.as_str(), mode.as_str()), ("sleep:idle", "ollama-proxy", "block"));
    drop(first);
    until_running(&node, 1);
    assert_eq!(logind.held().len(), 1, "the other one still runs");
    drop(second);
    logind.until_held(0);
    assert_eq!(logind.taken(), 1, "one hold for all requests of its time");
    drop(stream(worker.address));
    logind.until_held(0);
}

/// Until so many requests run in this Ollama.
fn until_running(node: &Node, count: u64) {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if node.counters().running == count {
            return;
        }
        pause();
    }
    panic!("{} run", node.counters().running);
}

#[test]
fn a_worker_that_is_killed_holds_nothing_any_more() {
    let (node, scratch) = (slow(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker = worker(&node, &logind, &scratch, None, &[]);
    let open = stream(worker.address);
    logind.until_held(1);
    assert!(Command::new("kill").args(["-9", &worker.pid().to_string()]).status().unwrap().success());
    logind.until_held(0);
    drop(open);
}

#[test]
fn a_lease_holds_without_a_request_and_ends_by_itself() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker = worker(&node, &logind, &scratch, None, &[]);
    for bad in ["", "{}", r#"{"ttl":0}"#, r#"{"ttl":-5}"#, r#"{"ttl":"soon"}"#, "[1]"] {
        assert_eq!(post(worker.address, "/hold", bad).status, 400, "{bad}");
    }
    assert_eq!(get(worker.address, "/hold").status, 405);
    assert_eq!(logind.taken(), 0);
    let answer = post(worker.address, "/hold", r#"{"ttl":2}"#);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"held_for":2.0}"#));
    logind.until_held(1);
    logind.until_held(0);
    assert_eq!(post(worker.address, "/hold", r#"{"ttl":9999999}"#).body, r#"{"held_for":3600.0}"#);
}

#[test]
fn with_a_key_nobody_without_it_holds_the_machine_or_sends_it_to_sleep() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker = worker(&node, &logind, &scratch, None, &["--internal-api-key", "secret", "--suspend-command", "true"]);
    for path in ["/hold", "/sleep"] {
        assert_eq!(post(worker.address, path, r#"{"ttl":60}"#).status, 401, "{path}");
    }
    assert_eq!(logind.taken(), 0);
}
