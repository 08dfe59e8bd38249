//! The hub without sockets, on a clock that the test moves: heartbeats, rest, and what is remembered.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::catalog::Snapshot;
use crate::config::{Env, ServeArgs, load};
use crate::fleet::{Fleet, Metrics, Rules};
use crate::schedule::{self, Scheduler};
use crate::telemetry::journal::{Event, Journal, Turn};
use crate::telemetry::metrics::Registry;

/// A hub of a house without nodes.
fn hub() -> (Hub, Journal, watch::Sender<bool>) {
    let nowhere = std::env::temp_dir().join("ollama-proxy-events-have-no-settings");
    let config = load(&ServeArgs::default(), &Env::new(), &nowhere).unwrap();
    let journal = Journal::default();
    let rules = Rules {
        timeouts: config.timeouts.clone(),
        wake: config.wake.clone(),
        health_interval: None,
        cache_ttl: config.cache_ttl,
        journal: journal.clone(),
    };
    let metrics = Metrics::register(&Registry::default());
    let fleet = Fleet::start(&[], &rules, &Snapshot::default(), &metrics, &mut JoinSet::new()).unwrap();
    let (strategy, fallback, stand_ins) = (config.strategy, config.fallback, config.stand_ins);
    let rules = schedule::Rules { strategy, fallback, sizes: config.sizes, stand_ins };
    let scheduler = Scheduler::new(&fleet, rules);
    let (end, ended) = watch::channel(false);
    let house = Arc::new(House { fleet, scheduler, price: watch::channel(None).1, started: 1_000.0 });
    (Hub::new(house, ended), journal, end)
}

async fn next(stream: &mut EventStream) -> String {
    let frame = stream.frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

fn turn() -> Event {
    Event::State(Turn::new("awake", "asleep", None))
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_a_heartbeat_every_fifteen_seconds() {
    let (hub, journal, _end) = hub();
    let mut stream = hub.join(None).unwrap();
    assert!(next(&mut stream).await.starts_with("retry:") && next(&mut stream).await.contains("event: snapshot"));
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        assert_eq!(next(&mut stream).await, ":\n\n");
        assert_eq!(before.elapsed().as_secs(), 15);
    }
    journal.note(Some("a"), turn());
    assert!(next(&mut stream).await.contains("event: journal"));
}

#[tokio::test(start_paused = true)]
async fn a_minute_after_the_last_reader_has_left_nothing_runs_and_nothing_is_remembered() {
    let (hub, journal, _end) = hub();
    let mut stream = hub.join(None).unwrap();
    journal.note(Some("a"), turn());
    while !next(&mut stream).await.contains("event: journal") {}
    let last = hub.desk().last;
    drop(stream);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert!(hub.desk().telling && hub.desk().missed(last).is_some(), "who comes back soon goes on where he was");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!hub.desk().telling && hub.desk().past.is_empty());
    assert!(hub.desk().missed(last).is_none(), "what happens from now on is seen by nobody");
    let mut again = hub.join(Some(last)).unwrap();
    next(&mut again).await;
    assert!(next(&mut again).await.contains("event: snapshot"));
}

#[tokio::test(start_paused = true)]
async fn a_reader_has_a_bounded_queue_and_what_is_remembered_is_bounded_too() {
    let (hub, _journal, _end) = hub();
    let (slow, large) = (hub.join(None).unwrap(), hub.join(None).unwrap());
    let mut diligent = hub.join(None).unwrap();
    let heard = tokio::spawn(async move {
        let mut told = 0;
        while told < QUEUE + 10 {
            told += usize::from(next(&mut diligent).await.contains("event: trial"));
        }
    });
    drop(large);
    for number in 0..QUEUE + 10 {
        hub.tell("trial", &json!(number));
        tokio::task::yield_now().await;
    }
    heard.await.unwrap();
    assert!(hub.desk().readers.is_empty(), "one has left, one did not read, one has heard enough");
    let mut slow = slow;
    let mut kept = 0;
    let end = loop {
        match slow.frame().await {
            Some(Ok(_)) => kept += 1,
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))) && kept <= QUEUE + 2, "{kept}");
    let reader = hub.join(None).unwrap();
    for _ in 0..4 {
        hub.tell("trial", &json!("x".repeat(WAITING / 3)));
    }
    assert!(hub.desk().readers.is_empty(), "by bytes as well");
    let remembered: usize = hub.desk().past.iter().map(|(_, text)| text.len()).sum();
    assert!(remembered <= WAITING, "{remembered}");
    drop(reader);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_streams_end_in_order_and_nobody_is_let_in() {
    let (hub, _journal, end) = hub();
    let mut stream = hub.join(None).unwrap();
    end.send(true).unwrap();
    while let Some(frame) = stream.frame().await {
        frame.expect("it breaks off");
    }
    assert!(hub.join(None).is_none());
}
