//! What is answered from memory, what is forwarded, and in which words a missing model is told.

use std::sync::Arc;

use serde_json::json;

use crate::client::{Answer, ask, get, post};
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::Proxy;
use crate::wire::PATIENCE;

const MODEL: &str = "llama3.2:3b";

/// A proxy that learnt from an earlier run that its node, a sleeper, holds [`MODEL`]; the node is gone now.
async fn before_a_known_sleeper(flags: &[(&str, &str)]) -> (Proxy, Node) {
    let mut node = Node::with_models(&[MODEL]);
    let scratch = Arc::new(Scratch::new());
    let proxy = Proxy::remembering(&scratch, &[&node], &[SLEEPER]);
    proxy.until("/api/tags", MODEL).await;
    until_shown(&proxy).await;
    proxy.end().await;
    node.close().await;
    (Proxy::remembering(&scratch, &[&node], &[&[SLEEPER], flags].concat()), node)
}

/// A node on loopback that is taken for one that may sleep.
const SLEEPER: (&str, &str) = ("always-on", "false");

/// Waits until the show of [`MODEL`] is answered from memory.
async fn until_shown(proxy: &Proxy) {
    while show(proxy).await.head.get("x-ollama-proxy-cache").is_none() {
        tokio::task::yield_now().await;
    }
}

async fn show(proxy: &Proxy) -> Answer {
    post(proxy.address, "/api/show", &json!({ "model": MODEL }).to_string()).await
}

#[tokio::test]
async fn the_list_is_answered_while_the_node_is_gone() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let answer = get(proxy.address, "/api/tags").await;
    assert_eq!((answer.status(), answer.head.get("content-type")), (200, Some("application/json; charset=utf-8")));
    assert_eq!(answer.json()["models"][0]["name"], MODEL);
}

#[tokio::test]
async fn a_head_of_the_list_tells_its_length_and_has_no_body() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let length = get(proxy.address, "/api/tags").await.body.len().to_string();
    let answer = ask(proxy.address, "HEAD /api/tags", &[], "").await;
    assert_eq!((answer.status(), answer.head.get("content-length")), (200, Some(length.as_str())));
}

#[tokio::test]
async fn version_status_and_running_models_are_answered_while_the_node_is_gone() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    assert_eq!(get(proxy.address, "/api/version").await.json(), json!({ "version": "0.12.6" }));
    assert_eq!(get(proxy.address, "/api/status").await.json()["cloud"]["source"], "env");
    assert_eq!(get(proxy.address, "/api/ps").await.json(), json!({ "models": [] }));
}

#[tokio::test]
async fn a_show_is_answered_while_the_node_is_gone() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let answer = show(&proxy).await;
    assert_eq!((answer.status(), &answer.json()["modelfile"]), (200, &json!("# a show")));
    let by_name = post(proxy.address, "/api/show", r#"{"name":"LLAMA3.2:3B"}"#).await;
    assert_eq!(by_name.status(), 200);
}

#[tokio::test]
async fn a_show_with_options_is_not_answered_from_memory() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let answer = post(proxy.address, "/api/show", &json!({ "model": MODEL, "verbose": true }).to_string()).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.head.get("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn the_models_of_v1_are_derived_from_the_list() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let answer = get(proxy.address, "/v1/models").await;
    let model = json!({ "id": MODEL, "object": "model", "created": 1_767_319_445, "owned_by": "library" });
    assert_eq!(answer.json(), json!({ "object": "list", "data": [model] }));
    assert_eq!(get(proxy.address, &format!("/v1/models/{MODEL}")).await.json(), model);
}

#[tokio::test]
async fn an_empty_list_is_an_empty_array_everywhere() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[]);
    node.next().await.answer_json(&json!({ "models": null })).await;
    assert_eq!(get(proxy.address, "/v1/models").await.json(), json!({ "object": "list", "data": [] }));
    assert_eq!(get(proxy.address, "/api/tags").await.json(), json!({ "models": [] }));
}

