//! `/metrics` of the real program in front of a simulated PC: what is counted, in both formats, and what it costs nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

use std::io::{Read, Write};
use std::time::Duration;

use ollama_proxy::simulator::{Failure, PcEvent, Settings};

mod house;
mod page;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use house::House;
use page::{Format, Page};
use rig::{ask, connect, get, post};

const STREAM: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;
const WHOLE: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}],"stream":false}"#;
const OPENMETRICS: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const NODE: (&str, &str) = ("node", "node1");

fn of_three_tokens() -> Settings {
    Settings { tokens: 3, ..Settings::default() }
}

#[test]
fn both_formats_obey_their_rules_and_hold_the_same_series() {
    let house = House::awake(Settings::default());
    assert_eq!(post(house.proxy.address, "/api/chat", STREAM).status, 200);
    house.until("gateway_requests_total", &[("endpoint", "/api/chat")], 1.0);
    let (text, open) = (house.scrape("text/plain"), house.scrape(OPENMETRICS));
    assert!(text.head.to_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", text.head);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.head.to_lowercase().contains(kind), "{}", open.head);
    let (text, open) = (Page::parse(&text.body, Format::Text), Page::parse(&open.body, Format::OpenMetrics));
    assert_eq!(text.series(), open.series());
    assert_eq!(text.families["gateway_requests_total"], "counter");
    assert_eq!(open.families["gateway_requests"], "counter");
}

#[test]
fn the_four_metrics_of_the_seeds_have_their_names_and_labels() {
    let house = House::awake(Settings::default());
    assert_eq!(post(house.proxy.address, "/api/chat", STREAM).status, 200);
    let chat = [("method", "POST"), ("endpoint", "/api/chat"), NODE];
    let page = house.until("gateway_requests_total", &[chat[0], chat[1], chat[2], ("status", "200")], 1.0);
    assert_eq!(page.sum("gateway_request_duration_seconds_count", &chat), Some(1.0));
    assert_eq!(page.sum("gateway_request_duration_seconds_bucket", &[chat[1], ("le", "1200.0")]), Some(1.0));
    assert_eq!(page.sum("gateway_request_duration_seconds_bucket", &[chat[1], ("le", "0.005")]).map(f64::is_finite), Some(true));
    assert_eq!(page.sum("gateway_active_connections", &[NODE]), Some(0.0));
    assert_eq!(page.sum("gateway_node_health", &[NODE]), Some(1.0));
}

#[test]
fn the_series_of_every_node_and_state_exist_from_the_start() {
    let house = House::awake(Settings::default());
    let page = house.page();
    for (name, labels) in [
        ("ollama_proxy_wakes_total", [("trigger", "request"), ("result", "ok")]),
        ("ollama_proxy_wakes_total", [("trigger", "manual"), ("result", "timeout")]),
        ("ollama_proxy_upstream_errors_total", [NODE, ("kind", "body")]),
        ("ollama_proxy_requests_waiting", [NODE, ("reason", "wake")]),
        ("ollama_proxy_wait_seconds_count", [("reason", "wake"), ("reason", "wake")]),
        ("ollama_proxy_wait_seconds_count", [("reason", "capacity"), ("reason", "capacity")]),
        ("ollama_proxy_cache_requests_total", [("endpoint", "/api/show"), ("result", "stale")]),
        ("ollama_proxy_node_state", [NODE, ("state", "asleep")]),
        ("ollama_proxy_client_aborts_total", [NODE, NODE]),
        ("ollama_proxy_attempts_total", [NODE, NODE]),
        ("ollama_proxy_failovers_total", [NODE, NODE]),
        ("ollama_proxy_circuit_state", [NODE, NODE]),
        ("ollama_proxy_requests_waiting", [("node", "none"), ("reason", "capacity")]),
        ("ollama_proxy_retries_total", [NODE, NODE]),
        ("ollama_proxy_wake_duration_seconds_count", [NODE, NODE]),
    ] {
        assert_eq!(page.sum(name, &labels), Some(0.0), "{name} {labels:?}");
    }
    assert_eq!(page.sum("ollama_proxy_node_state", &[NODE]), Some(1.0), "exactly one state holds");
    assert_eq!(page.sum("ollama_proxy_node_state", &[("state", "awake")]), Some(1.0));
    // The PC of this house is on loopback and nothing wakes it.
    assert_eq!(page.sum("ollama_proxy_node_info", &[NODE, ("always_on", "true")]), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), Some(1.0));
    assert!(page.sum("process_start_time_seconds", &[]).is_some_and(|at| at > 1.7e9));
    if cfg!(target_os = "linux") {
        assert!(page.sum("process_resident_memory_bytes", &[]).is_some_and(|bytes| bytes > 1e6));
    }
}

