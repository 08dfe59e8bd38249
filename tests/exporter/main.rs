//! `exporter` beside a simulated Ollama: what it tells against what really went over the sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]
#![allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "counts of bytes, far below what an f64 tells apart")]
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;

use ollama_proxy::simulator::Settings;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../metrics/page.rs"]
mod page;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use page::{Format, Page};
use rig::{Node, Proxy, Scratch, bare, connect, listen, say};

const NODE: (&str, &str) = ("node", "gpu");

/// The exporter that watches `port`, as root or not.
fn exporter(port: u16, scratch: &Scratch, as_nobody: bool) -> Proxy {
    let program = env!("CARGO_BIN_EXE_ollama-proxy");
    let mut command = Command::new(if as_nobody { "setpriv" } else { program });
    if as_nobody {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", program]);
    }
    bare(&mut command, scratch);
    command.current_dir("/").args(["exporter", "--host", "127.0.0.1", "--port", "0", "--log", "debug"]);
    command.env("NODE_NAME", "gpu").env("OLLAMA_PORT", port.to_string());
    Proxy::from(command)
}

fn scrape(exporter: &Proxy, accept: &str) -> rig::Reply {
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    say(exporter.address, head.as_bytes())
}

fn seen(exporter: &Proxy) -> Page {
    Page::parse(&scrape(exporter, "*/*").body, Format::Text)
}

/// Bytes to Ollama, and from it.
fn bytes(page: &Page) -> [f64; 2] {
    ["ollama_bytes_sent_total", "ollama_bytes_recv_total"].map(|name| page.sum(name, &[NODE]).unwrap())
}

fn open(page: &Page) -> f64 {
    page.sum("ollama_connections", &[NODE, ("state", "ESTABLISHED")]).unwrap()
}

/// Scrapes until both sums are within 2 % of these; the end of a connection takes the kernel a moment.
fn until(exporter: &Proxy, sent: usize, received: usize) {
    let near = |is: f64, wanted: usize| (is - wanted as f64).abs() <= 0.02 * wanted as f64;
    let mut now = [0.0; 2];
    for _ in 0..3000 {
        now = bytes(&seen(exporter));
        if near(now[0], sent) && near(now[1], received) {
            println!("counted {now:?} of {sent} and {received}");
            return;
        }
        rig::pause();
    }
    panic!("{now:?} are not {sent} and {received}");
}

fn request(method: &str, path: &str, body: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// One request on a connection of its own; how many bytes went each way.
fn exchange(node: SocketAddr, text: &str) -> (usize, usize) {
    let mut stream = connect(node);
    stream.write_all(text.as_bytes()).unwrap();
    let reply = listen(&mut stream);
    assert_eq!(reply.status, 200, "{}", reply.head);
    (text.len(), reply.head.len() + 4 + reply.body.len())
}

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

#[test]
fn bytes_of_short_and_long_connections_are_within_two_percent_of_what_was_sent() {
    let (node, scratch) = (Node::with(Settings { tokens: 400, ..Settings::default() }), Scratch::new());
    let exporter = exporter(node.address.port(), &scratch, false);
    assert_eq!(bytes(&seen(&exporter)), [0.0, 0.0]);
    let (mut sent, mut received) = (0, 0);
    // Nobody looks while these come and go.
    for _ in 0..100 {
        let (to, from) = exchange(node.address, &request("GET", "/api/tags", "", "Connection: close\r\n"));
        (sent, received) = (sent + to, received + from);
    }
    until(&exporter, sent, received);
    for _ in 0..5 {
        let body = CHAT.replace("hello", &"word ".repeat(10_000));
        let (to, from) = exchange(node.address, &request("POST", "/api/chat", &body, "Connection: close\r\n"));
        (sent, received) = (sent + to, received + from);
    }
    until(&exporter, sent, received);
    // One that stays open is counted as it goes, and not again at its end.
    let mut stays = connect(node.address);
    let text = request("GET", "/api/version", "", "");
    for _ in 0..200 {
        stays.write_all(text.as_bytes()).unwrap();
        let mut piece = [0; 4096];
        let mut length = 0;
        while !piece[..length].windows(4).any(|end| end == b"\r\n\r\n") || piece[length - 1] != b'}' {
            length += stays.read(&mut piece[length..]).unwrap();
        }
        (sent, received) = (sent + text.len(), received + length);
    }
    until(&exporter, sent, received);
    assert!((open(&seen(&exporter)) - 1.0).abs() < 0.1);
    drop(stays);
    for _ in 0..3000 {
        if open(&seen(&exporter)) < 0.5 {
            break;
        }
        rig::pause();
    }
    // Exact but for the ends of the 106 connections, of which TCP numbers each way's as one byte.
    let after = bytes(&seen(&exporter));
    let over = [after[0] - sent as f64, after[1] - received as f64];
    assert!(over.iter().all(|over| (0.0..=106.0).contains(over)), "{after:?} for {sent} and {received}");
}

#[test]
fn what_was_carried_before_the_start_is_not_counted() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let mut stays = connect(node.address);
    let text = request("GET", "/api/version", "", "");
    stays.write_all(text.as_bytes()).unwrap();
    let first = stays.read(&mut [0; 4096]).unwrap();
    let exporter = exporter(node.address.port(), &scratch, false);
    assert_eq!(bytes(&seen(&exporter)), [0.0, 0.0]);
    stays.write_all(text.as_bytes()).unwrap();
    assert_eq!(stays.read(&mut [0; 4096]).unwrap(), first);
    until(&exporter, text.len(), first);
}

