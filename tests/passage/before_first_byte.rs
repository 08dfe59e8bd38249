//! Until the first byte has gone to the client, a failure is another attempt or a real status in the client's dialect.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{Answer, post, request};
use crate::node::{CHAT_ANSWER, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::Wire;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// The answer to a request whose every attempt ends without an answer, and the number of attempts.
async fn all_fail(path: &'static str) -> (Answer, usize) {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut asking = tokio::spawn(async move { post(proxy.address, path, CHAT).await });
    loop {
        tokio::select! {
            exchange = node.next() => exchange.close().await,
            answer = &mut asking => return (answer.unwrap(), node.seen().len()),
        }
    }
}

#[tokio::test]
async fn a_node_that_closes_before_its_answer_is_asked_once_more() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    node.next().await.close().await;
    let mut second = node.next().await;
    assert_eq!(second.body().await, CHAT.as_bytes());
    second.answer_chat().await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (200, CHAT_ANSWER));
    assert_eq!(node.seen(), ["POST /api/chat", "POST /api/chat"]);
}

#[tokio::test]
async fn a_node_that_resets_before_its_answer_is_asked_once_more() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/v1/chat/completions", CHAT).await });
    node.next().await.reset().await;
    node.next().await.answer("200 OK", &["Content-Type: application/json"], "{}").await;
    assert_eq!(asking.await.unwrap().text(), "{}");
    assert_eq!(node.seen().len(), 2);
}

#[tokio::test]
async fn a_stream_that_ends_before_it_began_is_asked_for_once_more() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let mut first = node.next().await;
    first.begin("application/x-ndjson").await;
    first.end().await;
    drop(first);
    node.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
    assert_eq!(node.seen().len(), 2);
}

#[tokio::test]
async fn a_node_that_dies_between_its_head_and_its_first_byte_is_asked_once_more() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let mut first = node.next().await;
    first.begin("application/x-ndjson").await;
    drop(first);
    node.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
}

#[tokio::test]
async fn a_pull_is_never_sent_twice() {
    let (answer, attempts) = all_fail("/api/pull").await;
    assert_eq!((answer.status(), attempts), (502, 1));
}

#[tokio::test]
async fn an_unknown_post_is_never_sent_twice() {
    let (answer, attempts) = all_fail("/api/experimental/something").await;
    assert_eq!((answer.status(), attempts), (502, 1));
}

#[tokio::test]
async fn a_node_that_fails_every_attempt_is_told_in_ollamas_shape() {
    let (answer, attempts) = all_fail("/api/chat").await;
    assert_eq!((answer.status(), attempts), (502, 2));
    assert_eq!(answer.head.get("content-type"), Some("application/json; charset=utf-8"));
    assert!(answer.json()["error"].as_str().unwrap().contains("node1"), "{}", answer.text());
    assert_eq!(answer.head.get("x-should-retry"), Some("false"));
}

#[tokio::test]
async fn a_node_that_fails_every_attempt_is_told_in_openais_shape() {
    let (answer, _) = all_fail("/v1/chat/completions").await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status(), &error["type"]), (502, &Value::from("api_error")));
    assert!(error["message"].as_str().unwrap().contains("node1"), "{error}");
    assert!(error["param"].is_null() && error["code"].is_null());
}

#[tokio::test]
async fn a_node_that_fails_every_attempt_is_told_in_anthropics_shape() {
    let (answer, _) = all_fail("/v1/messages").await;
    let json = answer.json();
    assert_eq!((answer.status(), &json["type"], &json["error"]["type"]), (502, &"error".into(), &"api_error".into()));
    assert!(json["error"]["message"].as_str().unwrap().contains("node1"), "{json}");
}

#[tokio::test]
async fn a_nodes_own_error_passes_untouched_and_is_not_repeated() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let body = r#"{"error":"model runner has unexpectedly stopped"}"#;
    let asking = tokio::spawn(async move { post(proxy.address, "/v1/chat/completions", CHAT).await });
    node.next().await.answer("500 Internal Server Error", &["Content-Type: application/json; charset=utf-8"], body).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (500, body));
    assert_eq!(node.seen().len(), 1);
}

#[tokio::test]
async fn another_node_answers_when_the_first_one_fails() {
    let (mut first, mut second) = (Node::start(), Node::start());
    let proxy = Proxy::before(&[&first, &second], &[STRICT]);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    // Whose turn it is first is not told.
    let (failed, replacement, name) = tokio::select! {
        exchange = first.next() => (exchange, &mut second, "node2"),
        exchange = second.next() => (exchange, &mut first, "node1"),
    };
    failed.close().await;
    replacement.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().head.get("x-ollama-proxy-node"), Some(name));
}

/// A chat that waits for a node whose port is closed.
async fn waiting(address: SocketAddr, proxy: &Proxy) -> Wire {
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    proxy.until("/nodes", "\"held\":1").await;
    client.is_quiet().await;
    assert!(std::net::TcpStream::connect(address).is_err());
    client
}

#[tokio::test]
async fn a_request_waits_while_ollama_restarts() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::strict(&node);
    node.close().await;
    let mut client = waiting(node.address, &proxy).await;
    let mut node = Node::at(node.address, &["m"]);
    node.next().await.answer_chat().await;
    assert_eq!(client.answer("POST").await.text(), CHAT_ANSWER);
}

