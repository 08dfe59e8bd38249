//! What is written down: who woke what, how long it took, what slept, what it saved. It survives restarts, and looking at
//! it touches no node.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{ask, get, post, request};
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::{Proxy, STRICT};
use crate::wire::{PATIENCE, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
const WEBUI: (&str, &str) = ("User-Agent", "Open WebUI/0.6");

async fn journal(proxy: &Proxy, since: u64) -> Vec<Value> {
    let json = get(proxy.address, &format!("/journal?since={since}")).await.json();
    assert!(json["now"].as_f64() > Some(1e9) && json["last"].is_u64(), "{json}");
    json["entries"].as_array().unwrap().clone()
}

fn of_kind<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["kind"] == kind).collect()
}

/// Waits for an entry of this kind that fits, and returns it.
async fn entry(proxy: &Proxy, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let found = async {
        loop {
            let entries = journal(proxy, 0).await;
            if let Some(entry) = of_kind(&entries, kind).into_iter().find(|entry| fits(entry)) {
                return entry.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no such {kind} is written down"))
}

/// A sleeping node with the service that its wake URL is at.
async fn asleep() -> (Node, Node, String) {
    let (mut node, service) = (Node::with_models(&["m"]), Node::start());
    node.sleep().await;
    let url = service.url();
    (node, service, url)
}

async fn held_chat(proxy: &Proxy, headers: &[(&str, &str)]) -> Wire {
    let mut client = Wire::connect(proxy.address).await;
    client.say(request("POST /api/chat", headers, CHAT)).await;
    proxy.until("/nodes", "\"state\":\"waking\"").await;
    client
}

/// A chat that finds the node asleep, wakes it and is answered.
async fn waking_chat(proxy: &Proxy, node: &mut Node, service: &mut Node) {
    let mut client = held_chat(proxy, &[WEBUI]).await;
    service.next().await.answer("200 OK", &[], "ok").await;
    // Only an attempt without an answer proves the sleep.
    entry(proxy, "state", |entry| entry["to"] == "waking").await;
    proxy.until("/nodes", "no answer").await;
    node.wake();
    node.next().await.answer_chat().await;
    assert_eq!(client.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn a_wake_is_written_down_with_who_asked_and_how_long_each_step_took() {
    let (mut node, mut service, url) = asleep().await;
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &*url)]);
    waking_chat(&proxy, &mut node, &mut service).await;
    let wake = entry(&proxy, "wake", |wake| !wake["seconds_to_first_byte"].is_null()).await;
    let cause = json!({ "trigger": "request", "client": "127.0.0.1", "agent": "open-webui", "path": "/api/chat", "model": "m" });
    assert_eq!((&wake["cause"], &wake["node"], &wake["result"]), (&cause, &json!("node1"), &json!("awake")));
    assert_eq!((&wake["packets"], &wake["url_calls"], &wake["slept"]), (&json!(0), &json!(1), &json!(true)));
    let seconds = |name: &str| wake[name].as_f64().unwrap_or_else(|| panic!("no {name} in {wake}"));
    assert!(seconds("seconds_to_connect") <= seconds("seconds_to_http"), "{wake}");
    assert!(seconds("seconds_to_http") <= seconds("seconds_to_first_byte"), "{wake}");
    let entries = journal(&proxy, 0).await;
    let turns: Vec<_> = of_kind(&entries, "state").iter().map(|turn| turn["to"].as_str().unwrap().to_owned()).collect();
    assert_eq!(turns, ["waking", "awake"]);
    let request = entry(&proxy, "request", |request| request["outcome"] == "done").await;
    assert_eq!(
        (&request["status"], &request["agent"], &request["bytes_in"]),
        (&json!(200), &json!("open-webui"), &json!(CHAT.len()))
    );
    assert!(request["held_seconds"].as_f64() > Some(0.0) && request["bytes_out"].as_u64() > Some(0), "{request}");
}

#[tokio::test]
async fn a_failed_wake_is_written_down_too_and_who_gave_up_waiting_has_waited() {
    let (node, mut service, url) = asleep().await;
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &*url), ("wake-timeout", "2s")]);
    let waiting = held_chat(&proxy, &[]).await;
    proxy.until("/nodes", "\"held\":1").await;
    drop(waiting);
    service.next().await.answer("200 OK", &[], "ok").await;
    let left = entry(&proxy, "request", |request| request["outcome"] == "client_left").await;
    assert!(left["held_seconds"].as_f64() > Some(0.0), "{left}");
    let wake = entry(&proxy, "wake", |_| true).await;
    assert_eq!(
        (&wake["result"], &wake["seconds_to_http"], &wake["cause"]["agent"]),
        (&json!("failed"), &Value::Null, &json!("unknown"))
    );
    assert!(wake["seconds"].as_f64() >= Some(2.0), "{wake}");
}

