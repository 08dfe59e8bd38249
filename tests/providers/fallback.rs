//! Models that stand in for one that no node can serve in time.

use serde_json::{Value, json};

use crate::client::{self, Answer};
use crate::node::Node;
use crate::program::Scratch;
use crate::rig::{LOCAL, Rig, lines};
use crate::wire::Wire;

const CHAIN: &str = r#""fallback":{"Llama3.2:3B":["anthropic/claude-first"]}"#;

/// A rig whose node file says `file`.
async fn rig(file: &str, further: &[(&str, &str)]) -> (Rig, Scratch) {
    let scratch = Scratch::new();
    let path = scratch.join("nodes.json");
    std::fs::write(&path, format!("{{{file}}}")).unwrap();
    let further = further.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let all: Vec<(&str, String)> = further.chain([("NODE_CONFIG_FILE", path)]).collect();
    (Rig::with(&all).await, scratch)
}

fn chat(stream: bool) -> Value {
    json!({ "model": LOCAL, "max_tokens": 9, "stream": stream, "messages": [{ "role": "user", "content": "Hi" }] })
}

fn served_by(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status(), answer.head.get("x-ollama-proxy-node"))
}

#[tokio::test]
async fn when_the_node_is_gone_the_next_model_answers_in_every_dialect() {
    let (mut rig, _file) = rig(r#""fallback":{"Llama3.2:3B":["openai/gpt-4o-mini"]}"#, &[("FALLBACK_WAIT", "1s")]).await;
    rig.node.close().await;
    for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
        let answer = rig.post(path, &chat(false)).await;
        assert_eq!(served_by(&answer), (200, Some("openai")), "{path}: {}", answer.text());
        assert!(answer.text().contains("Hello there"), "{path}");
    }
    let stream = rig.post("/api/chat", &chat(true)).await;
    assert_eq!(lines(&stream).last().unwrap()["model"], "openai/gpt-4o-mini", "the answer names its model");
    let asked = rig.openai.bodies("POST /v1/chat/completions");
    assert!(asked.len() == 4 && asked.iter().all(|body| body["model"] == "gpt-4o-mini"), "{asked:?}");
}

#[tokio::test]
async fn a_model_has_its_stand_ins_in_every_spelling_of_its_name() {
    let file = r#""fallback":{"library/Llama3.2:3b ":["openai/gpt-4o-mini"]}"#;
    let (mut rig, _file) = rig(file, &[("FALLBACK_WAIT", "1s")]).await;
    rig.node.close().await;
    for model in [LOCAL, " LLAMA3.2:3B", "library/llama3.2:3b", "registry.ollama.ai/library/llama3.2:3b"] {
        let mut body = chat(false);
        body["model"] = model.into();
        let answer = rig.post("/api/chat", &body).await;
        assert_eq!(served_by(&answer), (200, Some("openai")), "{model:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_form_is_put_to_the_model_that_stands_in_and_keeps_its_file() {
    let file = r#""nodes":[{"name":"node1","models":["whisper-large-v3"]}],"fallback":{"whisper-large-v3":["openai/whisper-1"]}"#;
    let (mut rig, _file) = rig(file, &[("FALLBACK_WAIT", "1s")]).await;
    rig.node.close().await;
    let part = |head: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let form = |model: &str| {
        let file = part("name=\"file\"; filename=\"a.wav\"", "RIFF whisper-large-v3");
        format!("{file}{}--b--\r\n", part("name=\"model\"", model))
    };
    let headers = [("Content-Type", "multipart/form-data; boundary=b")];
    let answer = client::ask(rig.address, "POST /v1/audio/transcriptions", &headers, form("whisper-large-v3")).await;
    assert_eq!(served_by(&answer), (200, Some("openai")), "{}", answer.text());
    let heard = rig.openai.heard().into_iter().find(|heard| heard.asked.ends_with("/audio/transcriptions")).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard.raw), form("whisper-1"));
}

