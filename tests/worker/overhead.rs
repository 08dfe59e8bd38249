//! What a worker costs: time per request, measured in pairs with the same request sent past it, and memory at rest. The bars hold
//! for the program as it is shipped (`cargo test --release --test worker overhead -- --nocapture`); a debug build is told apart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ollama_proxy::simulator::Settings;
use tokio::time::Instant;

use crate::house::worker;
use crate::logind::Logind;
use crate::rig::{Node, Proxy, Scratch, connect};

/// Pairs that are measured, after as many that warm up.
const PAIRS: usize = 200;

/// What a worker may add to a request.
const ADDED: Duration = if cfg!(debug_assertions) { Duration::from_millis(10) } else { Duration::from_micros(100) };

/// What it may have in memory at rest, in KiB; a debug build is some times as large.
const RESIDENT: u64 = if cfg!(debug_assertions) { 64 * 1024 } else { 8 * 1024 };

/// Of that, what is its own and no page of a file.
const OWN: u64 = 4 * 1024;

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}],"stream":false}"#;

/// Whether an answer is all here, by its length or its last chunk.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    match head.split_once("content-length: ") {
        Some((_, length)) => body.len() >= length.split("\r\n").next().unwrap().parse().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

/// One chat on a kept connection, and how long it took.
fn chat(stream: &mut TcpStream) -> Duration {
    let text = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{CHAT}", CHAT.len());
    let (began, mut answer, mut piece) = (Instant::now(), Vec::new(), [0; 4096]);
    stream.write_all(text.as_bytes()).unwrap();
    while !is_whole(&answer) {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    began.elapsed()
}

/// What all threads of a process have computed.
fn computed(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(of).sum())
}

fn resident(worker: &Proxy, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Pairs of a chat past the worker and one through it: the median of what the second took longer, in milliseconds.
fn pairs(past: SocketAddr, through: SocketAddr, count: usize) -> f64 {
    let (mut past, mut through) = (connect(past), connect(through));
    let pair = |_| {
        let direct = chat(&mut past);
        (chat(&mut through).as_secs_f64() - direct.as_secs_f64()) * 1000.0
    };
    median((0..count).map(pair).collect())
}

#[test]
fn a_worker_adds_little_to_a_request_and_keeps_little_in_memory() {
    let quick = Settings {
        load: Duration::ZERO,
        first_token: Duration::ZERO,
        token_gap: Duration::ZERO,
        tokens: 1,
        ..Settings::default()
    };
    let (node, scratch) = (Node::with(quick), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker = worker(&node, &logind, &scratch, None, &["--log", "info"]);
    // Whoever answers has begun all its tasks.
    assert_eq!(crate::rig::get(worker.address, "/health").status, 200);
    let at_rest = (resident(&worker, "VmRSS:"), resident(&worker, "RssAnon:"));
    pairs(node.address, worker.address, PAIRS);
    let before = computed(worker.pid());
    let added = pairs(node.address, worker.address, PAIRS);
    let each = computed(worker.pid()).saturating_sub(before) / u32::try_from(PAIRS).unwrap();
    let after = (resident(&worker, "VmRSS:"), resident(&worker, "RssAnon:"));
    println!(
        "{added:.3} ms more, {each:?} of computing each; {at_rest:?} KiB at rest, {after:?} after, of which the second is its own"
    );
    // By what it computes: the clock tells as much of the other programs on this machine.
    assert!(each <= ADDED, "{each:?} of computing for a request");
    assert!(at_rest.0 <= RESIDENT && at_rest.1 <= OWN, "{at_rest:?} KiB at rest");
}
