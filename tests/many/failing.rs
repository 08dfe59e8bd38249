//! A node that fails before its first byte is replaced; what the client must see itself is passed on.

use crate::fleet::{Fleet, MODEL, chat_body, served_by};
use crate::node::CHAT_ANSWER;
use crate::wire::End;

const BUSY: &str = r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;

#[tokio::test]
async fn a_node_that_refuses_connections_is_replaced() {
    let mut fleet = Fleet::of(2).await;
    let first = fleet.serve_one(&chat_body(MODEL, "")).await;
    // The model is loaded there, so the next chat is meant for it.
    fleet.nodes[first].close().await;
    assert_eq!(fleet.serve_one(&chat_body(MODEL, "")).await, 1 - first);
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_repeated_on_the_other_node_once() {
    let mut fleet = Fleet::of(2).await;
    for reset in [false, true] {
        let chat = fleet.chat();
        let (first, exchange) = fleet.next().await;
        if reset {
            exchange.reset().await;
        } else {
            exchange.close().await;
        }
        let (second, exchange) = fleet.next().await;
        assert_ne!(first, second);
        exchange.answer_chat().await;
        let answer = chat.await.unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (200, CHAT_ANSWER));
        assert_eq!(served_by(&answer), second);
    }
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_reset_after_half_a_head_is_repeated_elsewhere_and_nothing_is_mixed() {
    let mut fleet = Fleet::of(2).await;
    let chat = fleet.chat();
    let (first, mut exchange) = fleet.next().await;
    exchange.body().await;
    exchange.say("HTTP/1.1 200 OK\r\nX-From: the first\r\nContent-Ty").await;
    exchange.wire.reset();
    let (second, exchange) = fleet.next().await;
    assert_ne!(first, second);
    exchange.answer_chat().await;
    let answer = chat.await.unwrap();
    assert_eq!(answer.text(), CHAT_ANSWER);
    assert_eq!(answer.head.get("x-from"), None);
}

#[tokio::test]
async fn bad_gateway_unavailable_gateway_timeout_and_a_busy_server_are_replaced() {
    let mut fleet = Fleet::of(2).await;
    for (status, body) in [
        ("502 Bad Gateway", r#"{"error":"no"}"#),
        ("503 Service Unavailable", r#"{"error":"no"}"#),
        ("504 Gateway Timeout", r#"{"error":"no"}"#),
        ("503 Service Unavailable", BUSY),
    ] {
        let chat = fleet.chat();
        let (first, mut exchange) = fleet.next().await;
        exchange.answer(status, &["Content-Type: application/json"], body).await;
        let (second, exchange) = fleet.next().await;
        assert_ne!(first, second, "{status}");
        exchange.answer_chat().await;
        assert_eq!(chat.await.unwrap().status(), 200, "{status}");
    }
    fleet.nothing_more().await;
}

#[tokio::test]
async fn other_errors_are_the_clients_answer_and_no_other_node_is_asked() {
    let mut fleet = Fleet::of(2).await;
    for status in
        ["400 Bad Request", "404 Not Found", "429 Too Many Requests", "500 Internal Server Error", "501 Not Implemented"]
    {
        let chat = fleet.chat();
        let (_, mut exchange) = fleet.next().await;
        exchange.answer(status, &["Content-Type: application/json"], r#"{"error":"as the node says"}"#).await;
        let answer = chat.await.unwrap();
        assert_eq!(answer.error(), "as the node says", "{status}");
        assert!(status.starts_with(&answer.status().to_string()));
        fleet.nothing_more().await;
    }
}

#[tokio::test]
async fn when_every_node_is_busy_the_last_answer_is_passed_through_untouched() {
    let mut fleet = Fleet::of(2).await;
    let chat = fleet.chat();
    let mut last = 9;
    for _ in 0..2 {
        let (index, mut exchange) = fleet.next().await;
        assert_ne!(index, last, "no node is asked twice");
        last = index;
        exchange.answer("503 Service Unavailable", &["Content-Type: application/json"], BUSY).await;
    }
    let answer = chat.await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str(), served_by(&answer)), (503, BUSY, last));
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_request_is_tried_three_times_at_most() {
    let mut fleet = Fleet::of(5).await;
    let chat = fleet.chat();
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (index, exchange) = fleet.next().await;
        exchange.close().await;
        asked.push(index);
    }
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 3, "on different nodes first");
    let answer = chat.await.unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.error();
    assert!((1..=5).all(|number| text.contains(&format!("node{number}"))), "each node and why: {text}");
    assert!(text.contains("went away"), "{text}");
    assert!(answer.head.get("retry-after").is_some());
    fleet.nothing_more().await;
}

#[tokio::test]
async fn after_the_first_byte_no_other_node_is_asked_and_nothing_of_it_is_mixed_in() {
    let mut fleet = Fleet::of(2).await;
    let chat = fleet.chat();
    let (_, mut exchange) = fleet.next().await;
    exchange.begin("application/x-ndjson").await;
    exchange.chunk("{\"message\":{\"content\":\"half\"},\"done\":false}\n").await;
    exchange.wire.reset();
    let answer = chat.await.unwrap();
    assert_eq!((answer.status(), &answer.end), (200, &End::Whole));
    let text = answer.text();
    assert!(text.contains("half") && text.contains("\"error\"") && !text.contains(CHAT_ANSWER), "{text}");
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_mutation_that_reached_a_node_is_not_sent_to_another() {
    let mut fleet = Fleet::of(2).await;
    let pull = fleet.asks("POST /api/pull", &[], r#"{"model":"qwen3:4b"}"#);
    let (_, exchange) = fleet.next().await;
    exchange.close().await;
    assert_eq!(pull.await.unwrap().status(), 502);
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_node_without_the_model_is_no_replacement() {
    let mut fleet = Fleet::holding(&[&[MODEL], &["qwen3:4b"]], "{}", &[]).await;
    let chat = fleet.chat();
    for _ in 0..2 {
        let (index, exchange) = fleet.next().await;
        assert_eq!(index, 0);
        exchange.close().await;
    }
    let answer = chat.await.unwrap();
    assert_eq!(answer.status(), 503, "never a wrong 404: {answer:?}");
    assert!(answer.error().contains("does not have the model"), "{answer:?}");
}

#[tokio::test]
async fn a_node_that_fails_five_times_is_left_alone_and_shown_as_such() {
    let mut fleet = Fleet::of(2).await;
    let bad = fleet.serve_one(&chat_body(MODEL, "")).await;
    let mut failures = 0;
    for _ in 0..30 {
        let chat = fleet.chat();
        let (index, exchange) = fleet.next().await;
        if index == bad {
            failures += 1;
            exchange.close().await;
            let (other, exchange) = fleet.next().await;
            assert_ne!(other, bad);
            exchange.answer_chat().await;
        } else {
            exchange.answer_chat().await;
            // What is warm now is the other one: only a named request goes back.
            let name = format!("node{}", bad + 1);
            let named = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", &name)], &chat_body(MODEL, ""));
            for _ in 0..2 {
                let (index, exchange) = fleet.next().await;
                assert_eq!(index, bad);
                failures += 1;
                exchange.close().await;
                if failures >= 5 {
                    break;
                }
            }
            assert!(named.await.unwrap().status() >= 502);
        }
        assert_eq!(chat.await.unwrap().status(), 200);
        if failures >= 5 {
            break;
        }
    }
    assert_eq!(fleet.told(bad).await["stats"]["breaker"], "open");
    for _ in 0..5 {
        assert_eq!(fleet.serve_one(&chat_body(MODEL, "")).await, 1 - bad);
    }
    let route = fleet.json(&format!("/route?model={MODEL}")).await;
    assert_eq!(route["nodes"][bad]["kept"], false, "{route}");
    let why = route["nodes"][bad]["why"].as_str().unwrap();
    assert!(why.contains("its breaker is open") && why.contains("may try it in"), "{why}");
}
