//! Bodies pass untouched, in both directions, however they are framed.

use proptest::prelude::any;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::client::{ask, post, request};
use crate::node::{CHAT_ANSWER, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::{End, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn a_streamed_answer_passes_byte_for_byte_under_any_chunking() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
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
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
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
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
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
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/embed", CHAT).await });
    let body: Vec<u8> = (0..10_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    node.next().await.answer("200 OK", &[], &body).await;
    let answer = asking.await.unwrap();
    assert!(answer.body == body && answer.end == End::Whole);
}

#[tokio::test]
async fn an_empty_200_without_a_content_type_stays_so() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/copy", r#"{"source":"a","destination":"b"}"#).await });
    node.next().await.answer("200 OK", &[], "").await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), answer.head.get("content-type")), (200, None));
    assert_eq!(answer.head.get("content-length"), Some("0"));
}

#[tokio::test]
async fn the_body_of_a_delete_arrives() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let body = r#"{"model":"old:latest"}"#;
    let asking = tokio::spawn(async move { ask(proxy.address, "DELETE /api/delete", &[], body).await });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.asked(), "DELETE /api/delete");
    assert_eq!(exchange.body().await, body.as_bytes());
    exchange.answer("200 OK", &[], "").await;
    assert_eq!(asking.await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_head_request_is_answered_with_the_nodes_head_and_no_body() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("HEAD /api/tags", &[], "")).await;
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.asked(), "HEAD /api/tags");
    exchange.say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n").await;
    let answer = client.answer("HEAD").await;
    assert_eq!((answer.status(), answer.head.get("content-length")), (200, Some("1234")));
    client.is_quiet().await;
}

#[tokio::test]
async fn query_strings_and_repeated_keys_arrive_as_they_were() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asked = "GET /api/other%20path?b=2&a=1&b=%2F&b=&c";
    let asking = tokio::spawn(async move { ask(proxy.address, asked, &[], "").await });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.asked(), asked);
    exchange.answer("200 OK", &[], "x").await;
    assert_eq!(asking.await.unwrap().text(), "x");
}

#[tokio::test]
async fn a_path_prefix_of_the_node_goes_before_every_path() {
    let mut node = Node::start();
    let url = format!("{}/ollama", node.url());
    let proxy = Proxy::before(&[&node], &[STRICT, ("ollama-url", &url)]);
    let asking = tokio::spawn(async move { ask(proxy.address, "GET /api/ps?x=1", &[], "").await });
    node.next().await.answer("200 OK", &[], r#"{"models":[]}"#).await;
    asking.await.unwrap();
    assert_eq!(node.seen(), ["GET /ollama/api/ps?x=1"]);
}

#[tokio::test]
async fn the_content_type_of_a_request_is_neither_needed_nor_changed() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    for content_type in ["application/x-www-form-urlencoded", "text/plain", "Application/JSON; Charset=UTF-8", "nonsense"] {
        let asking =
            tokio::spawn(async move { ask(proxy.address, "POST /api/chat", &[("Content-Type", content_type)], CHAT).await });
        let mut exchange = node.next().await;
        assert_eq!(exchange.head.get("content-type"), Some(content_type));
        assert_eq!(exchange.body().await, CHAT.as_bytes());
        exchange.answer_chat().await;
        assert_eq!(asking.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_compressed_body_is_forwarded_as_it_came() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move {
        ask(proxy.address, "POST /v1/responses", &[("Content-Encoding", "zstd")], zstd(CHAT.as_bytes())).await
    });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.get("content-encoding"), Some("zstd"));
    assert_eq!(exchange.body().await, zstd(CHAT.as_bytes()));
    exchange.answer("200 OK", &[], "{}").await;
    asking.await.unwrap();
}

/// A zstd frame that holds `bytes` (fewer than 256) in one raw block.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    let block = ((u32::from(length) << 3) | 1).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, length], &block[..3], bytes].concat()
}

#[tokio::test]
async fn a_body_in_chunks_arrives_whole() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say("POST /api/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    for piece in CHAT.as_bytes().chunks(7) {
        client.say([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()).await;
    }
    client.say("0\r\n\r\n").await;
    let mut exchange = node.next().await;
    assert_eq!(exchange.body().await, CHAT.as_bytes());
    assert_eq!(exchange.head.get("content-length"), Some(CHAT.len().to_string().as_str()));
    assert_eq!(exchange.head.get("transfer-encoding"), None);
    exchange.answer_chat().await;
    assert_eq!(client.answer("POST").await.text(), CHAT_ANSWER);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", CHAT.len());
    client.say(head).await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.say(CHAT).await;
    let mut exchange = node.next().await;
    // The node need not ask for a body that is on its way already.
    assert_eq!(exchange.head.get("expect"), None);
    assert_eq!(exchange.body().await, CHAT.as_bytes());
    exchange.answer_chat().await;
    assert_eq!(client.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    for _ in 0..3 {
        client.say(request("POST /api/chat", &[], CHAT)).await;
        node.next().await.answer_chat().await;
        assert_eq!(client.answer("POST").await.text(), CHAT_ANSWER);
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_its_stream_until_the_connection_ends() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(format!("POST /api/chat HTTP/1.0\r\nContent-Length: {}\r\n\r\n{CHAT}", CHAT.len())).await;
    node.next().await.answer_chat().await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.head.get("transfer-encoding"), None);
    assert_eq!(answer.text(), CHAT_ANSWER);
}

#[tokio::test]
async fn an_answer_that_lasts_until_the_node_closes_passes_whole() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let mut exchange = node.next().await;
    exchange.body().await;
    exchange.say(format!("HTTP/1.0 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n{CHAT_ANSWER}")).await;
    drop(exchange);
    let answer = asking.await.unwrap();
    assert_eq!((answer.text().as_str(), answer.end), (CHAT_ANSWER, End::Whole));
}

#[tokio::test]
async fn of_two_framings_of_an_answer_only_the_true_one_goes_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/embed", CHAT).await });
    let mut exchange = node.next().await;
    exchange.body().await;
    let framing = "Content-Length: 1\r\nTransfer-Encoding: chunked";
    exchange.say(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{framing}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")).await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.text().as_str(), answer.end, answer.head.get("content-length")), ("{}", End::Whole, None));
}
