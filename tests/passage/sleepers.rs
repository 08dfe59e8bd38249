//! A node that sleeps, woken by a URL: who waits, who does not, and that nobody's departure ends a wake.

use serde_json::json;

use crate::client::{ask, get, post, request};
use crate::node::{CHAT_ANSWER, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::{SOON, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// A sleeping node, the service that its wake URL is at, and a proxy that has never seen it awake.
async fn asleep(flags: &[(&str, &str)]) -> (Node, Node, Proxy) {
    let (mut node, service) = (Node::with_models(&["m"]), Node::start());
    node.sleep().await;
    let url = service.url();
    let proxy = Proxy::before(&[&node], &[&[STRICT, ("wake-url", &*url)], flags].concat());
    (node, service, proxy)
}

async fn held_chat(proxy: &Proxy) -> Wire {
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    proxy.until("/nodes", "\"state\":\"waking\"").await;
    client
}

#[tokio::test]
async fn a_chat_wakes_the_node_waits_and_is_answered() {
    let (mut node, mut service, proxy) = asleep(&[]).await;
    let mut client = held_chat(&proxy).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    client.is_quiet().await;
    node.wake();
    node.next().await.answer_chat().await;
    assert_eq!(client.answer("POST").await.text(), CHAT_ANSWER);
    assert_eq!(node.count("POST /api/chat"), 1);
}

/// As a request for it fares: what `/route` promises is kept.
#[tokio::test]
async fn the_route_of_a_model_on_no_list_wakes_nobody_and_says_so() {
    let (mut node, service) = (Node::with_models(&["m"]), Node::start());
    let proxy = Proxy::before(&[&node], &[("wake-url", &service.url())]);
    proxy.until("/nodes", "\"models\":[\"m\"").await;
    node.sleep().await;
    assert_eq!(ask(proxy.address, "POST /nodes/node1/refresh", &[], "").await.status(), 502);
    let wrong = get(proxy.address, "/route?model=n").await.json();
    assert_eq!((&wrong["choice"], &wrong["wakes"]), (&json!(null), &json!(false)), "{wrong}");
    assert!(wrong["why"].as_str().unwrap().contains("gets 404"), "{wrong}");
    let chat = post(proxy.address, "/api/chat", &CHAT.replace("\"m\"", "\"n\"")).await;
    assert_eq!(chat.status(), 404);
    let right = get(proxy.address, "/route?model=m").await.json();
    assert_eq!((&right["choice"], &right["wakes"]), (&json!("node1"), &json!(true)), "{right}");
    assert_eq!(right["nodes"][0]["loaded"], false, "what slept has nothing loaded: {right}");
    assert_eq!(service.seen().len(), 0);
}

#[tokio::test]
async fn several_waiting_chats_share_one_wake() {
    let (mut node, mut service, proxy) = asleep(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(held_chat(&proxy).await);
    }
    proxy.until("/nodes", "\"held\":3").await;
    service.next().await.answer("200 OK", &[], "ok").await;
    node.wake();
    for _ in 0..3 {
        node.next().await.answer_chat().await;
    }
    for mut client in clients {
        assert_eq!(client.answer("POST").await.status(), 200);
    }
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn a_wake_goes_on_when_its_client_leaves() {
    let (mut node, mut service, proxy) = asleep(&[]).await;
    drop(held_chat(&proxy).await);
    service.next().await.answer("200 OK", &[], "ok").await;
    proxy.until("/nodes", "\"held\":0").await;
    node.wake();
    proxy.until("/nodes", "\"state\":\"awake\"").await;
    assert_eq!(node.count("POST /api/chat"), 0);
}

#[tokio::test]
async fn after_a_wake_the_model_is_loaded_in_the_proxys_own_name_first() {
    let (mut node, mut service) = (Node::with_models(&["m"]), Node::start());
    node.sleep().await;
    let proxy = Proxy::before(&[&node], &[("wake-url", &service.url())]);
    let client = held_chat(&proxy).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    node.wake();
    let mut load = node.next().await;
    assert_eq!(load.head.asked(), "POST /api/chat");
    let body: serde_json::Value = serde_json::from_slice(&load.body().await).unwrap();
    assert_eq!((&body["model"], &body["messages"]), (&json!("m"), &json!([])), "{body}");
    // The client gives up: the load goes on for whoever comes next.
    drop(client);
    load.wire.is_quiet().await;
    load.answer_json(&json!({ "model": "m", "done": true, "done_reason": "load" })).await;
    assert_eq!(node.next().await.head.asked(), "GET /api/ps");
}

#[tokio::test]
async fn a_client_that_forbids_wakes_waits_for_a_load_like_everybody() {
    let (mut node, mut service) = (Node::with_models(&["m"]), Node::start());
    node.sleep().await;
    let proxy = Proxy::before(&[&node], &[("wake-url", &service.url())]);
    let _first = held_chat(&proxy).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    node.wake();
    let mut load = node.next().await;
    load.body().await;
    // It is awake, so nothing is forbidden.
    let mut second = Wire::connect(proxy.address).await;
    second.say(request("POST /api/chat", &[("X-Ollama-Proxy-Wake", "never")], CHAT)).await;
    proxy.until("/nodes", "\"held\":2").await;
    second.is_quiet().await;
}

#[tokio::test]
async fn a_client_that_forbids_it_wakes_nobody_and_is_told_at_once() {
    let (_node, service, proxy) = asleep(&[]).await;
    let asking = ask(proxy.address, "POST /v1/chat/completions", &[("X-Ollama-Proxy-Wake", "never")], CHAT);
    let answer = tokio::time::timeout(SOON, asking).await.unwrap();
    assert_eq!((answer.status(), answer.head.get("x-should-retry")), (503, Some("false")));
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn paths_and_agents_that_may_not_wake_wake_nobody() {
    let (_node, service, proxy) = asleep(&[("never-wake-paths", "/api/embed*"), ("never-wake-agents", "Continue*")]).await;
    assert_eq!(post(proxy.address, "/api/embed", r#"{"model":"m","input":"x"}"#).await.status(), 503);
    assert_eq!(ask(proxy.address, "POST /api/chat", &[("User-Agent", "Continue/1.0")], CHAT).await.status(), 503);
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn an_unload_of_a_silent_node_is_answered_here_and_wakes_nobody() {
    let (_node, service, proxy) = asleep(&[]).await;
    let answer = post(proxy.address, "/api/chat", r#"{"model":"m","messages":[],"keep_alive":"0s"}"#).await;
    assert_eq!((answer.status(), &answer.json()["done_reason"]), (200, &json!("unload")));
    assert!(service.seen().is_empty());
}

#[tokio::test]
async fn a_failed_wake_is_told_with_504_and_the_next_request_at_once_with_503() {
    let (_node, mut service, proxy) = asleep(&[("wake-timeout", "1s")]).await;
    let mut client = held_chat(&proxy).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    let answer = client.answer("POST").await;
    assert_eq!((answer.status(), answer.head.get("x-should-retry")), (504, Some("false")));
    assert!(answer.error().contains("wake URL") && answer.error().contains("1s"), "{}", answer.error());
    let again = tokio::time::timeout(SOON, post(proxy.address, "/v1/messages", CHAT)).await.unwrap();
    assert_eq!((again.status(), &again.json()["error"]["type"]), (503, &json!("overloaded_error")));
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn a_wake_service_that_fails_is_named_in_the_error() {
    let (_node, mut service, proxy) = asleep(&[("wake-timeout", "1s")]).await;
    let mut client = held_chat(&proxy).await;
    service.next().await.answer("500 Internal Server Error", &[], "broken").await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.status(), 504);
    assert!(answer.error().contains("500"), "{}", answer.error());
}

#[tokio::test]
async fn more_waiting_requests_than_allowed_are_told_in_ollamas_words() {
    let (_node, _service, proxy) = asleep(&[("max-held", "1")]).await;
    let _first = held_chat(&proxy).await;
    proxy.until("/nodes", "\"held\":1").await;
    let answer = post(proxy.address, "/api/chat", CHAT).await;
    assert_eq!(
        (answer.status(), answer.error().as_str()),
        (503, "server busy, please try again.  maximum pending requests exceeded")
    );
}

#[tokio::test]
async fn a_show_does_not_wait_for_a_wake_that_is_under_way() {
    let (_node, _service, proxy) = asleep(&[]).await;
    let _waiting = held_chat(&proxy).await;
    let asking = post(proxy.address, "/api/show", r#"{"model":"m"}"#);
    assert_eq!(tokio::time::timeout(SOON, asking).await.expect("it waits").status(), 503);
}

#[tokio::test]
async fn listings_do_not_wait_for_a_wake_that_is_under_way() {
    let (_node, _service, proxy) = asleep(&[]).await;
    let _waiting = held_chat(&proxy).await;
    for path in ["/api/tags", "/api/version", "/v1/models", "/api/ps", "/health"] {
        let answer = tokio::time::timeout(SOON, get(proxy.address, path)).await.expect("it waits");
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn what_wakes_nobody_does_not_wake_a_node_that_fell_asleep_a_moment_ago_either() {
    let (mut node, service) = (Node::with_models(&["m"]), Node::start());
    let flags = [STRICT, ("wake-url", &*service.url()), ("wake-interval", "0")];
    let proxy = Proxy::before(&[&node], &flags);
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    node.next().await.answer_chat().await;
    asking.await.unwrap();
    node.sleep().await;
    for (path, body, status) in [
        ("/api/show", r#"{"model":"m","verbose":true}"#, 503),
        ("/v1/messages/count_tokens", r#"{"model":"m"}"#, 503),
        ("/api/generate", r#"{"model":"m","keep_alive":0}"#, 200),
        ("/api/chat", "[", 400),
        ("/v1/messages", r#"{"model":"#, 400),
        ("/api/pull", "no JSON", 400),
    ] {
        let answer = tokio::time::timeout(SOON, post(address, path, body)).await.expect("it waits");
        assert_eq!(answer.status(), status, "{path} {body}");
    }
    assert!(service.seen().is_empty(), "{:?}", service.seen());
}
