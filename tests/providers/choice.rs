//! Which requests go to a provider, and which stay with the nodes.

use serde_json::json;

use crate::client;
use crate::rig::Rig;

fn chat(model: &str) -> serde_json::Value {
    json!({ "model": model, "stream": false, "messages": [{ "role": "user", "content": "Hi" }] })
}

#[tokio::test]
async fn a_listed_name_needs_no_prefix_and_a_tag_that_clients_append_does_no_harm() {
    let rig = Rig::start().await;
    rig.listed().await;
    for model in ["gpt-4o-mini", "gpt-4o-mini:latest", "claude-second", "mini", "OPENAI/gpt-4o-mini"] {
        let answer = rig.post("/api/chat", &chat(model)).await;
        assert_eq!((answer.status(), &answer.json()["model"]), (200, &json!(model)), "{}", answer.text());
    }
    assert_eq!(rig.asked_of_node(), Vec::<String>::new());
}

#[tokio::test]
async fn names_of_ollama_go_to_the_node_with_their_slashes() {
    let mut rig = Rig::start().await;
    for model in ["hf.co/openai/gpt-4o-mini", "me/anthropic", "llama3.2:3b", "registry.ollama.ai/openai/gpt-oss"] {
        let body = chat(model).to_string();
        let asking = tokio::spawn(async move { client::post(rig.address, "/api/chat", &body).await });
        let mut exchange = rig.node.next().await;
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&exchange.body().await).unwrap()["model"], model);
        exchange.answer_chat().await;
        assert_eq!(asking.await.unwrap().status(), 200);
    }
    assert!(rig.openai.bodies("POST /v1/chat/completions").is_empty());
}

#[tokio::test]
async fn a_client_that_names_a_node_gets_the_node() {
    let mut rig = Rig::start().await;
    let body = chat("openai/gpt-4o-mini").to_string();
    let address = rig.address;
    let asking =
        tokio::spawn(async move { client::ask(address, "POST /api/chat", &[("X-Ollama-Proxy-Node", "node1")], body).await });
    rig.node.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().head.get("x-ollama-proxy-node"), Some("node1"));
    let answer =
        client::ask(address, "POST /api/chat", &[("X-Ollama-Proxy-Node", "openai")], chat("openai/gpt-4o-mini").to_string())
            .await;
    assert_eq!(answer.head.get("x-ollama-proxy-node"), Some("openai"));
}

#[tokio::test]
async fn what_a_provider_cannot_do_as_ollama_does_is_refused() {
    let rig = Rig::start().await;
    let answer = rig.post("/api/generate", &json!({ "model": "openai/gpt-4o-mini", "prompt": "a", "suffix": "b" })).await;
    assert_eq!(answer.status(), 400);
    assert!(answer.error().contains("`suffix` is not supported for cloud models"));
    let answer = client::post(rig.address, "/api/chat", "{\"model\":\"openai/gpt-4o-mini\",\"messages\":{}}").await;
    assert_eq!((answer.status(), answer.error()), (400, "`messages` must be a list".to_owned()));
    let answer = client::post(rig.address, "/v1/images/..%2f..%2fadmin", "{\"model\":\"openai/gpt-4o-mini\"}").await;
    assert_eq!(answer.status(), 400, "no path leads out of the provider's routes");
}
