//! Many clients at once: slow streams, short requests whose clients leave, and connections that only stand there.
//!
//! `LOAD=full` asks for 100,000 short requests instead of 20,000 or as many as there is time for. The table for up to 10,000 streams is the bench's
//! (`cargo run --release --example bench -- --only many`).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod client;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Slow, ask, open_stream, slow_stream, sum};
use ollama_proxy::simulator::Settings;
use rig::{Node, Proxy, Scratch, program};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

const STREAMS: usize = 1000;
/// Of each of them.
const TOKENS: usize = 26;
/// Of the proxy, for one stream that waits for its next word.
const KIB_PER_STREAM: u64 = 40;
/// The same for one that is translated on its way, from a node or a cloud.
const KIB_PER_TRANSLATED: u64 = 32;
/// Streams that begin at the same time, where what stands is measured.
const BEGINNING: usize = 16;
/// Clients that only stand there.
const STANDING: usize = 2000;

/// Answers at once, to as many as want it.
fn quick() -> Settings {
    Settings { parallel: 4000, max_queue: 4000, tokens: 3, ..Settings::default() }
}

fn resident_kib(proxy: &Proxy) -> u64 {
    memory_kib(proxy, "VmRSS:")
}

fn memory_kib(proxy: &Proxy, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(proxy: &Proxy) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap().count()
}

