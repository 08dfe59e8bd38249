//! The end that a service manager asks for: what runs may finish, who waits is told, and the exit is a good one.

use crate::client::request;
use crate::node::{CHAT_ANSWER, Node};
use crate::program::{Proxy, Scratch};
use crate::wire::{End, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

fn before(node: &Node, scratch: &Scratch) -> Proxy {
    Proxy::start(scratch, &["--ollama-url", &node.url(), "--health-interval", "0"])
}

#[tokio::test]
async fn streams_that_run_are_let_finish_and_the_program_ends_well() {
    let (mut node, scratch) = (Node::start(), Scratch::new());
    let mut proxy = before(&node, &scratch);
    let mut streams = Vec::new();
    // On machines with several cores they are served by two threads.
    for _ in 0..2 {
        let mut client = Wire::connect(proxy.address).await;
        client.say(request("POST /api/chat", &[], CHAT)).await;
        let mut exchange = node.next().await;
        exchange.begin("application/x-ndjson").await;
        exchange.chunk("{\"message\":{}}\n").await;
        client.head().await.unwrap();
        client.chunk().await.unwrap();
        streams.push((client, exchange));
    }
    proxy.terminate();
    proxy.written("asked to end");
    for (mut client, mut exchange) in streams {
        exchange.wire.is_quiet().await;
        assert!(std::net::TcpStream::connect(proxy.address).is_err(), "it still takes new connections");
        exchange.chunk(CHAT_ANSWER).await;
        exchange.end().await;
        assert_eq!(client.chunks().await, (CHAT_ANSWER.as_bytes().to_vec(), End::Whole));
    }
    assert_eq!(proxy.exit_code(), Some(0));
}

/// Asks the proxy to end once its nodes say `waits`, and reads what it tells the client.
async fn ends_with_503(proxy: &mut Proxy, client: &mut Wire, waits: &str) {
    while !crate::client::get(proxy.address, "/nodes").await.text().contains(waits) {
        tokio::task::yield_now().await;
    }
    proxy.terminate();
    let answer = client.answer("POST").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.error().contains("shutting down"), "{}", answer.error());
    assert!(answer.head.get("retry-after").is_some());
    assert_eq!(proxy.exit_code(), Some(0));
}

#[tokio::test]
async fn a_request_that_waits_for_a_node_is_told_with_503() {
    let (mut node, scratch) = (Node::start(), Scratch::new());
    let mut proxy = before(&node, &scratch);
    node.close().await;
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /v1/chat/completions", &[], CHAT)).await;
    ends_with_503(&mut proxy, &mut client, "\"held\":1").await;
}

/// Its wake goes on for minutes; the end does not wait for it.
#[tokio::test]
async fn a_person_who_waits_for_a_wake_is_told_with_503() {
    let (mut node, service, scratch) = (Node::start(), Node::start(), Scratch::new());
    node.sleep().await;
    let mut proxy =
        Proxy::start(&scratch, &["--ollama-url", &node.url(), "--wake-url", &service.url(), "--health-interval", "0"]);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /nodes/node1/wake?wait=1", &[], "")).await;
    ends_with_503(&mut proxy, &mut client, "\"state\":\"waking\"").await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let (mut node, scratch) = (Node::start(), Scratch::new());
    let mut proxy = before(&node, &scratch);
    let _silent = Wire::connect(proxy.address).await;
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    node.next().await.answer_chat().await;
    client.answer("POST").await;
    proxy.terminate();
    client.left().await;
    let ended = tokio::task::spawn_blocking(move || proxy.exit_code());
    assert_eq!(tokio::time::timeout(crate::wire::SOON, ended).await.expect("it lingers").unwrap(), Some(0));
}