#[tokio::test]
async fn nothing_stands_in_without_a_wait_nor_for_a_client_that_names_its_node() {
    let (first, _first_file) = rig(CHAIN, &[]).await;
    let (second, _second_file) = rig(CHAIN, &[("FALLBACK_WAIT", "20s")]).await;
    let mut rigs = [first, second];
    for (rig, headers) in rigs.iter_mut().zip([&[][..], &[("X-Ollama-Proxy-Node", "node1")]]) {
        let (address, body) = (rig.address, chat(false).to_string());
        let asking = tokio::spawn(async move { client::ask(address, "POST /api/chat", headers, body).await });
        rig.node.next().await.answer("503 Service Unavailable", &[], r#"{"error":"server busy"}"#).await;
        assert_eq!(served_by(&asking.await.unwrap()), (503, Some("node1")));
    }
    for rig in rigs {
        assert_eq!(rig.anthropic.heard().iter().filter(|heard| heard.asked.starts_with("POST")).count(), 0);
    }
}

#[tokio::test]
async fn a_name_that_nobody_has_leads_to_no_other() {
    let (mut rig, _file) = rig(CHAIN, &[("FALLBACK_WAIT", "20s")]).await;
    let (address, body) = (rig.address, chat(false).to_string());
    let asking = tokio::spawn(async move { client::post(address, "/api/chat", &body).await });
    rig.node.next().await.answer("404 Not Found", &[], r#"{"error":"model 'llama3.2:3b' not found"}"#).await;
    assert_eq!(served_by(&asking.await.unwrap()), (404, Some("node1")));
}

#[tokio::test]
async fn a_node_that_is_full_for_too_long_is_left_for_the_next_model() {
    let file = format!(r#""nodes":[{{"name":"node1","capacity":1}}],{CHAIN}"#);
    let (mut rig, _file) = rig(&file, &[("FALLBACK_WAIT", "1s")]).await;
    let mut busy = Wire::connect(rig.address).await;
    busy.say(client::request("POST /api/chat", &[], chat(true).to_string())).await;
    let mut working = rig.node.next().await;
    working.body().await;
    let answer = rig.post("/api/chat", &chat(false)).await;
    assert_eq!(served_by(&answer), (200, Some("anthropic")), "{}", answer.text());
    working.answer_chat().await;
    assert_eq!(busy.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn after_the_first_byte_nobody_stands_in() {
    let (mut rig, _file) = rig(CHAIN, &[("FALLBACK_WAIT", "20s")]).await;
    let (address, body) = (rig.address, chat(true).to_string());
    let asking = tokio::spawn(async move { client::post(address, "/api/chat", &body).await });
    let mut working = rig.node.next().await;
    working.begin("application/x-ndjson").await;
    working.chunk("{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}\n").await;
    working.reset().await;
    let answer = asking.await.unwrap();
    assert_eq!(served_by(&answer), (200, Some("node1")));
    assert!(lines(&answer).last().unwrap()["error"].is_string(), "{}", answer.text());
    assert_eq!(rig.anthropic.heard().iter().filter(|heard| heard.asked.starts_with("POST")).count(), 0);
}

/// A node that sleeps, and the service that its wake URL is at.
async fn asleep(counts: &str) -> (Rig, Node, Scratch) {
    let service = Node::start();
    let wait = [("FALLBACK_WAIT", "1s"), ("FALLBACK_ASLEEP", counts), ("WAKE_URL", &service.url()), ("HEALTH_INTERVAL", "0")];
    let (mut rig, file) = rig(r#""fallback":{"llama3.2:3b":["openai/gpt-4o-mini"]}"#, &wait).await;
    rig.node.sleep().await;
    (rig, service, file)
}

#[tokio::test]
async fn where_asleep_counts_the_next_model_answers_while_the_pc_wakes() {
    let (mut rig, mut service, _file) = asleep("true").await;
    let answer = rig.post("/api/chat", &chat(false)).await;
    assert_eq!(served_by(&answer), (200, Some("openai")), "{}", answer.text());
    service.next().await.answer("200 OK", &[], "ok").await;
    rig.node.wake();
    while !rig.get("/nodes").await.text().contains("\"state\":\"awake\"") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let (address, body) = (rig.address, chat(true).to_string());
    let asking = tokio::spawn(async move { client::post(address, "/api/chat", &body).await });
    rig.node.next().await.answer_chat().await;
    assert_eq!(served_by(&asking.await.unwrap()), (200, Some("node1")), "its wake was not in vain");
}

#[tokio::test]
async fn where_asleep_does_not_count_the_client_waits_for_the_pc() {
    let (mut rig, mut service, _file) = asleep("false").await;
    let mut client = Wire::connect(rig.address).await;
    client.say(client::request("POST /api/chat", &[], chat(true).to_string())).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    // Longer than the wait.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    client.is_quiet().await;
    rig.node.wake();
    rig.node.next().await.answer_chat().await;
    assert_eq!(served_by(&client.answer("POST").await), (200, Some("node1")));
    assert!(rig.openai.bodies("POST /v1/chat/completions").is_empty());
}

#[tokio::test]
async fn when_all_fail_the_client_is_told_of_each() {
    let (mut rig, _file) = rig(
        r#""fallback":{"llama3.2:3b":["anthropic/claude-first","openai/gpt-4o-mini"]}"#,
        &[("FALLBACK_WAIT", "1s"), ("ANTHROPIC_API_KEY", "wrong-key-of-anthropic"), ("OPENAI_API_KEY", "wrong-key-of-openai")],
    )
    .await;
    rig.node.close().await;
    let answer = rig.post("/api/chat", &chat(false)).await;
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let told = answer.error();
    assert!(
        told.contains("node1")
            && told.contains("anthropic/claude-first in its place")
            && told.contains("openai/gpt-4o-mini in its place"),
        "{told}"
    );
    assert!(!told.contains("wrong-key"), "{told}");
}
