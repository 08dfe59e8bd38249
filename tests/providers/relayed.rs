//! Clients of a provider's own dialect: their bytes pass, but for the name of the model.

use serde_json::json;

use crate::client;
use crate::openai::RESPONSES;
use crate::rig::{Rig, events};

#[tokio::test]
async fn an_openai_request_reaches_openai_as_it_was_said_and_its_stream_comes_back_byte_for_byte() {
    let rig = Rig::start().await;
    let body = |model: &str| {
        format!(
            "{{ \"stream\":true, \"model\" : \"{model}\", \"seed\":1.0e0, \"messages\":[{{\"role\":\"user\",\"content\":\"H\\u0069\"}}] }}"
        )
    };
    let answer = client::ask(
        rig.address,
        "POST /v1/chat/completions",
        &[("OpenAI-Beta", "x=1"), ("Cookie", "a=b"), ("Authorization", "Bearer the-clients-own")],
        body("openai/gpt-4o-mini"),
    )
    .await;
    let heard = &rig.openai.heard().into_iter().find(|heard| heard.asked == "POST /v1/chat/completions").unwrap();
    assert_eq!(String::from_utf8_lossy(&heard.raw), body("gpt-4o-mini"));
    assert_eq!(heard.header("openai-beta"), "x=1");
    assert!(!heard.headers.contains_key("cookie") && heard.headers.get_all("authorization").iter().count() == 1);
    let expected = events(&answer);
    assert_eq!(expected.last().unwrap(), "[DONE]");
    assert_eq!(expected[1]["model"], "gpt-4o-mini-2024-07-18", "nothing is translated");
    assert_eq!(answer.head.get("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.head.get("x-ollama-proxy-node"), Some("openai"));
}

#[tokio::test]
async fn a_whole_answer_and_embeddings_pass_as_they_are() {
    let rig = Rig::start().await;
    let answer = rig
        .post(
            "/v1/chat/completions",
            &json!({ "model": "openai/gpt-4o-mini", "messages": [{ "role": "user", "content": "Hi" }] }),
        )
        .await;
    assert_eq!((answer.status(), &answer.json()["id"]), (200, &json!("chatcmpl-x")));
    let answer = rig
        .post("/v1/embeddings", &json!({ "model": "openai/text-embedding-3-small", "input": "a", "encoding_format": "base64" }))
        .await;
    assert_eq!(answer.json()["data"][0]["embedding"], "AAAAPwAAgL4AAAA+");
}

#[tokio::test]
async fn responses_are_relayed_to_openai_and_refused_for_anthropic() {
    let rig = Rig::start().await;
    let answer = rig.post("/v1/responses", &json!({ "model": "openai/gpt-4o-mini", "input": "Hi", "stream": true })).await;
    assert_eq!(answer.text(), RESPONSES);
    let refused = rig.post("/v1/responses", &json!({ "model": "anthropic/claude-first", "input": "Hi" })).await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn an_anthropic_request_reaches_anthropic_with_its_own_headers() {
    let rig = Rig::start().await;
    let body = json!({ "model": "anthropic/claude-first", "max_tokens": 9, "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = client::ask(
        rig.address,
        "POST /v1/messages",
        &[("anthropic-version", "2023-06-01"), ("anthropic-beta", "b1"), ("x-api-key", "the-clients-own")],
        body.to_string(),
    )
    .await;
    assert!(answer.text().starts_with("event: message_start\n"), "{}", answer.text());
    assert!(answer.text().ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    let heard = rig.anthropic.heard().into_iter().find(|heard| heard.asked == "POST /v1/messages").unwrap();
    assert_eq!(heard.header("anthropic-beta"), "b1");
    assert_eq!(heard.body["model"], "claude-first");
}

#[tokio::test]
async fn a_body_in_zstd_is_opened_for_the_cloud() {
    let rig = Rig::start().await;
    let text = br#"{"model":"openai/gpt-4o-mini","input":"Hi","stream":true}"#;
    // One frame with one raw block, by hand.
    let length = u8::try_from(text.len()).unwrap();
    let block = (u32::from(length) << 3 | 1).to_le_bytes();
    let zstd = [&[0x28, 0xB5, 0x2F, 0xFD, 0x20, length][..], &block[..3], text].concat();
    let answer = client::ask(rig.address, "POST /v1/responses", &[("Content-Encoding", "zstd")], zstd).await;
    assert_eq!(answer.text(), RESPONSES);
    assert_eq!(rig.openai.bodies("POST /v1/responses")[0]["model"], "gpt-4o-mini");
}

#[tokio::test]
async fn azure_is_asked_by_its_deployment_with_its_own_header() {
    let rig = Rig::start().await;
    let body = json!({ "model": "azure/mini", "messages": [{ "role": "user", "content": "Hi" }], "stream": false });
    assert_eq!(rig.post("/api/chat", &body).await.json()["message"]["content"], "Hello there ü");
    assert_eq!(rig.openai.bodies("POST /openai/v1/chat/completions")[0]["model"], "mini");
    let older = Rig::with(&[("AZURE_OPENAI_API_VERSION", "2025-04-01-preview".to_owned())]).await;
    assert_eq!(older.post("/api/chat", &body).await.json()["message"]["content"], "Hello there ü");
    let asked = "POST /openai/deployments/mini/chat/completions?api-version=2025-04-01-preview";
    assert_eq!(older.openai.bodies(asked).len(), 1);
}
