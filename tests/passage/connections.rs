//! Connections to a node: those of an always-on node rest between requests, a sleeper never has one.

use crate::client::{post, request};
use crate::node::{CHAT_ANSWER, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::Wire;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// One chat, answered by the node without closing its side; the node's end of the connection.
async fn chat(node: &mut Node, proxy: &Proxy) -> Wire {
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    let mut exchange = node.next().await;
    exchange.answer("200 OK", &["Content-Type: application/x-ndjson"], CHAT_ANSWER).await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
    exchange.wire
}

#[tokio::test]
async fn a_connection_of_an_always_on_node_serves_the_next_request() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut kept = chat(&mut node, &proxy).await;
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    assert_eq!(kept.head().await.unwrap().asked(), "POST /api/chat");
}

#[tokio::test]
async fn a_connection_of_a_sleeper_ends_with_its_answer() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("always-on", "false")]);
    chat(&mut node, &proxy).await.left().await;
}

#[tokio::test]
async fn a_mutation_takes_no_connection_that_may_be_dead() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut kept = chat(&mut node, &proxy).await;
    let asking = tokio::spawn(async move { post(proxy.address, "/api/copy", r#"{"source":"a","destination":"b"}"#).await });
    node.next().await.answer("200 OK", &[], "").await;
    assert_eq!(asking.await.unwrap().status(), 200);
    kept.is_quiet().await;
}

#[tokio::test]
async fn a_resting_connection_that_dies_under_a_request_costs_no_attempt() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut kept = chat(&mut node, &proxy).await;
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    kept.head().await.unwrap();
    drop(kept);
    node.next().await.close().await;
    node.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().text(), CHAT_ANSWER);
}
