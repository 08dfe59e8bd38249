//! The event stream: what is told, going on after a break, and what becomes of readers who do not read.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::client::{ask, post, request};
use crate::node::Node;
use crate::proxy::{Proxy, STRICT};
use crate::wire::{End, PATIENCE, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// A reader of the stream.
pub struct Reader {
    pub wire: Wire,
    text: String,
    events: VecDeque<Event>,
}

#[derive(Clone, Debug)]
pub struct Event {
    id: String,
    kind: String,
    data: Value,
}

impl Reader {
    pub async fn of(proxy: SocketAddr) -> Self {
        Self::over(Wire::connect(proxy).await, &[]).await
    }

    async fn from(proxy: SocketAddr, last: &str) -> Self {
        Self::over(Wire::connect(proxy).await, &[("Last-Event-ID", last)]).await
    }

    pub async fn over(mut wire: Wire, headers: &[(&str, &str)]) -> Self {
        wire.say(request("GET /events", headers, "")).await;
        let head = wire.head().await.unwrap();
        assert_eq!((head.status(), head.get("content-type")), (200, Some("text/event-stream")));
        assert_eq!((head.get("cache-control"), head.get("x-accel-buffering")), (Some("no-cache"), Some("no")));
        Self { wire, text: String::new(), events: VecDeque::new() }
    }

    async fn next(&mut self) -> Event {
        while self.events.is_empty() {
            let chunk = timeout(PATIENCE, self.wire.chunk()).await.expect("no event comes").expect("the stream breaks off");
            assert!(!chunk.is_empty(), "the stream ends");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let block = std::mem::replace(&mut self.text, rest);
                self.events.extend(parsed(&block));
            }
        }
        self.events.pop_front().unwrap()
    }

    /// The next event of this kind that fits; others are passed over.
    pub async fn until(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.next().await;
                if event.kind == kind && fits(&event.data) {
                    return event;
                }
            }
        };
        // Heartbeats keep a stream alive that tells nothing.
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no such event {kind} comes"))
    }
}

fn parsed(block: &str) -> Option<Event> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let data = serde_json::from_str(&field("data: ")?).unwrap();
    Some(Event { id: field("id: ").unwrap(), kind: field("event: ").unwrap(), data })
}

#[tokio::test]
async fn a_page_gets_the_whole_picture_and_then_every_change() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::strict(&node);
    let mut reader = Reader::of(proxy.address).await;
    let first = reader.next().await;
    assert_eq!(first.kind, "snapshot");
    let shown = &first.data["nodes"][0];
    assert_eq!((&shown["name"], &shown["state"], &shown["sleepable"]), (&json!("node1"), &json!("unknown"), &json!(false)));
    assert_eq!((&first.data["requests"], &first.data["proxy"]["strategy"]), (&json!([]), &json!("round_robin")));
    assert_eq!((&first.data["journal"][0]["kind"], &first.data["energy"]["estimate"]), (&json!("start"), &json!(true)));
    let address = proxy.address;
    let asking = tokio::spawn(async move { ask(address, "POST /api/chat", &[("User-Agent", "curl/8")], CHAT).await });
    let mut exchange = node.next().await;
    let running = reader.until("requests", |requests| requests[0]["node"] == "node1").await.data;
    assert_eq!((&running[0]["agent"], &running[0]["model"], &running[0]["held"]), (&json!("curl"), &json!("m"), &json!(false)));
    exchange.begin("application/x-ndjson").await;
    exchange.chunk(crate::node::CHAT_ANSWER).await;
    exchange.end().await;
    asking.await.unwrap();
    // Kinds may come in any order: each is waited for by a reader that goes on from the beginning.
    let told = |kind: &'static str, fits: fn(&Value) -> bool| {
        let id = first.id.clone();
        async move { Reader::from(address, &id).await.until(kind, fits).await.data }
    };
    let turned = told("node", |node| node["state"] == "awake").await;
    assert!(turned["timeline"].is_array() && turned["total"] == 1, "{turned}");
    told("requests", |requests| *requests == json!([])).await;
    let entry = told("journal", |entry| entry["kind"] == "request").await;
    assert_eq!((&entry["outcome"], &entry["tokens_out"]), (&json!("done"), &Value::Null));
    let traffic = told("traffic", |traffic| traffic["nodes"]["node1"]["received"].as_u64() > Some(0)).await;
    assert_eq!(traffic["nodes"]["node1"]["sent"], json!(CHAT.len()), "{traffic}");
}

