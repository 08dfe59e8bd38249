//! Very many readers of the event stream of the real program, some of whom never read.

use std::net::SocketAddr;

use ollama_proxy::simulator::Settings;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Answer, get, post, request};
use crate::events::Reader;
use crate::program::{self, Node, Scratch};
use crate::wire::{End, PATIENCE, Wire};

/// Readers at once, as README says.
const PLACES: usize = 256;
const READING: usize = 180;
const STALLED: usize = 20;
/// Requests that are sent before all who read must have heard of them.
const WAVE: u64 = 50;
const WAVES: u64 = 20;
/// What all these readers together may cost; the sleeping ones alone could take 20 MiB if their queues were copies.
const MOST: u64 = 16 * 1024;

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

/// How far a reader has come.
#[derive(Clone, Copy, Default)]
struct Heard {
    /// The id of the last event.
    last: u64,
    /// News of requests so far.
    requests: u64,
}

/// Reads all that comes, and panics when something was left out.
async fn follow(mut reader: Reader, heard: watch::Sender<Heard>) {
    loop {
        let chunk = reader.wire.chunk().await.expect("a reader who reads is cut off");
        let text = String::from_utf8(chunk).unwrap();
        for id in text.lines().filter_map(|line| line.strip_prefix("id: ")) {
            let id: u64 = id.parse().unwrap();
            heard.send_modify(|heard| {
                assert!(heard.last == 0 || heard.last + 1 == id, "between {} and {id} something was left out", heard.last);
                heard.last = id;
            });
        }
        let requests = text.matches("\"kind\":\"request\"").count();
        heard.send_modify(|heard| heard.requests += requests as u64);
    }
}

/// A connection that has room for almost nothing at both ends: its small segments keep the buffer of the sender small.
async fn narrow(proxy: SocketAddr) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
    Wire::new(socket.connect(proxy).await.unwrap())
}

async fn until(heard: &mut watch::Receiver<Heard>, fits: impl FnMut(&Heard) -> bool) -> Heard {
    let heard = timeout(PATIENCE, heard.wait_for(fits)).await.expect("a reader does not hear of it");
    *heard.expect("a reader was cut off")
}

async fn wave(proxy: SocketAddr) {
    let mut asking: JoinSet<Answer> = (0..5).map(|_| post(proxy, "/api/chat", CHAT)).collect();
    let mut asked = 5;
    while let Some(answer) = asking.join_next().await {
        assert_eq!(answer.unwrap().status(), 200);
        if asked < WAVE {
            asking.spawn(post(proxy, "/api/chat", CHAT));
            asked += 1;
        }
    }
}

/// What the process takes now, in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn of_two_hundred_readers_those_who_read_miss_nothing_and_those_who_do_not_cost_little() {
    let (node, scratch) = (Node::with(Settings { tokens: 1, ..Settings::default() }), Scratch::new());
    let proxy = program::Proxy::before(&node, &scratch, &[]);
    let address = proxy.address;
    // Whatever a first request makes is not the readers'.
    wave(address).await;
    let before = memory(proxy.pid());
    let (mut following, mut heard, mut stalled) = (JoinSet::new(), Vec::new(), Vec::new());
    for number in 0..READING + STALLED {
        if number % 10 == 9 {
            stalled.push(Reader::over(narrow(address).await, &[]).await);
            continue;
        }
        let (tell, hears) = watch::channel(Heard::default());
        following.spawn(follow(Reader::of(address).await, tell));
        heard.push(hears);
    }
    assert_eq!((heard.len(), stalled.len()), (READING, STALLED));
    for _ in 0..WAVES {
        let known = heard[0].borrow().requests;
        wave(address).await;
        let told = until(&mut heard[0], |heard| heard.requests >= known + WAVE).await.last;
        for reader in &mut heard {
            until(reader, |heard| heard.last >= told).await;
        }
    }
    let grown = proxy.peak_memory().saturating_sub(before);
    assert!(grown <= MOST, "{grown} KiB for {} readers", READING + STALLED);

    // Those who did not read have lost their places, and nobody else has.
    let mut more = Vec::new();
    for _ in READING..PLACES {
        more.push(Reader::of(address).await);
    }
    assert_eq!(get(address, "/events").await.status(), 503);
    for mut reader in stalled {
        let (bytes, end) = timeout(PATIENCE, reader.wire.chunks()).await.expect("a reader who did not read is kept");
        assert_eq!(end, End::Cut, "a stream with a hole does not look whole");
        assert!(bytes.len() < 2 * 1024 * 1024, "{} bytes were kept for it", bytes.len());
    }
    assert_eq!(following.len(), READING);
    println!("{READING} who read and {STALLED} who did not cost {grown} KiB at most");
}

#[tokio::test]
async fn more_readers_than_places_are_turned_away_until_one_leaves() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = program::Proxy::before(&node, &scratch, &[]);
    let mut readers = Vec::new();
    for _ in 0..PLACES {
        readers.push(Reader::of(proxy.address).await);
    }
    let refused = get(proxy.address, "/events").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.error().contains("as many pages"), "{}", refused.error());
    drop(readers.pop());
    let admitted = async {
        loop {
            let mut wire = Wire::connect(proxy.address).await;
            wire.say(request("GET /events", &[], "")).await;
            if wire.head().await.unwrap().status() == 200 {
                return;
            }
        }
    };
    timeout(PATIENCE, admitted).await.expect("the place of who left is not given to another");
}