#[test]
fn tokens_are_counted_for_streams_whole_answers_and_every_dialect() {
    let house = House::awake(of_three_tokens());
    let at = house.proxy.address;
    assert_eq!(post(at, "/api/chat", STREAM).status, 200);
    assert_eq!(post(at, "/api/chat", WHOLE).status, 200);
    let openai = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;
    assert_eq!(post(at, "/v1/chat/completions", openai).status, 200);
    let with_usage = openai.replace("}]}", r#"}],"stream":true,"stream_options":{"include_usage":true}}"#);
    assert_eq!(post(at, "/v1/chat/completions", &with_usage).status, 200);
    let anthropic = openai.replace("}]}", r#"}],"max_tokens":9}"#);
    assert_eq!(post(at, "/v1/messages", &anthropic).status, 200);
    let page = house.until("ollama_proxy_tokens_total", &[NODE, ("model", "llama3.2:3b"), ("type", "output")], 15.0);
    assert!(page.sum("ollama_proxy_tokens_total", &[("type", "input")]).is_some_and(|tokens| tokens >= 5.0));
    // Only the two streams have a first token to wait for; only the two native answers tell a load.
    assert_eq!(page.sum("ollama_proxy_time_to_first_token_seconds_count", &[NODE]), Some(2.0));
    assert_eq!(page.sum("ollama_proxy_model_load_seconds_count", &[("model", "llama3.2:3b")]), Some(2.0));
    // The native answers tell the pace themselves; of the others a stream with its count shows it.
    assert_eq!(page.sum("ollama_proxy_time_per_output_token_seconds_count", &[NODE, ("model", "llama3.2:3b")]), Some(3.0));
    assert!(page.sum("ollama_bytes_sent_total", &[NODE]).is_some_and(|bytes| bytes >= 5.0 * 60.0));
    assert!(page.sum("ollama_bytes_recv_total", &[NODE]).is_some_and(|bytes| bytes >= 5.0 * 100.0));
}

#[test]
fn the_first_exporter_s_names_tell_of_the_proxy_s_own_connections() {
    let house = House::awake(Settings { token_gap: Duration::from_secs(5), ..of_three_tokens() });
    let open = [NODE, ("state", "ESTABLISHED")];
    let mut streams = connect(house.proxy.address);
    let length = STREAM.len();
    write!(streams, "POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{STREAM}").unwrap();
    assert!(streams.read(&mut [0; 4096]).unwrap() > 0);
    let page = house.until("gateway_active_connections", &[NODE], 1.0);
    let during = page.sum("ollama_connections", &open).unwrap();
    assert!(during >= 1.0, "{during}");
    assert_eq!(page.sum("ollama_node_to_router", &[("source", "node1"), ("target", "router")]), Some(during));
}

#[test]
fn nothing_that_a_client_says_becomes_a_label() {
    let house = House::awake(Settings::default());
    let at = house.proxy.address;
    get(at, "/evil/path?evil=1");
    ask(at, "EVIL", "/api/tags", "");
    post(at, "/api/chat", r#"{"model":"evil-model:7b","messages":[{"role":"user","content":"x"}]}"#);
    post(at, "/v1/chat/completions", r#"{"model":"evil\"model","messages":[]}"#);
    get(at, "/v1/models/evil");
    let page = house.until("gateway_requests_total", &[("endpoint", "other")], 1.0);
    let evil: Vec<_> = page.label_values().into_iter().filter(|value| value.to_lowercase().contains("evil")).collect();
    assert!(evil.is_empty(), "{evil:?}");
    assert_eq!(page.sum("gateway_requests_total", &[("method", "other"), ("endpoint", "/api/tags")]), Some(1.0));
}

#[test]
fn a_model_has_one_label_however_clients_spell_it() {
    let house = House::awake(of_three_tokens());
    for name in ["llama3.2:3b", "LLAMA3.2:3B", "library/llama3.2:3b", "registry.ollama.ai/library/llama3.2:3b"] {
        assert_eq!(post(house.proxy.address, "/api/chat", &STREAM.replace("llama3.2:3b", name)).status, 200, "{name}");
    }
    let page = house.until("ollama_proxy_tokens_total", &[("model", "llama3.2:3b"), ("type", "output")], 12.0);
    assert_eq!(page.sum("ollama_proxy_tokens_total", &[("type", "output")]), Some(12.0));
}

#[test]
fn answers_of_the_catalog_are_counted_by_freshness() {
    let house = House::awake(Settings::default());
    let tags = [("endpoint", "/api/tags"), ("result", "hit")];
    let before = house.page().sum("ollama_proxy_cache_requests_total", &tags).unwrap();
    assert_eq!(get(house.proxy.address, "/api/tags").status, 200);
    let page = house.until("ollama_proxy_cache_requests_total", &tags, before + 1.0);
    assert!(page.sum("ollama_proxy_cache_age_seconds", &[NODE]).is_some_and(|age| (0.0..60.0).contains(&age)));
    get(house.proxy.address, "/api/ps");
    house.until("ollama_proxy_cache_requests_total", &[("endpoint", "/api/ps"), ("result", "bypass")], 1.0);
}

#[test]
fn a_scrape_of_a_sleeping_pc_wakes_nothing_and_calls_it_healthy() {
    let house = House::asleep();
    house.until("ollama_proxy_node_state", &[("state", "asleep")], 1.0);
    let mut events = house.pc.events();
    for _ in 0..20 {
        assert_eq!(house.scrape("*/*").status, 200);
    }
    assert_eq!(house.page().sum("gateway_node_health", &[NODE]), Some(1.0));
    assert!(events.try_recv().is_err() && !house.pc.is_awake());
    assert_eq!(house.page().sum("ollama_proxy_wake_packets_total", &[]), Some(0.0));
}

#[test]
fn a_wake_is_counted_with_its_packets_its_time_and_those_who_waited() {
    let house = House::asleep();
    house.until("ollama_proxy_node_state", &[("state", "asleep")], 1.0);
    let mut events = house.pc.events();
    let chat = std::thread::spawn({
        let at = house.proxy.address;
        move || post(at, "/api/chat", STREAM).status
    });
    house.until("ollama_proxy_requests_waiting", &[NODE, ("reason", "wake")], 1.0);
    assert_eq!(house.page().sum("ollama_proxy_node_state", &[("state", "waking")]), Some(1.0));
    assert_eq!(chat.join().unwrap(), 200);
    let page = house.until("ollama_proxy_wakes_total", &[NODE, ("trigger", "request"), ("result", "ok")], 1.0);
    assert_eq!(page.sum("ollama_proxy_wakes_total", &[]), Some(1.0), "one campaign, one wake");
    assert_eq!(page.sum("ollama_proxy_wake_duration_seconds_count", &[NODE]), Some(1.0));
    assert!(page.sum("ollama_proxy_wake_packets_total", &[("method", "magic_packet")]).is_some_and(|sent| sent >= 1.0));
    assert_eq!(page.sum("ollama_proxy_wait_seconds_count", &[("reason", "wake")]), Some(1.0));
    assert_eq!(events.blocking_recv().unwrap(), PcEvent::PacketSeen);
    house.until("ollama_proxy_requests_waiting", &[NODE], 0.0);
}

#[test]
fn each_way_of_failing_counts_into_its_own_series() {
    let house = House::awake(of_three_tokens());
    let (at, chat) = (house.proxy.address, Some("/api/chat"));
    let ended = |status| [("endpoint", "/api/chat"), ("status", status)];
    let of = |kind| [NODE, ("kind", kind)];

    house.pc.ollama().fail(Failure::Broken, 1, chat);
    post(at, "/api/chat", STREAM);
    let page = house.until("gateway_requests_total", &ended("500"), 1.0);
    assert_eq!(page.sum("ollama_proxy_upstream_errors_total", &of("status_5xx")), Some(1.0));

    house.pc.ollama().fail(Failure::EndEarly, 1, chat);
    post(at, "/api/chat", STREAM);
    let page = house.until("gateway_requests_total", &ended("error"), 1.0);
    assert_eq!(page.sum("ollama_proxy_upstream_errors_total", &of("body")), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_client_aborts_total", &[]), Some(0.0));
    assert_eq!(page.sum("ollama_proxy_retries_total", &[]), Some(0.0));
}

#[test]
fn an_attempt_that_is_repeated_is_one_error_one_retry_and_one_request() {
    let house = House::sleeper_that_is_awake();
    house.pc.ollama().fail(Failure::ResetBeforeHead, 1, Some("/api/chat"));
    assert_eq!(post(house.proxy.address, "/api/chat", STREAM).status, 200);
    let page = house.until("gateway_requests_total", &[("endpoint", "/api/chat"), ("status", "200")], 1.0);
    assert_eq!(page.sum("ollama_proxy_upstream_errors_total", &[NODE, ("kind", "reset")]), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_upstream_errors_total", &[NODE]), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_retries_total", &[NODE]), Some(1.0));
    assert_eq!(page.sum("gateway_requests_total", &[("endpoint", "/api/chat")]), Some(1.0));
}

#[test]
fn a_wake_in_vain_is_a_timeout_and_a_persons_wake_is_counted_apart() {
    let house = House::deaf();
    house.until("ollama_proxy_node_state", &[("state", "asleep")], 1.0);
    assert_eq!(post(house.proxy.address, "/nodes/node1/wake?wait=1", "").status, 504);
    let page = house.until("ollama_proxy_wakes_total", &[NODE, ("trigger", "manual"), ("result", "timeout")], 1.0);
    assert_eq!(page.sum("ollama_proxy_wakes_total", &[]), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_node_state", &[("state", "wake_failed")]), Some(1.0));
    assert_eq!(page.sum("gateway_node_health", &[NODE]), Some(0.0));
}

#[test]
fn a_client_that_leaves_is_counted_and_blamed_on_nobody() {
    let house = House::awake(Settings { token_gap: Duration::from_secs(5), ..Settings::default() });
    let mut stream = connect(house.proxy.address);
    let length = STREAM.len();
    write!(stream, "POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{STREAM}").unwrap();
    assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    let page = house.until("gateway_active_connections", &[NODE], 1.0);
    assert_eq!(page.sum("gateway_requests_total", &[("endpoint", "/api/chat")]), None, "it has not ended yet");
    drop(stream);
    let page = house.until("gateway_requests_total", &[("endpoint", "/api/chat"), ("status", "499")], 1.0);
    assert_eq!(page.sum("ollama_proxy_client_aborts_total", &[NODE]), Some(1.0));
    assert_eq!(page.sum("ollama_proxy_upstream_errors_total", &[NODE]), Some(0.0));
}

#[test]
fn the_page_takes_get_and_head_only() {
    let house = House::awake(Settings::default());
    assert_eq!(post(house.proxy.address, "/metrics", "").status, 405);
    let head = ask(house.proxy.address, "HEAD", "/metrics", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.head.to_lowercase().contains("content-length: "), "{}", head.head);
}
