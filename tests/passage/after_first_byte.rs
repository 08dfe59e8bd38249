//! Once bytes have gone to the client, a failure is marked inside the stream in its own dialect, or the connection is
//! aborted. It never looks like an end.

use crate::client::request;
use crate::node::{Exchange, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::{End, Wire};

const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"stream":true}"#;
const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// A request whose answer has begun with `said`, which the client has read.
async fn begun(path: &str, content_type: &str, said: &str, flags: &[(&str, &str)]) -> (Wire, Exchange, Node) {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], flags);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request(&format!("POST {path}"), &[], ASK)).await;
    let mut exchange = node.next().await;
    exchange.begin(content_type).await;
    exchange.chunk(said).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), said.as_bytes());
    (client, exchange, node)
}

/// What comes after `said` when the node then closes its connection in the middle of the stream.
async fn after_a_death(path: &str, content_type: &str, said: &str) -> (String, End) {
    let (mut client, exchange, _node) = begun(path, content_type, said, &[STRICT]).await;
    drop(exchange);
    rest(&mut client).await
}

/// What comes after `said` when the node then ends the stream in order.
async fn after_an_end(path: &str, content_type: &str, said: &str) -> (String, End) {
    let (mut client, mut exchange, _node) = begun(path, content_type, said, &[STRICT]).await;
    exchange.end().await;
    rest(&mut client).await
}

async fn rest(client: &mut Wire) -> (String, End) {
    let (bytes, end) = client.chunks().await;
    (String::from_utf8(bytes).unwrap(), end)
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|bad| panic!("{bad}: {line:?}"))
}

#[tokio::test]
async fn a_native_stream_that_dies_within_a_line_ends_it_and_adds_an_error_line() {
    let (rest, end) = after_a_death("/api/chat", NDJSON, "{\"message\":{\"content\":\"a\"}}\n{\"mess").await;
    assert_eq!(end, End::Whole);
    let line = rest.strip_prefix('\n').unwrap().strip_suffix('\n').unwrap();
    assert!(json(line)["error"].as_str().unwrap().contains("node1"), "{line}");
}

#[tokio::test]
async fn a_native_stream_that_dies_between_lines_gets_no_empty_line() {
    let (rest, end) = after_a_death("/api/generate", NDJSON, "{\"response\":\"a\"}\n").await;
    assert_eq!(end, End::Whole);
    assert!(rest.starts_with("{\"error\":\"") && rest.ends_with("\"}\n"), "{rest:?}");
}

#[tokio::test]
async fn a_pull_that_dies_gets_an_error_line() {
    let (rest, end) = after_a_death("/api/pull", NDJSON, "{\"status\":\"pulling manifest\"}\n").await;
    assert_eq!(end, End::Whole);
    assert!(json(rest.trim())["error"].is_string(), "{rest:?}");
}