#[tokio::test]
async fn a_model_that_the_gone_node_does_not_list_is_not_found_in_the_words_of_each_route() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let sent = r#"{"model":"Nope","messages":[{"role":"user","content":"x"}],"prompt":"x","input":"x","source":"Nope","destination":"b"}"#;
    for (path, words) in [
        ("/api/chat", "model 'Nope' not found"),
        ("/api/generate", "model 'Nope' not found"),
        ("/api/embed", r#"model "Nope" not found, try pulling it first"#),
        ("/api/embeddings", r#"model "Nope" not found, try pulling it first"#),
        ("/api/show", "model 'Nope:latest' not found"),
        ("/api/copy", r#"model "Nope" not found"#),
        ("/v1/chat/completions", "model 'Nope' not found"),
        ("/v1/embeddings", r#"model "Nope" not found, try pulling it first"#),
        ("/v1/messages", "model 'Nope' not found"),
    ] {
        let answer = post(proxy.address, path, sent).await;
        assert_eq!((answer.status(), answer.error().as_str()), (404, words), "{path}");
    }
    let by_id = get(proxy.address, "/v1/models/Nope").await;
    assert_eq!((by_id.status(), by_id.error().as_str()), (404, "model 'Nope:latest' not found"));
    let delete = ask(proxy.address, "DELETE /api/delete", &[], r#"{"model":"Nope"}"#).await;
    assert_eq!((delete.status(), delete.error().as_str()), (404, "model 'Nope' not found"));
}

#[tokio::test]
async fn a_model_is_not_called_missing_while_no_list_was_ever_read() {
    let mut node = Node::start();
    node.close().await;
    let proxy = Proxy::before(&[&node], &[SLEEPER]);
    let answer = show(&proxy).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.head.get("retry-after").is_some());
    assert_eq!(get(proxy.address, &format!("/v1/models/{MODEL}")).await.status(), 503);
}

#[tokio::test]
async fn malformed_json_is_refused_while_the_node_is_gone() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    for path in ["/api/chat", "/api/show", "/v1/chat/completions", "/v1/messages"] {
        assert_eq!(post(proxy.address, path, "{\"model\": ").await.status(), 400, "{path}");
    }
}

#[tokio::test]
async fn the_unload_of_a_model_of_a_gone_node_is_answered_as_ollama_does() {
    let (proxy, _node) = before_a_known_sleeper(&[]).await;
    let answer = post(proxy.address, "/api/generate", &json!({ "model": "llama3.2", "keep_alive": 0 }).to_string()).await;
    let mut json = answer.json();
    json["created_at"] = json!("then");
    assert_eq!(answer.status(), 200);
    assert_eq!(json, json!({ "model": "llama3.2", "created_at": "then", "response": "", "done": true, "done_reason": "unload" }));
}

#[tokio::test]
async fn an_unload_reaches_a_node_that_is_there() {
    let mut node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/generate", r#"{"model":"m","keep_alive":0}"#).await });
    node.next().await.answer_json(&json!({ "from": "the node" })).await;
    assert_eq!(asking.await.unwrap().json()["from"], "the node");
}

#[tokio::test]
async fn a_strict_node_gets_exactly_what_the_client_sent() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let address = proxy.address;
    let sent = [
        ("GET /api/tags", ""),
        ("POST /api/show", r#"{"model":"dummy"}"#),
        ("POST /api/chat", r#"{"model":"dummy","messages":[{"role":"user","content":"x"}]}"#),
        ("POST /api/pull", r#"{"model":"dummy","stream":false}"#),
        ("GET /api/version", ""),
        ("GET /v1/models", ""),
        ("GET /api/tags", ""),
    ];
    for (asked, body) in sent {
        let asking = tokio::spawn(async move { ask(address, asked, &[], body).await });
        node.next().await.answer("200 OK", &["Content-Type: application/json"], r#"{"status":"success"}"#).await;
        assert_eq!(asking.await.unwrap().text(), r#"{"status":"success"}"#, "{asked}");
    }
    assert_eq!(node.seen(), sent.map(|(asked, _)| asked));
}

#[tokio::test]
async fn running_models_are_forwarded_to_a_strict_node_too() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { get(proxy.address, "/api/ps").await });
    node.next().await.answer_json(&json!({ "models": [{ "name": "m" }] })).await;
    assert_eq!(asking.await.unwrap().json(), json!({ "models": [{ "name": "m" }] }));
}

#[tokio::test]
async fn a_node_is_asked_for_its_lists_once_at_the_start() {
    let node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    until_shown(&proxy).await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!((node.count("GET /api/tags"), node.count("GET /api/version"), node.count("GET /api/status")), (1, 1, 1));
}

#[tokio::test]
async fn a_second_list_is_not_asked_of_the_node() {
    let node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    until_shown(&proxy).await;
    for _ in 0..20 {
        get(proxy.address, "/api/tags").await;
        show(&proxy).await;
        get(proxy.address, "/api/version").await;
    }
    assert_eq!((node.count("GET /api/tags"), node.count("GET /api/version")), (1, 1));
}

#[tokio::test]
async fn a_model_that_an_awake_node_does_not_list_is_asked_of_the_node() {
    let mut node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    proxy.until("/api/tags", MODEL).await;
    let asking =
        tokio::spawn(async move { post(proxy.address, "/api/chat", r#"{"model":"new","messages":[{"role":"user"}]}"#).await });
    node.next().await.answer("404 Not Found", &[], r#"{"error":"model 'new' not found"}"#).await;
    assert_eq!(asking.await.unwrap().head.get("x-ollama-proxy-node"), Some("node1"));
}

/// Lets the node answer a mutation with these lines, and comes back when the client has heard all of them.
async fn after(asked: &'static str, answer: &'static str) -> (Node, Proxy) {
    let mut node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    until_shown(&proxy).await;
    assert_eq!(node.count("GET /api/tags"), 1);
    let address = proxy.address;
    let asking = tokio::spawn(async move { ask(address, asked, &[], r#"{"model":"llama3.2:3b"}"#).await });
    let mut exchange = node.next().await;
    exchange.begin("application/x-ndjson").await;
    exchange.chunk(answer).await;
    exchange.end().await;
    asking.await.unwrap();
    (node, proxy)
}

async fn is_not_read_again_after(asked: &'static str, answer: &'static str) {
    let (node, _proxy) = after(asked, answer).await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(node.count("GET /api/tags"), 1);
}

#[tokio::test]
async fn the_list_is_read_again_after_a_pull_that_succeeded() {
    let (node, _proxy) = after("POST /api/pull", "{\"status\":\"pulling\"}\n{\"status\":\"success\"}\n").await;
    let read = async {
        while node.count("GET /api/tags") == 1 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the list is not read again");
}

#[tokio::test]
async fn the_list_is_not_read_again_after_a_pull_that_failed() {
    is_not_read_again_after("POST /api/pull", "{\"status\":\"pulling\"}\n{\"error\":\"no such model\"}\n").await;
}

#[tokio::test]
async fn the_list_is_not_read_again_after_a_pull_in_one_piece_that_failed() {
    let mut node = Node::with_models(&[MODEL]);
    let proxy = Proxy::before(&[&node], &[]);
    until_shown(&proxy).await;
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/pull", r#"{"model":"x","stream":false}"#).await });
    node.next().await.answer("500 Internal Server Error", &["Content-Type: application/json"], r#"{"error":"no"}"#).await;
    assert_eq!(asking.await.unwrap().status(), 500);
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(node.count("GET /api/tags"), 1);
}

#[tokio::test]
async fn the_list_is_not_read_again_after_a_push() {
    is_not_read_again_after("POST /api/push", "{\"status\":\"success\"}\n").await;
}