#[test]
fn it_counts_without_any_privilege() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let is_root = std::fs::read_to_string("/proc/self/status").unwrap().lines().any(|line| line.starts_with("Uid:\t0"));
    let exporter = exporter(node.address.port(), &scratch, is_root);
    let (sent, received) = exchange(node.address, &request("GET", "/api/tags", "", "Connection: close\r\n"));
    until(&exporter, sent, received);
}

#[test]
fn the_four_metrics_have_the_first_exporter_s_names_in_both_formats() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let exporter = exporter(node.address.port(), &scratch, false);
    let stays = connect(node.address);
    let (text, open) = (scrape(&exporter, "text/plain"), scrape(&exporter, "application/openmetrics-text;version=1.0.0"));
    assert!(open.head.to_lowercase().contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    let (text, open) = (Page::parse(&text.body, Format::Text), Page::parse(&open.body, Format::OpenMetrics));
    assert_eq!(text.series(), open.series());
    assert_eq!(text.sum("ollama_connections", &[NODE, ("state", "LISTEN")]), Some(1.0));
    assert_eq!(text.sum("ollama_connections", &[NODE, ("state", "ESTABLISHED")]), Some(1.0));
    assert_eq!(text.sum("ollama_node_to_router", &[("source", "gpu"), ("target", "router")]), Some(1.0));
    assert!(!text.label_values().contains("true"), "no figure is an estimate here");
    drop(stays);
}

#[test]
fn its_other_answers_tell_what_it_does_and_dashboards_of_allowed_origins_may_read_them() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let exporter = exporter(node.address.port(), &scratch, false);
    let health = rig::get(exporter.address, "/health").body;
    assert!(health.contains(r#""status":"healthy""#) && health.contains(r#""listening":true"#), "{health}");
    assert!(health.contains(r#""bytes":"counted""#), "{health}");
    assert!(rig::get(exporter.address, "/").body.contains("/metrics"));
    assert_eq!(rig::get(exporter.address, "/api/tags").status, 404);
    assert_eq!(rig::post(exporter.address, "/metrics", "").status, 405);
    let from = |origin: &str| {
        let text = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n");
        say(exporter.address, text.as_bytes())
    };
    let reply = from("http://localhost:3000");
    assert!(reply.status == 200 && reply.head.to_lowercase().contains("access-control-allow-origin: http://localhost:3000"));
    assert_eq!(from("https://evil.example").status, 403);
    drop(node);
    let health = rig::get(exporter.address, "/health").body;
    assert!(health.contains(r#""listening":false"#), "{health}");
}

/// Voluntary switches of all its threads so far: each wake-up is one.
fn wakeups(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |status: String| -> Option<u64> {
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
    };
    tasks.filter_map(|task| of(std::fs::read_to_string(task.unwrap().path().join("status")).ok()?)).sum::<u64>()
}

#[test]
fn traffic_of_other_ports_does_not_wake_it_and_a_resting_one_does_nothing() {
    let (node, other, scratch) = (Node::start(), Node::start(), Scratch::new());
    let exporter = exporter(node.address.port(), &scratch, false);
    seen(&exporter);
    // It is at rest once two looks at it find the same.
    let mut before = wakeups(exporter.pid());
    for _ in 0..3000 {
        rig::pause();
        let now = wakeups(exporter.pid());
        if std::mem::replace(&mut before, now) == now {
            break;
        }
    }
    for _ in 0..100 {
        exchange(other.address, &request("GET", "/api/version", "", "Connection: close\r\n"));
        // Else the kernel tells of many ends at once, which would be one wake-up.
        rig::pause();
    }
    let woken = wakeups(exporter.pid()) - before;
    assert!(woken < 30, "{woken} wake-ups while 100 connections ended elsewhere");
}