#[tokio::test]
async fn an_openai_stream_that_dies_gets_an_error_event_and_no_done() {
    let (rest, end) = after_a_death("/v1/chat/completions", EVENTS, "data: {\"choices\":[]}\n\ndata: {\"cho").await;
    assert_eq!(end, End::Whole);
    let event = rest.strip_prefix("\n\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    assert_eq!(json(event)["error"]["type"], "api_error");
    assert!(json(event)["error"]["message"].as_str().unwrap().contains("node1"), "{event}");
    assert!(!rest.contains("[DONE]"));
}

#[tokio::test]
async fn an_anthropic_stream_that_dies_gets_an_error_event() {
    let said = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    let (rest, end) = after_a_death("/v1/messages", EVENTS, said).await;
    assert_eq!(end, End::Whole);
    let event = rest.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    assert_eq!((&json(event)["type"], &json(event)["error"]["type"]), (&"error".into(), &"api_error".into()));
    assert!(!rest.contains("message_stop"));
}

#[tokio::test]
async fn a_responses_stream_that_dies_gets_an_error_event() {
    let said = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n";
    let (rest, end) = after_a_death("/v1/responses", EVENTS, said).await;
    assert_eq!(end, End::Whole);
    let event = rest.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    assert_eq!(json(event)["type"], "error");
    assert!(!rest.contains("response.completed"));
}

#[tokio::test]
async fn a_native_stream_that_ends_without_done_is_a_failure() {
    let (rest, end) = after_an_end("/api/chat", NDJSON, "{\"message\":{\"content\":\"a\"},\"done\":false}\n").await;
    assert_eq!(end, End::Whole);
    assert!(json(rest.trim())["error"].as_str().unwrap().contains("end mark"), "{rest:?}");
}

#[tokio::test]
async fn an_openai_stream_that_ends_without_done_is_a_failure() {
    let (rest, _) = after_an_end("/v1/completions", EVENTS, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n").await;
    assert!(rest.starts_with("data: {\"error\":"), "{rest:?}");
}

#[tokio::test]
async fn an_anthropic_stream_that_ends_without_message_stop_is_a_failure() {
    let (rest, _) = after_an_end("/v1/messages", EVENTS, "event: ping\ndata: {\"type\":\"ping\"}\n\n").await;
    assert!(rest.starts_with("event: error\n"), "{rest:?}");
}

#[tokio::test]
async fn a_pull_that_ends_without_success_is_a_failure() {
    let (rest, _) = after_an_end("/api/pull", NDJSON, "{\"status\":\"pulling manifest\"}\n").await;
    assert!(json(rest.trim())["error"].is_string(), "{rest:?}");
}

#[tokio::test]
async fn streams_with_their_end_mark_get_nothing_added() {
    let whole = [
        ("/api/chat", NDJSON, "{\"done\":true}\n"),
        ("/api/generate", NDJSON, "{\"error\":\"an error was encountered while running the model\"}\n"),
        ("/api/pull", NDJSON, "{\"status\":\"success\"}\n"),
        ("/v1/chat/completions", EVENTS, "data: [DONE]\n\n"),
        ("/v1/responses", EVENTS, "event: response.completed\ndata: {\"type\":\"response.completed\"}\n\n"),
        ("/v1/messages", EVENTS, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
    ];
    for (path, content_type, said) in whole {
        assert_eq!(after_an_end(path, content_type, said).await, (String::new(), End::Whole), "{path}");
    }
}

/// What comes of an answer that breaks off after `{"mess`, which the client has read.
async fn broken(head: &str) -> (String, End) {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], ASK)).await;
    let mut exchange = node.next().await;
    exchange.body().await;
    exchange.say(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")).await;
    if head.contains("chunked") {
        exchange.chunk("{\"mess").await;
    } else {
        exchange.say("{\"mess").await;
    }
    let head = client.head().await.unwrap();
    drop(exchange);
    let (bytes, end) = client.body(&head).await;
    (String::from_utf8(bytes).unwrap(), end)
}

#[tokio::test]
async fn an_answer_of_known_length_that_breaks_off_is_cut_and_not_padded() {
    let (text, end) = broken("Content-Type: application/json\r\nContent-Length: 100").await;
    assert_eq!((text.as_str(), end), ("{\"mess", End::Cut));
}

#[tokio::test]
async fn a_stream_of_known_length_that_breaks_off_is_cut_too() {
    let (text, end) = broken("Content-Type: application/x-ndjson\r\nContent-Length: 100").await;
    assert_eq!((text.as_str(), end), ("{\"mess", End::Cut));
}

#[tokio::test]
async fn a_whole_json_in_chunks_that_breaks_off_is_cut() {
    let (text, end) = broken("Content-Type: application/json\r\nTransfer-Encoding: chunked").await;
    assert_eq!((text.as_str(), end), ("{\"mess", End::Cut));
}

#[tokio::test]
async fn an_answer_that_comes_and_breaks_off_in_one_breath_is_passed_on_as_far_as_it_came() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], ASK)).await;
    let mut exchange = node.next().await;
    exchange.body().await;
    exchange.say("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"mess").await;
    drop(exchange);
    let head = client.head().await.expect("the head is lost");
    let (bytes, end) = client.body(&head).await;
    assert_eq!((bytes.as_slice(), end), (&b"{\"mess"[..], End::Cut));
}

#[tokio::test]
async fn a_request_limit_ends_a_stream_with_an_error_in_it() {
    let flags = [STRICT, ("request-limit", "500ms")];
    let (mut client, mut exchange, _node) = begun("/api/chat", NDJSON, "{\"message\":{}}\n", &flags).await;
    let (rest, end) = rest(&mut client).await;
    assert_eq!(end, End::Whole);
    assert!(json(rest.trim())["error"].as_str().unwrap().contains("--request-limit"), "{rest:?}");
    exchange.wire.left().await;
}

#[tokio::test]
async fn a_request_limit_is_no_failure_of_the_node() {
    let mut node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("request-limit", "300ms")]);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], ASK)).await;
    let mut exchange = node.next().await;
    exchange.begin(NDJSON).await;
    exchange.chunk("{}\n").await;
    client.head().await.unwrap();
    client.chunks().await;
    proxy.until("/health", "\"active_connections\":0").await;
    let health = crate::client::get(proxy.address, "/health").await.json();
    assert_eq!(health["nodes"]["node1"]["failed_requests"], 0);
}

#[tokio::test]
async fn a_stream_that_broke_counts_as_a_failure_of_the_node() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", &[], ASK)).await;
    let mut exchange = node.next().await;
    exchange.begin(NDJSON).await;
    exchange.chunk("{}\n").await;
    client.head().await.unwrap();
    drop(exchange);
    client.chunks().await;
    proxy.until("/health", "\"failed_requests\":1").await;
}
