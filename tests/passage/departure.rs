//! A client that leaves ends its work at the node at once: a GPU that computes for nobody is what users notice.

use crate::client::request;
use crate::node::{Exchange, Node};
use crate::proxy::Proxy;
use crate::wire::Wire;

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// A chat that has arrived at the node and has no answer yet.
async fn asked(body: &str) -> (Wire, Exchange, Node) {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], body)).await;
    let mut exchange = node.next().await;
    exchange.body().await;
    (client, exchange, node)
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_it_at_the_node() {
    let (client, mut exchange, _node) = asked(CHAT).await;
    drop(client);
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_whole_answer_ends_it_at_the_node() {
    let (client, mut exchange, _node) = asked(r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":false}"#).await;
    exchange.wire.is_quiet().await;
    drop(client);
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_ends_it_at_the_node() {
    let (mut client, mut exchange, _node) = asked(CHAT).await;
    exchange.begin("application/x-ndjson").await;
    exchange.chunk("{\"a\":1}\n").await;
    client.head().await.unwrap();
    client.chunk().await.unwrap();
    drop(client);
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_client_that_resets_its_connection_ends_the_work_at_the_node() {
    let (client, mut exchange, _node) = asked(CHAT).await;
    client.reset();
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_node_that_is_waited_for_sees_no_half_close() {
    let (mut client, mut exchange, _node) = asked(CHAT).await;
    exchange.wire.is_quiet().await;
    exchange.begin("application/x-ndjson").await;
    exchange.chunk("{\"a\":1}\n").await;
    exchange.wire.is_quiet().await;
    client.head().await.unwrap();
}

#[tokio::test]
async fn a_client_that_closes_its_half_has_left() {
    let (mut client, mut exchange, _node) = asked(CHAT).await;
    client.half_close().await;
    exchange.wire.left().await;
    client.left().await;
}

#[tokio::test]
async fn a_client_that_left_is_no_failure_of_the_node() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    let mut exchange = node.next().await;
    drop(client);
    exchange.wire.left().await;
    proxy.until("/health", "\"active_connections\":0").await;
    let health = crate::client::get(proxy.address, "/health").await.json();
    assert_eq!(health["nodes"]["node1"]["failed_requests"], 0);
    assert_eq!(node.seen().len(), 1);
}