#[tokio::test]
async fn a_node_that_goes_on_refusing_is_told_after_half_a_minute() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    node.close().await;
    let mut client = waiting(node.address, &proxy).await;
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    client.is_quiet().await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.status(), 502);
    assert!(answer.error().contains("connection refused"), "{}", answer.error());
    // The next one need not wait as long to hear the same.
    let again = tokio::time::timeout(crate::wire::SOON, post(proxy.address, "/v1/messages", CHAT)).await.unwrap();
    assert_eq!((again.status(), &again.json()["type"]), (502, &"error".into()));
}

#[tokio::test]
async fn a_show_of_a_refusing_node_is_answered_at_once() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    node.close().await;
    let answer = tokio::time::timeout(crate::wire::SOON, post(proxy.address, "/api/show", r#"{"model":"m"}"#)).await.unwrap();
    assert_eq!(answer.status(), 502);
}

#[tokio::test]
async fn a_show_that_hangs_is_ended_by_the_timeout() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("timeout", "1")]);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/show", r#"{"model":"m"}"#).await });
    let mut exchange = node.next().await;
    let answer = asking.await.unwrap();
    assert_eq!(answer.status(), 504);
    assert!(answer.error().contains("1s"), "{}", answer.error());
    exchange.body().await;
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_chat_is_not_ended_by_the_timeout_of_short_answers() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("timeout", "100ms"), ("model-timeout", "100ms")]);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let mut exchange = node.next().await;
    exchange.body().await;
    for _ in 0..4 {
        exchange.wire.is_quiet().await;
    }
    exchange.answer_chat().await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
    assert_eq!(node.seen().len(), 1);
}

#[tokio::test]
async fn a_silent_node_that_still_tells_its_version_is_waited_for() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::before(&[&node], &[("model-timeout", "100ms")]);
    proxy.until("/api/tags", "\"m\"").await;
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let exchange = node.next().await;
    let before = node.count("GET /api/version");
    while node.count("GET /api/version") < before + 3 {
        tokio::task::yield_now().await;
    }
    exchange.answer_chat().await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
    assert_eq!(node.count("POST /api/chat"), 1);
}

#[tokio::test]
async fn one_life_check_serves_all_silent_requests() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[("model-timeout", "300ms")]);
    // The first check of a node that is always on: list, version, status.
    for _ in 0..3 {
        node.next().await.answer_json(&json!({ "models": null, "version": "0.12.6" })).await;
    }
    let (mut clients, mut asked, mut check) = (Vec::new(), Vec::new(), None);
    for _ in 0..3 {
        let mut client = Wire::connect(proxy.address).await;
        client.say(request("POST /api/chat", &[], CHAT)).await;
        clients.push(client);
    }
    // On a busy machine the first one has been silent for long enough before the last one is here.
    while asked.len() < 3 || check.is_none() {
        let exchange = node.next().await;
        match exchange.head.asked() {
            "GET /api/version" => assert!(check.replace(exchange).is_none(), "a second check"),
            _ => asked.push(exchange),
        }
    }
    let mut check = check.unwrap();
    check.wire.is_quiet().await;
    assert_eq!(node.count("GET /api/version"), 2);
    check.answer_json(&json!({ "version": "0.12.6" })).await;
    for exchange in asked {
        exchange.answer_chat().await;
    }
    for mut client in clients {
        assert_eq!(client.answer("POST").await.status(), 200);
    }
}

#[tokio::test]
async fn a_silent_node_that_tells_no_version_any_more_has_gone() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[("model-timeout", "100ms")]);
    for _ in 0..3 {
        node.next().await.answer_json(&json!({ "models": null, "version": "0.12.6" })).await;
    }
    let mut asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let mut silent = Vec::new();
    let answer = loop {
        tokio::select! {
            exchange = node.next() => match exchange.head.asked() {
                "POST /api/chat" => silent.push(exchange),
                _ => exchange.close().await,
            },
            answer = &mut asking => break answer.unwrap(),
        }
    };
    assert_eq!((answer.status(), silent.len()), (502, 2));
}

#[tokio::test]
async fn a_node_that_answers_others_during_its_life_check_has_not_gone() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[("model-timeout", "1s"), ("wake-interval", "0")]);
    for _ in 0..3 {
        node.next().await.answer_json(&json!({ "models": null, "version": "0.12.6" })).await;
    }
    let address = proxy.address;
    let first = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    let (working, _silent) = (node.next().await, [node.next().await, node.next().await]);
    assert_eq!(node.count("GET /api/version"), 3);
    // The second try of the check is under way. Another request is answered meanwhile.
    let other = tokio::spawn(async move { post(address, "/api/embed", CHAT).await });
    let mut embed = node.next().await;
    embed.answer_json(&json!({})).await;
    assert_eq!(other.await.unwrap().status(), 200);
    // So the silent one is waited for, and checked again, and not sent again.
    while node.count("GET /api/version") == 3 {
        assert_ne!(node.next().await.head.asked(), "POST /api/chat");
    }
    working.answer_chat().await;
    assert_eq!(first.await.unwrap().text(), CHAT_ANSWER);
}

#[tokio::test]
async fn a_request_limit_ends_a_request_with_504() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("request-limit", "300ms")]);
    let asking = tokio::spawn(async move { post(proxy.address, "/v1/messages", CHAT).await });
    let mut exchange = node.next().await;
    exchange.body().await;
    let answer = asking.await.unwrap();
    assert_eq!(answer.status(), 504);
    assert!(answer.error().contains("--request-limit"), "{}", answer.error());
    exchange.wire.left().await;
}
