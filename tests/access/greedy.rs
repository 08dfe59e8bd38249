//! Clients that want more than their share: each has its bound, and the others do not notice.

use std::time::Duration;

use crate::client::{ask, request};
use crate::house::{CHAT, CLIENT_KEY, House};
use crate::wire::Wire;

const NEIGHBOUR: (&str, &str) = ("X-Forwarded-For", "192.168.1.66");
const BEHIND_A_PROXY: (&str, &str) = ("trusted-proxy", "127.0.0.1");

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_it_may_again_and_others_are_served() {
    let house = House::awake(&[("client-rate", "3"), BEHIND_A_PROXY]);
    house.all(&["GET /api/version"; 3], &[], 200).await;
    let refused = house.ask("POST /v1/chat/completions", &[]).await;
    assert_eq!((refused.status(), &refused.json()["error"]["type"]), (429, &"rate_limit_error".into()));
    let after: u64 = refused.head.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=21).contains(&after), "{after}");
    assert_eq!(refused.head.get("x-should-retry"), None, "an SDK may try again after that time");
    assert_eq!(house.status("GET /api/version", &[NEIGHBOUR]).await, 200);
    assert_eq!(house.status("GET /health", &[]).await, 200, "looking at us costs nothing");
    assert_eq!(house.refusals("rate", &[]).await, 1);
}