#[tokio::test]
async fn who_comes_back_goes_on_where_he_was() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::strict(&node);
    let mut reader = Reader::of(proxy.address).await;
    let first = reader.next().await;
    drop(reader);
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    node.next().await.answer_chat().await;
    asking.await.unwrap();
    let mut last: u64 = first.id.parse().unwrap();
    // Twice: from before anything was told, and from the middle of what was told.
    for kind in ["request", "state"] {
        let mut again = Reader::from(address, &last.to_string()).await;
        loop {
            let next = timeout(PATIENCE, again.next()).await.expect("what was missed is not told");
            assert_ne!(next.kind, "snapshot");
            assert_eq!(next.id.parse::<u64>().unwrap(), last + 1, "something was left out");
            last += 1;
            if next.kind == "journal" && next.data["kind"] == kind {
                break;
            }
        }
    }
}

#[tokio::test]
async fn who_was_away_for_too_long_gets_the_whole_picture_again() {
    let proxy = Proxy::strict(&Node::start());
    for stale in ["1", "0", "18446744073709551615", "nonsense"] {
        assert_eq!(Reader::from(proxy.address, stale).await.next().await.kind, "snapshot", "{stale}");
    }
}

/// A connection whose other end may send almost nothing before somebody reads.
async fn narrow(proxy: SocketAddr) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    Wire::new(socket.connect(proxy).await.unwrap())
}

#[tokio::test]
async fn who_does_not_read_is_dropped_and_the_others_live_on() {
    // With so many models each change of the node is an event of several hundred kilobytes.
    let models: Vec<String> = (0..2500).map(|number| format!("library/a-rather-long-name-of-a-model-{number:04}:70b")).collect();
    let node = Node::with_models(&models.iter().map(String::as_str).collect::<Vec<_>>());
    let card = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = card.local_addr().unwrap().port().to_string();
    let wake = [("wake-mac", "02:00:00:00:00:07"), ("wake-broadcast", "127.0.0.1"), ("wake-port", &*port)];
    let proxy = Proxy::before(&[&node], &[&wake[..], &[STRICT]].concat());
    assert_eq!(post(proxy.address, "/nodes/node1/refresh", "").await.status(), 200);
    let mut live = Reader::of(proxy.address).await;
    live.next().await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(Reader::over(narrow(proxy.address).await, &[]).await);
    }
    let mut told = 0;
    for round in 0..20 {
        let agent = ["curl/8", "Mozilla/5"][round % 2];
        assert_eq!(ask(proxy.address, "POST /nodes/node1/wake?wait=1", &[("User-Agent", agent)], "").await.status(), 200);
        let family = ["curl", "browser"][round % 2];
        let by =
            |node: &Value| node["wake"]["asked_by"].as_str().is_some_and(|by| by.contains(family)) && node["state"] == "awake";
        live.until("node", by).await;
        told += 1;
    }
    assert_eq!(told, 20, "the reader who reads misses nothing");
    for mut reader in stalled {
        let (bytes, end) = timeout(PATIENCE, reader.wire.chunks()).await.expect("a reader who did not read is kept");
        assert_eq!(end, End::Cut, "a stream with a hole does not look whole");
        assert!(bytes.len() < 8 * 1024 * 1024, "{} bytes were kept for it", bytes.len());
    }
    live.wire.say("").await;
    assert_eq!(post(proxy.address, "/nodes/node1/wake", "").await.status(), 202);
    live.until("journal", |entry| entry["cause"]["agent"] == "unknown").await;
}

#[tokio::test]
async fn the_end_of_the_proxy_ends_the_streams_in_order() {
    let proxy = Proxy::strict(&Node::start());
    let mut reader = Reader::of(proxy.address).await;
    reader.next().await;
    // Were the streams to run on, this would take the whole grace.
    proxy.end().await;
    assert_eq!(reader.wire.chunks().await.1, End::Whole);
}
