//! The host falls asleep at the worst moments: it sends neither FIN nor RST, and a client must never take the rest for an answer.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::Answer;
use crate::plan::{CHAT_MODEL, Lab, Plan};
use crate::program::{LIMIT, eventually};
use crate::sleeper::Machine;
use crate::words::Ended;

/// `--model-timeout` of these tests: silence after which the host's life is checked.
const SILENCE: Duration = Duration::from_secs(3);
/// From the first check on, a dead host is known as dead within this time.
const DEATH: Duration = Duration::from_secs(15);

fn awake(test: &str, host: Machine) -> Option<Lab> {
    let lab = Plan::named(test).host(host).setting("--model-timeout", "3s").start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    Some(lab)
}

#[test]
fn a_host_that_falls_asleep_right_after_an_answer_is_woken_and_answers() {
    let Some(lab) = awake("asleep_after_an_answer", Machine::usual()) else { return };
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    lab.gpu().sleep();
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
    // Not by its silence.
    let most = lab.gpu().status().took() + SILENCE;
    assert!(answer.took < most, "the host took {:?}, the chat {:?}", lab.gpu().status().took(), answer.took);
}

#[test]
fn a_host_that_falls_asleep_before_the_first_byte_is_woken_and_asked_again() {
    let host = Machine::usual().simulates("--first-token", "2s");
    let Some(lab) = awake("asleep_before_the_first_byte", host) else { return };
    let call = lab.client().chat(CHAT_MODEL);
    eventually("it works", LIMIT, || lab.gpu().counters()["generations_started"] == 1);
    lab.gpu().sleep();
    let answer = call.finish();
    answer.assert_whole_chat();
    let status = lab.gpu().status();
    assert_eq!(status.woken, 1);
    let most = SILENCE + DEATH + status.took() + Duration::from_secs(4);
    assert!(answer.took < most, "{:?} is more than {most:?}", answer.took);
    assert_eq!(lab.gpu().counters()["generations_started"], 2);
}

/// Starts a stream, lets the host fall asleep after its first byte, and returns what the client got.
fn cut_short(test: &str, path: &str, body: &Value) -> Option<(Lab, Answer)> {
    let host = Machine::usual().simulates("--tokens", "500");
    let lab = awake(test, host)?;
    let mut call = lab.client().post(path, body);
    call.until_first_byte();
    lab.gpu().sleep();
    let answer = call.finish();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.ended, Ended::Clean, "an in-band error needs a proper end of the chunks: {answer:?}");
    assert!(answer.took < answer.head_after + SILENCE + DEATH, "{:?}", answer.took);
    Some((lab, answer))
}

#[test]
fn a_native_stream_of_a_host_that_falls_asleep_ends_with_an_error_line() {
    let body = crate::calls::chat(CHAT_MODEL);
    let Some((_lab, answer)) = cut_short("asleep_in_a_native_stream", "/api/chat", &body) else { return };
    let lines = answer.lines();
    assert!(lines.last().is_some_and(|line| line["error"].is_string()), "{answer:?}");
    assert!(!lines.iter().any(|line| line["done"] == true), "{answer:?}");
}

#[test]
fn the_request_after_a_stream_that_broke_off_wakes_the_host() {
    let mut body = crate::calls::chat(CHAT_MODEL);
    let Some((lab, _)) = cut_short("asleep_in_a_stream_and_again", "/api/chat", &body) else { return };
    body["options"] = json!({ "num_predict": 3 });
    let again = lab.client().post("/api/chat", &body).finish();
    again.assert_whole_chat();
    assert!(again.took < lab.gpu().status().took() + SILENCE, "{:?}", again.took);
}

#[test]
fn an_openai_stream_of_a_host_that_falls_asleep_ends_with_an_error_and_no_done() {
    let mut body = crate::calls::chat(CHAT_MODEL);
    body["stream"] = json!(true);
    let Some((_lab, answer)) = cut_short("asleep_in_an_openai_stream", "/v1/chat/completions", &body) else { return };
    let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert!(error["error"]["message"].is_string(), "{error}");
    assert!(!answer.body.contains("[DONE]"), "{}", answer.body);
}

#[test]
fn an_anthropic_stream_of_a_host_that_falls_asleep_ends_with_an_error_event() {
    let mut body = crate::calls::chat(CHAT_MODEL);
    body["stream"] = json!(true);
    body["max_tokens"] = json!(1000);
    let Some((_lab, answer)) = cut_short("asleep_in_an_anthropic_stream", "/v1/messages", &body) else { return };
    let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("event: error\ndata: {\"type\":\"error\""), "{last}");
    assert!(!answer.body.contains("message_stop"), "{}", answer.body);
}

#[test]
fn a_whole_json_answer_of_a_host_that_falls_asleep_while_it_works_is_asked_for_again() {
    let host = Machine::usual().simulates("--first-token", "2s");
    let Some(lab) = awake("asleep_before_a_whole_answer", host) else { return };
    let mut body = crate::calls::chat(CHAT_MODEL);
    body["stream"] = json!(false);
    let call = lab.client().post("/api/chat", &body);
    eventually("it works", LIMIT, || lab.gpu().counters()["generations_started"] == 1);
    lab.gpu().sleep();
    let answer = call.finish();
    assert_eq!((answer.status, &answer.ended), (200, &Ended::Clean), "{answer:?}");
    assert_eq!(answer.json()["done"], true);
}