#[tokio::test]
async fn a_wake_by_hand_names_the_person() {
    let (mut node, mut service, url) = asleep().await;
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &*url)]);
    let asked = ask(proxy.address, "POST /nodes/node1/wake", &[("User-Agent", "curl/8.5")], "").await;
    assert_eq!(asked.status(), 202);
    service.next().await.answer("200 OK", &[], "ok").await;
    node.wake();
    let wake = entry(&proxy, "wake", |_| true).await;
    let cause = json!({ "trigger": "manual", "client": "127.0.0.1", "agent": "curl", "path": null, "model": null });
    assert_eq!(wake["cause"], cause);
}

#[tokio::test]
async fn what_only_lists_is_not_written_down_and_since_leaves_out_what_is_known() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::strict(&node);
    for path in ["/api/tags", "/health", "/nodes", "/summary"] {
        get(proxy.address, path).await;
    }
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    node.next().await.answer_chat().await;
    asking.await.unwrap();
    let request = entry(&proxy, "request", |_| true).await;
    assert_eq!(of_kind(&journal(&proxy, 0).await, "request").len(), 1);
    let seq = request["seq"].as_u64().unwrap();
    assert!(journal(&proxy, seq).await.iter().all(|entry| entry["seq"].as_u64() > Some(seq)));
    assert_eq!(get(address, "/journal?since=nonsense").await.json()["entries"][0]["kind"], "start");
}