#[tokio::test]
async fn a_client_runs_so_many_requests_at_once_and_one_more_when_one_has_ended() {
    let mut house = House::awake(&[("client-concurrent", "1"), BEHIND_A_PROXY]);
    let mut first = Wire::connect(house.proxy.address).await;
    first.say(request("POST /api/chat", &[], CHAT)).await;
    let mut exchange = house.node.next().await;
    exchange.begin("application/x-ndjson").await;
    exchange.chunk("{\"done\":false}\n").await;
    assert_eq!(first.head().await.unwrap().status(), 200);
    assert_eq!(house.status("GET /api/version", &[]).await, 429, "its answer still runs");
    assert_eq!(house.status("GET /api/version", &[NEIGHBOUR]).await, 200);
    drop(first);
    drop(exchange);
    let free = async {
        while house.status("GET /api/version", &[]).await != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.expect("its place is never given back");
    assert!(house.refusals("concurrency", &[]).await >= 1);
}

#[tokio::test]
async fn a_client_that_wakes_too_often_is_stopped_and_named() {
    let mut house = House::asleep(&[("wake-budget", "1"), BEHIND_A_PROXY]).await;
    let address = house.proxy.address;
    let first = tokio::spawn(async move { ask(address, "POST /api/chat", &[], CHAT).await });
    house.service.next().await.answer("200 OK", &[], "ok").await;
    // Its connect has been given up by then, so it is the wake that it waits for.
    house.proxy.until("/nodes", "\"held\":1").await;
    house.node.wake();
    house.node.next().await.answer_chat().await;
    assert_eq!(first.await.unwrap().status(), 200, "the one wake that it has");
    house.node.sleep().await;
    let answer = house.ask("POST /api/chat", &[]).await;
    assert_eq!(answer.status(), 429, "{}", answer.text());
    assert!(answer.error().contains("--wake-budget"), "{}", answer.error());
    assert!(answer.head.get("retry-after").unwrap().parse::<u64>().unwrap() > 60);
    assert_eq!(answer.head.get("x-should-retry"), Some("false"), "an SDK need not wait for that");
    assert_eq!(house.service.seen().len(), 1, "nobody was woken again");
    let page = house.ask("GET /", &[("Accept", "text/html")]).await.text();
    assert!(page.contains("client 127.0.0.1 has used up its wakes"), "{page}");
    let journal = house.ask("GET /journal", &[]).await.json();
    let told = |entry: &&serde_json::Value| entry["kind"] == "refused" && entry["client"] == "client 127.0.0.1";
    assert_eq!(journal["entries"].as_array().unwrap().iter().filter(told).count(), 1, "{journal}");
    // Another client has its own wakes.
    let other = tokio::spawn(async move { ask(address, "POST /api/chat", &[NEIGHBOUR], CHAT).await });
    house.service.next().await;
    other.abort();
}

#[tokio::test]
async fn a_key_is_one_client_wherever_it_comes_from() {
    let house = House::awake(&[("client-rate", "2"), ("api-key", CLIENT_KEY), BEHIND_A_PROXY]);
    let key = ("X-API-Key", CLIENT_KEY);
    assert_eq!(house.status("GET /api/version", &[key]).await, 200);
    assert_eq!(house.status("GET /api/version", &[key, NEIGHBOUR]).await, 200);
    assert_eq!(house.status("GET /api/version", &[key, ("X-Forwarded-For", "192.168.1.67")]).await, 429);
}

#[tokio::test]
async fn each_bound_is_counted_under_its_own_name() {
    let house = House::awake(&[("max-body", "1KiB"), ("max-buffer", "1KiB"), ("max-held", "1")]);
    let long = format!(r#"{{"model":"m","messages":[],"pad":"{}"}}"#, "x".repeat(2000));
    let answer = ask(house.proxy.address, "POST /api/chat", &[], &long).await;
    assert_eq!((answer.status(), house.refusals("body", &[]).await), (413, 1));
    let mut half = Wire::connect(house.proxy.address).await;
    let whole = format!(r#"{{"model":"m","messages":[],"pad":"{}"}}"#, "x".repeat(900));
    let bytes = request("POST /api/chat", &[], &whole);
    half.say(&bytes[..bytes.len() - 5]).await;
    let full = async {
        while ask(house.proxy.address, "POST /api/chat", &[], &whole).await.status() != 503 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The node answers no chat, so only the bound can.
    tokio::time::timeout(Duration::from_secs(20), full).await.expect("the buffer is never full");
    assert_eq!(house.refusals("buffer", &[]).await, 1);
    let page = house.ask("GET /metrics", &[]).await.text();
    for line in ["bound{bound=\"connections\"} 1024", "bound{bound=\"held\"} 1", "bound_used{bound=\"buffer_bytes\"} 1024"] {
        assert!(page.contains(&format!("\nollama_proxy_{line}\n")), "{line} in {page}");
    }
    drop(half);
    house.proxy.until("/metrics", "ollama_proxy_bound_used{bound=\"buffer_bytes\"} 0\n").await;
}

#[tokio::test]
async fn clients_that_wait_take_turns() {
    let one_place = r#"{"nodes":[{"name":"node1","capacity":1}]}"#;
    let mut house = House::with_file("node_config.json", one_place, &[BEHIND_A_PROXY]);
    let address = house.proxy.address;
    let asks = |who: &'static str, headers: &'static [(&str, &str)]| {
        let body = CHAT.replace("hello", who);
        tokio::spawn(async move { ask(address, "POST /api/chat", headers, body).await.status() })
    };
    let mut all = vec![asks("many 0", &[])];
    let mut running = house.node.next().await;
    for (number, who) in ["many 1", "many 2", "many 3", "few 1", "few 2"].into_iter().enumerate() {
        all.push(asks(who, if who.starts_with("few") { &[NEIGHBOUR] } else { &[] }));
        house.proxy.until("/nodes", &format!("\"waiting\":{}", number + 1)).await;
    }
    let mut order = Vec::new();
    for _ in 0..5 {
        running.answer_chat().await;
        running = house.node.next().await;
        let body = String::from_utf8(running.body().await).unwrap();
        order.push(["many 1", "many 2", "many 3", "few 1", "few 2"].into_iter().find(|who| body.contains(who)).unwrap());
    }
    running.answer_chat().await;
    assert_eq!(order, ["many 1", "few 1", "many 2", "few 2", "many 3"]);
    for asked in all {
        assert_eq!(asked.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn who_is_one_too_many_and_who_waits_too_long_are_told_and_counted() {
    let one_place = r#"{"nodes":[{"name":"node1","capacity":1}]}"#;
    let mut house = House::with_file("node_config.json", one_place, &[("max-held", "1"), ("queue-wait", "6s")]);
    let address = house.proxy.address;
    let asks = || tokio::spawn(async move { ask(address, "POST /api/chat", &[], CHAT).await });
    let first = asks();
    let running = house.node.next().await;
    let waits = asks();
    house.proxy.until("/nodes", "\"waiting\":1").await;
    let refused = asks().await.unwrap();
    assert_eq!((refused.status(), refused.head.get("retry-after").is_some()), (503, true), "{}", refused.text());
    let late = waits.await.unwrap();
    assert_eq!(late.status(), 503, "{}", late.text());
    assert_eq!((house.refusals("held", &[]).await, house.refusals("queue_wait", &[]).await), (1, 1));
    running.answer_chat().await;
    assert_eq!(first.await.unwrap().status(), 200);
}

#[tokio::test]
async fn connections_that_ask_for_nothing_make_room_and_are_counted() {
    let house = House::awake(&[("max-connections", "3")]);
    let mut quiet = Vec::new();
    for _ in 0..3 {
        quiet.push(Wire::connect(house.proxy.address).await);
    }
    assert_eq!(house.status("GET /health", &[]).await, 200);
    let page = house.ask("GET /metrics", &[]).await.text();
    let ended = page.lines().find_map(|line| line.strip_prefix("ollama_proxy_quiet_connections_ended_total "));
    assert!(ended.unwrap().parse::<u64>().unwrap() >= 1, "{page}");
    assert!(page.contains("ollama_proxy_bound{bound=\"connections\"} 3\n"), "{page}");
}
