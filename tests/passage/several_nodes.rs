//! Two nodes behind one address.

use serde_json::json;

use crate::client::{get, post};
use crate::node::{Exchange, Node};
use crate::proxy::Proxy;

/// Two nodes that are always on, whose lists the proxy has read.
async fn pair(first: &[&str], second: &[&str]) -> (Node, Node, Proxy) {
    let (first, second) = (Node::with_models(first), Node::with_models(second));
    let proxy = Proxy::before(&[&first, &second], &[]);
    for node in [&first, &second] {
        while node.count("GET /api/status") == 0 {
            tokio::task::yield_now().await;
        }
    }
    (first, second, proxy)
}

fn chat_with(model: &str) -> String {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}

#[tokio::test]
async fn their_lists_are_one_list() {
    let (_first, _second, proxy) = pair(&["a:1b", "both:3b"], &["both:3b", "z:7b"]).await;
    proxy.until("/api/tags", "z:7b").await;
    proxy.until("/api/tags", "a:1b").await;
    let list = get(proxy.address, "/api/tags").await.json();
    let mut names: Vec<&str> = list["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a:1b", "both:3b", "z:7b"]);
    assert_eq!(get(proxy.address, "/v1/models").await.json()["data"].as_array().unwrap().len(), 3);
}

/// Who serves a chat with this model.
async fn serves(first: &mut Node, second: &mut Node, proxy: &Proxy, model: &'static str) -> String {
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", &chat_with(model)).await });
    let exchange: Exchange = tokio::select! { at = first.next() => at, at = second.next() => at };
    exchange.answer_chat().await;
    asking.await.unwrap().head.get("x-ollama-proxy-node").unwrap().to_owned()
}

#[tokio::test]
async fn a_chat_goes_to_the_node_that_holds_the_model() {
    let (mut first, mut second, proxy) = pair(&["a:1b"], &["z:7b"]).await;
    proxy.until("/api/tags", "z:7b").await;
    proxy.until("/api/tags", "a:1b").await;
    for _ in 0..2 {
        assert_eq!(serves(&mut first, &mut second, &proxy, "z:7b").await, "node2");
        assert_eq!(serves(&mut first, &mut second, &proxy, "a:1b").await, "node1");
    }
}

#[tokio::test]
async fn a_show_comes_from_the_node_that_holds_the_model() {
    let (_first, second, proxy) = pair(&["a:1b"], &["z:7b"]).await;
    proxy.until("/api/tags", "z:7b").await;
    let answer = post(proxy.address, "/api/show", r#"{"model":"z:7b"}"#).await;
    assert_eq!((answer.status(), &answer.json()["modelfile"]), (200, &json!("# a show")));
    assert!(second.count("POST /api/show") > 0);
}

#[tokio::test]
async fn the_list_of_a_gone_node_stays_in_the_common_list() {
    let (_first, mut second, proxy) = pair(&["a:1b"], &["z:7b"]).await;
    proxy.until("/api/tags", "z:7b").await;
    second.close().await;
    proxy.until("/api/tags", "a:1b").await;
    assert!(get(proxy.address, "/api/tags").await.text().contains("z:7b"));
}

#[tokio::test]
async fn running_models_are_those_of_both() {
    let (mut first, mut second, proxy) = pair(&["a:1b"], &["z:7b"]).await;
    let asking = tokio::spawn(async move { get(proxy.address, "/api/ps").await });
    first.next().await.answer_json(&json!({ "models": [{ "name": "a:1b" }] })).await;
    second.next().await.answer_json(&json!({ "models": [{ "name": "z:7b" }] })).await;
    let answer = asking.await.unwrap().json();
    assert_eq!(answer["models"].as_array().unwrap().len(), 2, "{answer}");
}

#[tokio::test]
async fn a_node_that_does_not_tell_what_runs_is_left_out() {
    let (mut first, mut second, proxy) = pair(&["a:1b"], &["z:7b"]).await;
    let asking = tokio::spawn(async move { get(proxy.address, "/api/ps").await });
    let _silent = first.next().await;
    second.next().await.answer_json(&json!({ "models": [{ "name": "z:7b" }] })).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), &answer.json()), (200, &json!({ "models": [{ "name": "z:7b" }] })));
}