#[tokio::test]
async fn nothing_that_was_said_is_ever_written_down() {
    const CANARY: &str = "yellowbird";
    let scratch = Arc::new(Scratch::new());
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::remembering(&scratch, &[&node], &[STRICT]);
    let mut events = Wire::connect(proxy.address).await;
    events.say(request("GET /events", &[], "")).await;
    let body = format!(r#"{{"model":"m","system":"{CANARY}","messages":[{{"role":"user","content":"{CANARY}"}}]}}"#);
    let key = format!("Bearer {CANARY}");
    let headers = [("Authorization", &*key), ("User-Agent", CANARY), ("Cookie", CANARY), ("X-Title", CANARY)];
    let mut client = Wire::connect(proxy.address).await;
    client.say(request(&format!("POST /api/chat?q={CANARY}"), &headers, body)).await;
    let mut exchange = node.next().await;
    exchange.answer_json(&json!({ "model": "m", "message": { "content": CANARY }, "done": true })).await;
    assert!(client.answer("POST").await.text().contains(CANARY));
    let mut refused = Wire::connect(proxy.address).await;
    refused.say(request(&format!("POST /{CANARY}"), &headers, format!(r#"{{"prompt":"{CANARY}"}}"#))).await;
    node.next().await.answer("404 Not Found", &[], CANARY).await;
    refused.answer("POST").await;
    entry(&proxy, "request", |request| request["route"] == "other").await;
    for path in ["/journal", "/summary", "/topology.json", "/metrics"] {
        assert!(!get(proxy.address, path).await.text().contains(CANARY), "{path}");
    }
    proxy.end().await;
    events.head().await.unwrap();
    let (told, _) = events.chunks().await;
    assert!(!String::from_utf8(told).unwrap().contains(CANARY));
    let mut files = Vec::new();
    for file in std::fs::read_dir(scratch.join("data")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read(file.path()).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(CANARY));
        files.push(file.file_name().into_string().unwrap());
    }
    // A slow machine has written them before the end too: then the ones before lie beside them.
    files.retain(|file| !file.contains(".old"));
    files.sort();
    assert_eq!(files, ["journal.jsonl", "state.json"]);
}

#[tokio::test]
async fn a_restart_keeps_the_journal_which_only_its_owner_may_read() {
    let scratch = Arc::new(Scratch::new());
    let (mut node, mut service, url) = asleep().await;
    let flags = [STRICT, ("wake-url", &*url)];
    let proxy = Proxy::remembering(&scratch, &[&node], &flags);
    waking_chat(&proxy, &mut node, &mut service).await;
    let before = {
        entry(&proxy, "request", |_| true).await;
        entry(&proxy, "wake", |wake| !wake["seconds_to_first_byte"].is_null()).await;
        journal(&proxy, 0).await
    };
    proxy.end().await;
    let file = std::path::PathBuf::from(scratch.join("data/journal.jsonl"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Proxy::remembering(&scratch, &[&node], &flags);
    let after = journal(&again, 0).await;
    assert_eq!(after[..before.len()], before[..]);
    let start = &after[before.len()];
    assert_eq!(
        (&start["kind"], start["seq"].as_u64()),
        (&json!("start"), before.last().unwrap()["seq"].as_u64().map(|seq| seq + 1))
    );
    assert!(start["down_since"].as_f64() >= before.last().unwrap()["at"].as_f64(), "{start}");
    assert_eq!(get(again.address, "/summary").await.json()["requests_today"], 1);
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_and_the_proxy_starts() {
    for damage in
        [&b"{\"version\":1}\n{\"seq\":1,\"at\":2.0,\"kind\":\"start\"}\n{\"seq\":2,\"at\":"[..], b"\x00\xff nonsense", b""]
    {
        let scratch = Arc::new(Scratch::new());
        let data = scratch.join("data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(format!("{data}/journal.jsonl"), damage).unwrap();
        let proxy = Proxy::remembering(&scratch, &[&Node::start()], &[STRICT]);
        let entries = journal(&proxy, 0).await;
        assert_eq!(entries.last().unwrap()["kind"], "start");
        let aside = std::fs::read(format!("{data}/journal.jsonl.damaged-1")).unwrap();
        assert_eq!(aside, damage);
        proxy.end().await;
        assert!(std::fs::read_to_string(format!("{data}/journal.jsonl")).unwrap().starts_with("{\"version\":2"));
    }
}

/// The value of a series.
async fn metric(proxy: &Proxy, series: &str) -> f64 {
    let page = get(proxy.address, "/metrics").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("no {series} in\n{page}"));
    line.trim().parse().unwrap()
}

#[tokio::test]
async fn a_contact_that_finds_the_node_asleep_books_its_sleep_back_and_a_restart_keeps_it() {
    const SAVED: &str = r#"ollama_proxy_energy_saved_joules_total{node="node1"}"#;
    let scratch = Arc::new(Scratch::new());
    let (mut node, mut service) = (Node::with_models(&["m"]), Node::start());
    let url = service.url();
    let flags = [STRICT, ("wake-url", &*url), ("wake-interval", "0")];
    let owner = |config: &mut ollama_proxy::config::Config| {
        let power = &mut config.nodes[0].power;
        (power.idle_watts, power.sleep_watts) = (Some(1_000_100.0), Some(100.0));
        power.sleeps_after = Some(Duration::from_millis(100));
        config.price_per_kwh = Some(0.5);
    };
    let proxy = Proxy::changed(&scratch, &node, &flags, owner);
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/api/chat", CHAT).await });
    node.next().await.answer_chat().await;
    asking.await.unwrap();
    node.sleep().await;
    // The passing of time is itself the subject: longer than `sleeps_after`.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(metric(&proxy, SAVED).await.abs() < f64::EPSILON, "nothing is claimed before there is evidence");
    waking_chat(&proxy, &mut node, &mut service).await;
    let sleep = entry(&proxy, "sleep", |_| true).await;
    let (from, until) = (sleep["from"].as_f64().unwrap(), sleep["until"].as_f64().unwrap());
    assert_eq!(sleep["evidence"], "found asleep");
    assert!(until - from >= 0.3, "{sleep}");
    let saved = metric(&proxy, SAVED).await;
    assert!((saved / 1e6 - (until - from)).abs() < 0.01, "{saved} J for {sleep}");
    let summary = get(address, "/summary").await.json();
    assert!((summary["energy_saved_kwh"].as_f64().unwrap() - saved / 3.6e6).abs() < 0.001, "{summary}");
    assert!((summary["cost_saved"].as_f64().unwrap() - saved / 7.2e6).abs() < 0.001, "{summary}");
    proxy.end().await;
    let again = Proxy::changed(&scratch, &node, &flags, owner);
    assert!((metric(&again, SAVED).await - saved).abs() < 1.0, "a restart neither loses nor invents a sleep");
}

#[tokio::test]
async fn looking_at_anything_contacts_no_node() {
    let (node, service, url) = asleep().await;
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &*url)]);
    let mut events = Wire::connect(proxy.address).await;
    events.say(request("GET /events", &[], "")).await;
    events.head().await.unwrap();
    for _ in 0..3 {
        for path in ["/journal", "/summary", "/topology.json", "/metrics", "/nodes"] {
            assert_eq!(get(proxy.address, path).await.status(), 200, "{path}");
        }
        assert_eq!(ask(proxy.address, "HEAD /events", &[], "").await.status(), 200);
    }
    // A connect would have been silence by now, and silence is evidence: the node would stand otherwise than before.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(get(proxy.address, "/nodes").await.json()["nodes"][0]["power"]["state"], "unknown");
    assert!(of_kind(&journal(&proxy, 0).await, "state").is_empty());
    assert!(service.seen().is_empty() && node.seen().is_empty());
}

#[tokio::test]
async fn the_summary_is_flat_and_knows_the_last_wake() {
    let (mut node, mut service, url) = asleep().await;
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &*url)]);
    waking_chat(&proxy, &mut node, &mut service).await;
    entry(&proxy, "wake", |_| true).await;
    let summary = get(proxy.address, "/summary").await.json();
    for (name, value) in summary.as_object().unwrap() {
        assert!(value.is_number() || value.is_string(), "{name} is {value}");
    }
    assert_eq!(
        (&summary["state"], &summary["state_node1"], &summary["nodes_awake"]),
        (&json!("awake"), &json!("awake"), &json!(1))
    );
    assert_eq!(summary["last_wake_by"], "/api/chat m from 127.0.0.1 (open-webui)");
    assert_eq!((&summary["wakes_today"], &summary["last_wake_result"]), (&json!(1), &json!("awake")));
    assert!(summary["last_wake"].as_str().is_some_and(|at| at.contains('T')), "{summary}");
    assert!(summary.get("energy_saved_kwh").is_none(), "nobody has said what it draws");
}

