//! Bodies pass untouched, in both directions, however they are framed.

use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::client::{ask, post, request};
use crate::node::{CHAT_ANSWER, Node};
use crate::proxy::Proxy;
use crate::wire::{End, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn a_streamed_answer_passes_byte_for_byte_under_any_chunking() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let pieces = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 1..12);
    let mut runner = TestRunner::deterministic();
    for _ in 0..24 {
        let pieces = pieces.new_tree(&mut runner).unwrap().current();
        let mut client = Wire::connect(proxy.address).await;
        client.say(request("POST /api/embed", &[], CHAT)).await;
        let mut exchange = node.next().await;
        exchange.begin("application/octet-stream").await;
        for piece in &pieces {
            exchange.chunk(piece).await;
        }
        exchange.end().await;
        let answer = client.answer("POST").await;
        assert_eq!((answer.status(), answer.end), (200, End::Whole));
        assert_eq!(answer.body, pieces.concat());
    }
}

#[tokio::test]
async fn each_piece_of_a_stream_goes_on_before_the_next_one_comes() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], CHAT)).await;
    let mut exchange = node.next().await;
    exchange.begin("application/x-ndjson").await;
    for piece in ["{\"a\":1}\n", "{\"half\"", ":true}\n{\"b\":2}", "\n", CHAT_ANSWER] {
        exchange.chunk(piece).await;
        if piece.starts_with("{\"a\"") {
            client.head().await.unwrap();
        }
        assert_eq!(client.chunk().await.unwrap(), piece.as_bytes());
    }
    exchange.end().await;
    assert!(client.chunk().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_of_known_length_keeps_its_content_length() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/embed", &[], CHAT)).await;
    node.next().await.answer("200 OK", &["Content-Type: application/json; charset=utf-8"], "{\"embeddings\":[]}").await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.head.get("content-length"), Some("17"));
    assert_eq!(answer.head.get("transfer-encoding"), None);
    assert_eq!(answer.text(), "{\"embeddings\":[]}");
}

#[tokio::test]
async fn ten_megabytes_of_answer_pass_whole() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let asking = tokio::spawn(async move { post(proxy.address, "/api/embed", CHAT).await });
    let body: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    node.next().await.answer("200 OK", &[], &body).await;
    let answer = asking.await.unwrap();
    assert!(answer.body == body && answer.end == End::Whole);
}

#[tokio::test]
async fn an_empty_200_without_a_content_type_stays_so() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let asking = tokio::spawn(async move { post(proxy.address, "/api/copy", r#"{"source":"a","destination":"b"}"#).await });
    node.next().await.answer("200 OK", &[], "").await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), answer.head.get("content-type")), (200, None));
    assert_eq!(answer.head.get("content-length"), Some("0"));
}

#[tokio::test]
async fn the_body_of_a_delete_arrives() {
    let mut node = Node::start().await;
    let proxy = Proxy::strict(&node).await;
    let body = r#"{"model":"old:latest"}"#;
    let asking = tokio::spawn(async move { ask(proxy.address, "DELETE /api/delete", &[], body).await });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.asked(), "DELETE /api/delete");
    let (heard, _) = exchange.wire.body(&exchange.head.clone()).await;
    assert_eq!(heard, body.as_bytes());
    exchange.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(asking.await.unwrap().status(), 200);
}
