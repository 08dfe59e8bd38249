//! What `/metrics` tells of failing and full nodes.

use crate::client;
use crate::fleet::{Fleet, MODEL, chat_body};

const ONE_PLACE: &str = r#"{"nodes":[{"name":"node1","capacity":1},{"name":"node2","capacity":1}]}"#;

/// The value of the series that is written like this.
async fn value(fleet: &Fleet, series: &str) -> f64 {
    let page = client::get(fleet.proxy.address, "/metrics").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).parse().unwrap()
}

/// Waits until it has that value: what ends is counted just after its end.
async fn until(fleet: &Fleet, series: &str, wanted: f64) {
    for _ in 0..1000 {
        if (value(fleet, series).await - wanted).abs() < 1e-9 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{series} is {} and never {wanted}", value(fleet, series).await);
}

#[tokio::test]
async fn a_failover_is_counted_on_the_node_that_failed_and_a_repeat_on_the_same_node_is_none() {
    let mut fleet = Fleet::of(2).await;
    let chat = fleet.chat();
    let (first, exchange) = fleet.next().await;
    exchange.close().await;
    fleet.next().await.1.answer_chat().await;
    assert_eq!(chat.await.unwrap().status(), 200);
    let (bad, good) = (format!("node{}", first + 1), format!("node{}", 2 - first));
    let of = |family: &str, node: &str| format!("ollama_proxy_{family}_total{{node=\"{node}\"}}");
    until(&fleet, &of("failovers", &bad), 1.0).await;
    until(&fleet, &of("retries", &bad), 1.0).await;
    until(&fleet, &of("attempts", &bad), 1.0).await;
    until(&fleet, &of("failovers", &good), 0.0).await;
    until(&fleet, &of("attempts", &good), 1.0).await;

    let named = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", &good)], &chat_body(MODEL, ""));
    fleet.next().await.1.close().await;
    fleet.next().await.1.answer_chat().await;
    assert_eq!(named.await.unwrap().status(), 200);
    until(&fleet, &of("retries", &good), 1.0).await;
    until(&fleet, &of("failovers", &good), 0.0).await;
    until(&fleet, &of("attempts", &good), 3.0).await;
}

#[tokio::test]
async fn an_open_breaker_is_seen_in_its_series() {
    let mut fleet = Fleet::of(2).await;
    let breaker = |node| format!("ollama_proxy_circuit_state{{node=\"{node}\"}}");
    assert!(value(&fleet, &breaker("node1")).await.abs() < 1e-9);
    for _ in 0..3 {
        let named = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", "node1")], &chat_body(MODEL, ""));
        while !named.is_finished() && value(&fleet, &breaker("node1")).await < 2.0 {
            if let Ok((_, exchange)) = tokio::time::timeout(std::time::Duration::from_millis(50), fleet.next()).await {
                exchange.close().await;
            }
        }
        assert!(named.await.unwrap().status() >= 502);
    }
    until(&fleet, &breaker("node1"), 2.0).await;
    until(&fleet, &breaker("node2"), 0.0).await;
}

#[tokio::test]
async fn who_waits_for_a_place_is_seen_waiting_and_its_wait_is_counted_even_if_it_leaves() {
    let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL]], ONE_PLACE, &[]).await;
    let waiting = "ollama_proxy_requests_waiting{node=\"none\",reason=\"capacity\"}";
    let waits = "ollama_proxy_wait_seconds_count{reason=\"capacity\"}";
    assert!(value(&fleet, waiting).await.abs() < 1e-9);
    let running = [fleet.chat(), fleet.chat()];
    let busy = [fleet.next().await, fleet.next().await];
    let (leaves, stays) = (fleet.chat(), fleet.chat());
    until(&fleet, waiting, 2.0).await;
    leaves.abort();
    until(&fleet, waiting, 1.0).await;
    until(&fleet, waits, 1.0).await;
    for (_, exchange) in busy {
        exchange.answer_chat().await;
    }
    fleet.next().await.1.answer_chat().await;
    assert_eq!(stays.await.unwrap().status(), 200);
    for chat in running {
        assert_eq!(chat.await.unwrap().status(), 200);
    }
    until(&fleet, waits, 2.0).await;
    until(&fleet, waiting, 0.0).await;
}