#[tokio::test]
async fn every_end_of_an_edge_of_the_topology_is_one_of_its_nodes() {
    let nodes = [Node::with_models(&["m"]), Node::with_models(&["n"])];
    let proxy = Proxy::before(&[&nodes[0], &nodes[1]], &[]);
    proxy.until("/api/tags", "\"n\"").await;
    let graph = get(proxy.address, "/topology.json").await.json();
    let ids: Vec<&Value> = graph["nodes"].as_array().unwrap().iter().map(|node| &node["id"]).collect();
    assert_eq!(ids, ["router", "node1", "node2"]);
    let edges = graph["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 2);
    assert!(edges.iter().all(|edge| ids.contains(&&edge["source"]) && ids.contains(&&edge["target"])), "{graph}");
    assert_eq!((&graph["nodes"][1]["detail__state"], &graph["nodes"][1]["arc__idle"]), (&json!("awake"), &json!(1.0)));
    // Without nodes there is still the proxy: a graph without it breaks Grafana's panel.
    let alone = get(Proxy::without_a_node().address, "/topology.json").await.json();
    assert_eq!((alone["nodes"].as_array().unwrap().len(), &alone["edges"]), (1, &json!([])));
}

#[tokio::test]
async fn records_are_only_read_and_a_sleep_by_hand_says_that_there_are_no_means() {
    let node = Node::start();
    let proxy = Proxy::strict(&node);
    for path in ["/journal", "/events", "/summary", "/topology.json"] {
        let answer = post(proxy.address, path, "").await;
        assert_eq!((answer.status(), answer.head.get("allow")), (405, Some("GET, HEAD")), "{path}");
    }
    let answer = post(proxy.address, "/nodes/node1/sleep", "").await;
    assert_eq!(answer.status(), 409);
    assert!(answer.error().contains("its own timer") || answer.error().contains("always on"), "{}", answer.error());
    let foreign = ask(proxy.address, "GET /journal", &[("Origin", "https://evil.example")], "").await;
    assert_eq!((foreign.status(), foreign.body.len()), (403, 0));
}