/// Waits until nothing is in flight any more.
async fn until_at_rest(proxy: &Proxy) {
    let end = Instant::now() + Duration::from_secs(60);
    while sum(proxy.address, "gateway_active_connections").await > 0.0
        || sum(proxy.address, "ollama_proxy_requests_waiting").await > 0.0
    {
        assert!(Instant::now() < end, "requests are still in flight a minute after their clients have gone");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_streams_take_little_memory_each_and_none_starves() {
    // The first must still run when the last begins, on a machine that does much else.
    let settings = Settings { token_gap: Duration::from_millis(700), tokens: TOKENS, ..quick() };
    let (node, scratch) = (Node::with(settings), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &["--max-connections", "2048"]);
    proxy.until("/api/tags", "llama3.2:3b");
    let before = (resident_kib(&proxy), descriptors(&proxy));
    let mut streams = JoinSet::new();
    let (begun, mut all_begun) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..STREAMS {
        streams.spawn(slow_stream(proxy.address, begun.clone()));
        sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..STREAMS {
        all_begun.recv().await.unwrap();
    }
    let during = (resident_kib(&proxy), descriptors(&proxy));
    let each = during.0.saturating_sub(before.0) / u64::try_from(STREAMS).unwrap();
    let mut slowest = Duration::ZERO;
    while let Some(ended) = streams.join_next().await {
        let Slow { tokens, longest_gap, last } = ended.unwrap();
        assert_eq!(tokens, TOKENS, "{last}");
        slowest = slowest.max(longest_gap);
    }
    println!("{STREAMS} streams: {each} KiB each ({before:?} → {during:?} KiB and descriptors), longest gap {slowest:?}");
    assert!(during.1 > before.1 + 2 * STREAMS - 100, "they did not run at once: {during:?}");
    assert!(each <= KIB_PER_STREAM, "{each} KiB for each stream");
    assert!(slowest < Duration::from_secs(20), "a stream starved for {slowest:?}");
    until_at_rest(&proxy).await;
}

/// The proxy with the simulated server as a node of kind openai, or in the place of OpenAI and of Anthropic.
fn in_between(node: &Node, scratch: &Scratch, cloud: bool) -> Proxy {
    let mut command = program(scratch);
    let data = scratch.join("data");
    command.args(["--host", "127.0.0.1", "--port", "0", "--data-dir", &data, "--max-connections", "2048"]);
    if cloud {
        command.env("OPENAI_API_KEY", "no-secret").env("OPENAI_BASE_URL", format!("{}/v1", node.url()));
        command.env("ANTHROPIC_API_KEY", "no-secret").env("ANTHROPIC_BASE_URL", node.url());
    } else {
        let file = format!(r#"{{"nodes":[{{"name":"studio","kind":"openai","hosts":["{}/v1"]}}]}}"#, node.url());
        std::fs::write(scratch.path().join("node_config.json"), file).unwrap();
    }
    Proxy::from(command)
}

/// So many streams, a few of them beginning at a time: what only a beginning needs is not the stream's.
async fn standing_streams(address: SocketAddr, path: &'static str, model: &'static str, count: usize) -> Vec<TcpStream> {
    let beginning = Arc::new(Semaphore::new(BEGINNING));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let turn = beginning.clone();
        opening.spawn(async move {
            let _turn = turn.acquire().await.unwrap();
            open_stream(address, path, model).await
        });
    }
    opening.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_translated_streams_take_little_memory_each() {
    let settings = Settings { token_gap: Duration::from_millis(500), tokens: 4000, ..quick() };
    for (cloud, path, model) in [
        (false, "/api/chat", "llama3.2:3b"),
        (false, "/v1/messages", "llama3.2:3b"),
        (true, "/api/chat", "openai/llama3.2:3b"),
        (true, "/v1/chat/completions", "anthropic/llama3.2:3b"),
    ] {
        // A process of its own for each: what one way has freed would hide what the next takes.
        let (node, scratch) = (Node::with(settings.clone()), Scratch::new());
        let proxy = in_between(&node, &scratch, cloud);
        proxy.until("/api/tags", model);
        let first = standing_streams(proxy.address, path, model, 10).await;
        let before = memory_kib(&proxy, "RssAnon:");
        let open = standing_streams(proxy.address, path, model, STREAMS).await;
        let during = memory_kib(&proxy, "RssAnon:");
        let each = during.saturating_sub(before) / u64::try_from(STREAMS).unwrap();
        println!("{STREAMS} streams of {model} by {path}: {each} KiB each ({before} → {during} KiB)");
        assert!(each <= KIB_PER_TRANSLATED, "{each} KiB for each stream of {model} by {path}");
        drop((first, open));
        until_at_rest(&proxy).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_requests_whose_clients_often_leave_leave_nothing_behind() {
    let full = std::env::var("LOAD").as_deref() == Ok("full");
    let (count, time) = if full { (100_000, Duration::from_secs(3600)) } else { (20_000, Duration::from_secs(15)) };
    let (node, scratch) = (Node::with(quick()), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    proxy.until("/api/tags", "llama3.2:3b");
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..16 {
        clients.spawn(client::many(proxy.address, count / 16, number, began + time));
    }
    let (mut answered, mut left) = (0, 0);
    while let Some(ended) = clients.join_next().await {
        let (of_one, gone) = ended.unwrap();
        (answered, left) = (answered + of_one, left + gone);
    }
    println!("{answered} answered, {left} left, {:.1} s, {} KiB", began.elapsed().as_secs_f64(), resident_kib(&proxy));
    let all = answered + left;
    assert!(if full { all == count } else { all > 500 }, "only {all} requests were made");
    assert!(left > all / 40 && left < all / 10, "{left} left");
    until_at_rest(&proxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stand_in_the_door_keep_nobody_out() {
    let (node, scratch) = (Node::with(quick()), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    proxy.until("/api/tags", "llama3.2:3b");
    let mut standing = JoinSet::new();
    for number in 0..STANDING {
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        standing.spawn(async move {
            match number % 3 {
                0 => std::future::pending::<()>().await,
                1 => {
                    drop(stream.write_all(b"POST /api/chat HTTP/1.1\r\nHost:").await);
                    std::future::pending::<()>().await;
                }
                _ => one_byte_a_second(stream).await,
            }
        });
    }
    for _ in 0..100 {
        let took = Instant::now();
        let status = ask(proxy.address).await.unwrap();
        assert_eq!(status, 200);
        assert!(took.elapsed() < Duration::from_secs(20), "an honest client waited {:?}", took.elapsed());
    }
    println!("{STANDING} in the door: {} descriptors, {} KiB", descriptors(&proxy), resident_kib(&proxy));
}

async fn one_byte_a_second(mut stream: TcpStream) {
    let mut ticks = interval(Duration::from_secs(1));
    for byte in b"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'y')) {
        ticks.tick().await;
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}
