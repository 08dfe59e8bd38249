//! Places of a node, and who waits for one.

use std::time::Duration;

use crate::client;
use crate::fleet::{Fleet, MODEL, chat_body};

const TWO_BY_ONE: &str = r#"{"nodes":[{"name":"node1","capacity":1},{"name":"node2","capacity":1}]}"#;

async fn two_by_one(flags: &[(&str, &str)]) -> Fleet {
    Fleet::holding(&[&[MODEL], &[MODEL]], TWO_BY_ONE, flags).await
}

#[tokio::test]
async fn no_node_gets_more_at_once_than_its_capacity_and_nobody_is_lost() {
    let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL]], r#"{"nodes":[{"name":"node1","capacity":2}]}"#, &[]).await;
    // Two places here, four by default there.
    let chats: Vec<_> = (0..12).map(|_| fleet.chat()).collect();
    let mut running = Vec::new();
    for _ in 0..6 {
        running.push(fleet.next().await);
    }
    fleet.nothing_more().await;
    let at = |running: &Vec<(usize, _)>, node| running.iter().filter(|(index, _)| *index == node).count();
    assert_eq!((at(&running, 0), at(&running, 1)), (2, 4));
    assert_eq!(fleet.told(0).await["capacity"], 2);
    assert_eq!(fleet.told(1).await["stats"]["places_taken"], 4);
    for _ in 0..6 {
        let (freed, exchange) = running.remove(0);
        exchange.answer_chat().await;
        let (index, exchange) = fleet.next().await;
        assert_eq!(index, freed, "the place that came free is the next one's");
        running.push((index, exchange));
    }
    for (_, exchange) in running {
        exchange.answer_chat().await;
    }
    for chat in chats {
        assert_eq!(chat.await.unwrap().status(), 200);
    }
    assert_eq!(fleet.told(1).await["stats"]["places_taken"], 0);
}

#[tokio::test]
async fn who_waits_is_served_in_the_order_of_coming() {
    let mut fleet = two_by_one(&[]).await;
    let mut chats = Vec::new();
    let mut running = Vec::new();
    for number in 0..6 {
        chats.push(fleet.asks("POST /api/chat", &[], &chat_body(&format!("{MODEL}\",\"number\":\"{number}"), "")));
        if number < 2 {
            running.push(fleet.next().await);
        } else {
            until_waiting(&fleet, number - 1).await;
        }
    }
    for number in 2..6 {
        let (_, exchange) = running.remove(0);
        exchange.answer_chat().await;
        let (index, mut next) = fleet.next().await;
        let body = String::from_utf8(next.body().await).unwrap();
        assert!(body.contains(&format!("\"number\":\"{number}\"")), "{body}");
        running.push((index, next));
    }
    for (_, exchange) in running {
        exchange.answer_chat().await;
    }
    for chat in chats {
        assert_eq!(chat.await.unwrap().status(), 200);
    }
}

async fn until_waiting(fleet: &Fleet, count: usize) {
    while fleet.json("/nodes").await["waiting"] != count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_leaves_its_place_to_the_next() {
    let mut fleet = two_by_one(&[]).await;
    let _running: Vec<_> = [fleet.chat(), fleet.chat()].into();
    let (first, second) = (fleet.next().await, fleet.next().await);
    let leaves = fleet.chat();
    until_waiting(&fleet, 1).await;
    let stays = fleet.chat();
    until_waiting(&fleet, 2).await;
    leaves.abort();
    until_waiting(&fleet, 1).await;
    first.1.answer_chat().await;
    let (_, exchange) = fleet.next().await;
    exchange.answer_chat().await;
    assert_eq!(stays.await.unwrap().status(), 200);
    second.1.answer_chat().await;
    fleet.nothing_more().await;
}

#[tokio::test]
async fn waiting_is_bounded_in_number_and_in_time() {
    let mut fleet = two_by_one(&[("max-held", "1"), ("queue-wait", "5s")]).await;
    let _running: Vec<_> = [fleet.chat(), fleet.chat()].into();
    let _busy = (fleet.next().await, fleet.next().await);
    let waits = fleet.chat();
    until_waiting(&fleet, 1).await;
    let refused = fleet.chat().await.unwrap();
    assert_eq!((refused.status(), refused.head.get("retry-after").is_some()), (503, true), "{refused:?}");
    assert!(refused.error().contains("maximum pending requests exceeded"), "{refused:?}");
    let late = waits.await.unwrap();
    assert_eq!((late.status(), late.head.get("retry-after").is_some()), (503, true), "{late:?}");
    assert!(late.error().contains("--queue-wait"), "{late:?}");
}

#[tokio::test]
async fn listings_wait_for_no_place() {
    let mut fleet = two_by_one(&[]).await;
    let _running: Vec<_> = [fleet.chat(), fleet.chat()].into();
    let _busy = (fleet.next().await, fleet.next().await);
    let route = fleet.json("/route?model=llama3.2:3b").await;
    assert_eq!((&route["choice"], &route["nodes"][0]["kept"]), (&serde_json::Value::Null, &true.into()), "{route}");
    assert!(route["nodes"][0]["why"].as_str().unwrap().contains("full: its only place is taken"), "{route}");
    assert!(route["why"].as_str().unwrap().contains("would wait for a place on node1, node2"), "{route}");
    for path in ["/api/tags", "/api/version", "/health", "/nodes", "/route?model=llama3.2:3b"] {
        assert_eq!(client::get(fleet.proxy.address, path).await.status(), 200, "{path}");
    }
}
