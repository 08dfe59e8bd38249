//! The host does not come: the client learns it at the deadline, in its own dialect, with what to do.

use std::time::Duration;

use serde_json::json;

use crate::calls::{Answer, chat};
use crate::plan::{CHAT_MODEL, Lab, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::{Machine, Wakes};

const DEADLINE: Duration = Duration::from_secs(6);

fn asleep_for_ever(test: &str) -> Option<Lab> {
    let host = Machine::usual().wakes(Wakes::Never);
    let lab = Plan::named(test).host(host).setting("--wake-timeout", "6s").start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    Some(lab)
}

#[track_caller]
fn assert_gave_up(answer: &Answer) {
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(answer.took >= DEADLINE && answer.took < DEADLINE * 3, "{:?}", answer.took);
    assert!(answer.header("retry-after").is_some_and(|value| value.parse::<u32>().is_ok()), "{answer:?}");
    assert_eq!(answer.header("x-should-retry"), Some("false"), "{answer:?}");
}

#[test]
fn a_host_that_never_wakes_gives_504_at_the_deadline_in_each_dialect() {
    let Some(lab) = asleep_for_ever("never_wakes") else { return };
    let mut anthropic = chat(CHAT_MODEL);
    anthropic["max_tokens"] = json!(9);
    let calls = [
        lab.client().chat(CHAT_MODEL),
        lab.client().post("/v1/chat/completions", &chat(CHAT_MODEL)),
        lab.client().post("/v1/messages", &anthropic),
    ];
    let [native, openai, anthropic] = calls.map(crate::calls::Call::finish);
    for answer in [&native, &openai, &anthropic] {
        assert_gave_up(answer);
    }
    assert!(native.json()["error"].is_string(), "{native:?}");
    let error = &openai.json()["error"];
    assert!(error["message"].is_string() && error["type"].is_string() && error.get("code").is_some(), "{openai:?}");
    assert_eq!(anthropic.json()["type"], "error", "{anthropic:?}");
    assert!(anthropic.json()["error"]["message"].is_string(), "{anthropic:?}");
    assert!(lab.gpu().status().magic > 0);
}

#[test]
fn after_a_failed_wake_further_requests_are_told_at_once_and_then_may_try_again() {
    let Some(lab) = asleep_for_ever("after_a_failed_wake") else { return };
    assert_eq!(lab.client().chat(CHAT_MODEL).finish().status, 504);
    let packets = lab.gpu().status().magic;
    let told = lab.client().chat(CHAT_MODEL).finish();
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.took < DEADLINE, "{:?}", told.took);
    assert_eq!(lab.gpu().status().magic, packets, "no packet within the back-off");
    pause(Duration::from_secs(10));
    let _again = lab.client().chat(CHAT_MODEL);
    eventually("a new campaign begins", LIMIT, || lab.gpu().status().magic > packets);
}

#[test]
fn a_host_that_is_up_without_ollama_gives_502_that_says_so_and_gets_no_packet() {
    let Some(lab) = Plan::named("ollama_dead").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().kill_ollama();
    let answer = lab.client().chat(CHAT_MODEL).finish();
    assert_eq!(answer.status, 502, "{answer:?}");
    let text = answer.json()["error"].as_str().unwrap_or_default().to_lowercase();
    assert!(text.contains("refuse") && text.contains("ollama"), "{text}");
    assert_eq!(lab.gpu().status().magic, 0);
}

#[test]
fn an_ollama_that_is_only_restarted_is_waited_for_without_a_packet() {
    // Otherwise the answered chat is followed by the preventive call of `--wake-interval`.
    let Some(lab) = Plan::named("ollama_restarted").setting("--wake-interval", "0").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().kill_ollama();
    let call = lab.client().chat(CHAT_MODEL);
    pause(Duration::from_secs(2));
    lab.gpu().start_ollama();
    call.finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().magic, 0);
}

#[test]
fn a_port_that_refuses_during_the_boot_is_waited_for_and_packets_stop() {
    let host = Machine::usual().resume(Duration::from_millis(500)).boot(Duration::from_secs(5));
    let Some(lab) = Plan::named("refused_during_boot").host(host).start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
    let mut frames = lab.gpu().frames_since(0);
    frames.retain(|frame| frame.magic);
    // Without the refusals there were rounds at 2 s and at 4 s.
    assert!(frames.iter().all(|frame| frame.at < frames[0].at + 1800), "{frames:?}");
}
