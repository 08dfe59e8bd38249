//! The node file and the key file change while the program runs: requests do not notice, people are told.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[path = "../shared/chat.rs"]
mod chat;
mod house;
mod keys;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chat::{CHAT, quick, rest, served_by, slow};
use house::House;
use rig::{Reply, get, post};
use serde_json::{Value, json};

fn ask(house: &House) -> Reply {
    post(house.proxy.address, "/api/chat", CHAT)
}

/// Tells the others to stop, also when a test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A chat whose answer has begun on this node.
fn begun(house: &House, node: &str) -> BufReader<TcpStream> {
    chat::begun(house.proxy.address, &format!("X-Ollama-Proxy-Node: {node}\r\n"))
}

#[test]
fn under_load_no_request_fails_whatever_comes_and_goes() {
    let house = House::of(vec![quick(), quick(), quick(), quick()]);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let reply = ask(&house);
                    assert_eq!(reply.status, 200, "{reply:?}");
                    assert!(reply.body.contains("\"done\":true") && !reply.body.contains("\"error\""), "{reply:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut other = house.file(&[0, 1, 2]);
        other["nodes"][0]["weight"] = json!(5);
        other["nodes"][1]["capacity"] = json!(1);
        other["nodes"][2]["enabled"] = json!(false);
        let mut moved = house.file(&[0, 3]);
        // The name stays, the machine is another one.
        moved["nodes"][1]["name"] = json!("b");
        let files = [house.file(&[0, 2]), house.file(&[1, 3]), other, house.file(&[3, 2, 1, 0]), moved, house.file(&[2])];
        let _stop = Stop(&stop);
        for at in 0..24 {
            let before = count.load(Ordering::Relaxed);
            house.reload(&files[at % files.len()]);
            house.until("it goes on", || count.load(Ordering::Relaxed) >= before + 16);
        }
    });
    let served: u64 = house.servers.iter().map(|server| server.counters().requests("POST /api/chat")).sum();
    let asked = count.load(Ordering::Relaxed);
    println!("{asked} requests over 24 reloads");
    assert!(asked >= 24 * 16);
    assert_eq!(served, asked, "no request was sent twice");
}

#[test]
fn a_running_stream_keeps_its_node_when_that_is_removed_and_then_its_series_go() {
    let house = House::of(vec![slow(), quick()]);
    let series = "gateway_requests_total{method=\"POST\",endpoint=\"/api/chat\",node=\"a\"";
    let mut warm = begun(&house, "b");
    warm.read_line(&mut String::new()).unwrap();
    drop(warm);
    let stream = begun(&house, "a");
    house.reload(&house.file(&[1]));
    assert_eq!(house.names(), ["b"]);
    for _ in 0..4 {
        assert_eq!(served_by(&ask(&house)), "b");
    }
    let refused = rig::say(
        house.proxy.address,
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-Ollama-Proxy-Node: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    );
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(rest(stream) > 20, "it had ended before the node went");
    assert_eq!(house.servers[0].counters().generations_cancelled, 0);
    house.until("the series go", || !get(house.proxy.address, "/metrics").body.contains("node=\"a\""));
    // It comes back, and counts anew.
    house.reload(&house.file(&[0, 1]));
    house.until_listed();
    drop(begun(&house, "a"));
    house.until("it is counted anew", || get(house.proxy.address, "/metrics").body.contains(series));
}

#[test]
fn a_bad_file_keeps_the_nodes_and_is_told_in_log_metrics_nodes_and_page() {
    let house = House::of(vec![quick(), quick()]);
    assert_eq!(house.json("/nodes")["config_error"], Value::Null);
    assert!(get(house.proxy.address, "/metrics").body.contains("ollama_proxy_config_last_reload_successful 1\n"));
    house.write(r#"{"nodes":[{"name":"a","hosts":["x"],"prot":1},{"name":"c","hosts":["y"],"weight":0}]}"#);
    house.proxy.hang_up();
    let line = house.proxy.written("the nodes stay as they were");
    assert!(line.contains("WARN") && line.contains("`prot`") && line.contains("`weight`"), "{line}");
    assert_eq!((house.names(), ask(&house).status), (vec!["a".to_owned(), "b".to_owned()], 200));
    assert_eq!((house.reloads("ok"), house.reloads("failed")), (0, 1));
    assert!(get(house.proxy.address, "/metrics").body.contains("ollama_proxy_config_last_reload_successful 0\n"));
    let told = house.json("/nodes")["config_error"].as_str().unwrap().to_owned();
    assert!(told.contains("node_config.json line 1") && told.contains("`prot`"), "{told}");
    let page = rig::say(house.proxy.address, b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n").body;
    assert!(page.contains("class=\"notice\"") && page.contains("`prot`"), "{page}");
    house.reload(&house.file(&[1]));
    assert_eq!((house.json("/nodes")["config_error"].clone(), house.names()), (Value::Null, vec!["b".to_owned()]));
    assert!(get(house.proxy.address, "/metrics").body.contains("ollama_proxy_config_last_reload_successful 1\n"));
    let line = house.proxy.written("the node file was read again");
    assert!(line.contains("removed=\"a\"") && line.contains("added=\"none\""), "{line}");
}

#[test]
fn a_file_that_points_at_the_proxy_itself_is_a_bad_one() {
    let house = House::of(vec![quick()]);
    let own = json!({ "nodes": [{ "name": "me", "hosts": [house.proxy.address.to_string()] }] });
    house.write(&own.to_string());
    house.proxy.hang_up();
    house.until("it is refused", || house.reloads("failed") == 1);
    assert!(house.json("/nodes")["config_error"].as_str().unwrap().contains("this proxy itself"));
    assert_eq!(house.names(), ["a"]);
}

#[test]
fn a_change_is_seen_without_a_signal_and_read_once() {
    let house = House::of(vec![quick(), quick()]);
    house.write(&house.file(&[0]).to_string());
    house.until("the change is seen", || house.names() == ["a"]);
    house.write("{");
    house.until("the fault is seen", || house.reloads("failed") == 1);
    house.write(&house.file(&[0, 1]).to_string());
    house.until("the repair is seen", || house.names() == ["a", "b"]);
    house.until("it is counted", || house.reloads("ok") >= 2);
    assert_eq!((house.reloads("ok"), house.reloads("failed")), (2, 1));
}

#[test]
fn a_disabled_node_is_told_and_never_contacted_until_it_is_enabled() {
    let mut file = Value::Null;
    let house = House::with_file(vec![quick(), quick()], |unfinished| {
        let mut file = unfinished.nodes(&[0, 1]);
        file["nodes"][1]["enabled"] = json!(false);
        file
    });
    let told = house.told("b");
    assert_eq!((&told["enabled"], &told["power"]["state"]), (&json!(false), &json!("disabled")), "{told}");
    assert_eq!(told["stats"]["is_healthy"], false);
    let route = house.json("/route?model=llama3.2:3b");
    assert_eq!((&route["choice"], &route["nodes"][1]["state"]), (&json!("a"), &json!("disabled")), "{route}");
    assert!(route["nodes"][1]["why"].as_str().unwrap().contains("\"enabled\": false"), "{route}");
    assert_eq!((0..4).map(|_| served_by(&ask(&house))).collect::<Vec<_>>(), ["a"; 4]);
    for action in ["wake", "refresh"] {
        assert_eq!(post(house.proxy.address, &format!("/nodes/b/{action}"), "").status, 409);
    }
    let named =
        b"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-Ollama-Proxy-Node: b\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let named = rig::say(house.proxy.address, named);
    assert!(named.status == 503 && named.body.contains("disabled"), "{named:?}");
    assert_eq!(house.json("/health")["total_nodes"], 1);
    let summary = house.json("/summary");
    assert_eq!((&summary["nodes_total"], &summary["state_b"]), (&json!(1), &json!("disabled")), "{summary}");
    assert_eq!(house.servers[1].counters().connections_total, 0);
    file["nodes"] = house.file(&[0, 1])["nodes"].clone();
    house.reload(&file);
    house.until_listed();
    assert_eq!(house.told("b")["power"]["state"], "awake");
    // And out again: what runs there goes on.
    let before = house.servers[1].counters().generations_finished;
    let stream = begun(&house, "b");
    file["nodes"][1]["enabled"] = json!(false);
    house.reload(&file);
    rest(stream);
    assert_eq!((house.servers[1].counters().generations_finished, served_by(&ask(&house))), (before + 1, "a".to_owned()));
}

#[test]
fn who_waits_for_a_place_takes_one_on_a_node_that_comes() {
    let house = House::with_file(vec![slow(), quick(), quick()], |unfinished| {
        let mut file = unfinished.nodes(&[0, 1]);
        for node in file["nodes"].as_array_mut().unwrap() {
            node["capacity"] = json!(1);
        }
        file["nodes"][1]["models"] = json!(["another"]);
        file
    });
    let running = begun(&house, "a");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&house));
        house.until("it waits", || house.json("/nodes")["waiting"] == 1);
        let mut file = house.file(&[0, 1, 2]);
        file["nodes"][0]["capacity"] = json!(1);
        file["nodes"][1]["models"] = json!(["another"]);
        house.reload(&file);
        assert_eq!(served_by(&waits.join().unwrap()), "c");
    });
    assert!(rest(running) > 10, "the place would have come free by itself");
}

#[test]
fn who_waits_for_a_node_that_goes_is_served_by_another() {
    let house = House::with_file(vec![slow(), quick()], |unfinished| {
        let mut file = unfinished.nodes(&[0, 1]);
        file["nodes"][0]["capacity"] = json!(1);
        file["nodes"][1]["models"] = json!(["another"]);
        file
    });
    let running = begun(&house, "a");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| ask(&house));
        house.until("it waits", || house.json("/nodes")["waiting"] == 1);
        house.reload(&house.file(&[1]));
        assert_eq!(served_by(&waits.join().unwrap()), "b");
    });
    assert!(rest(running) > 10, "the place would have come free by itself");
}

#[test]
fn a_reload_sends_nothing_to_a_sleeper_whose_list_is_known() {
    let sleeper = |mac: &str, weight: u32| json!({ "wake": { "mac": mac, "broadcast": "127.0.0.1" }, "weight": weight });
    let described = |mut file: Value, more: &Value| {
        let node = file["nodes"][0].as_object_mut().unwrap();
        node.remove("always_on");
        node.extend(more.as_object().unwrap().clone());
        file
    };
    let first = sleeper("02:00:00:00:00:01", 1);
    let house = House::with_file(vec![quick(), quick()], |unfinished| described(unfinished.nodes(&[0]), &first));
    let shows = || house.servers[0].counters().requests("POST /api/show");
    house.until("its shows are read", || shows() == 2);
    house.until("nothing runs there", || house.servers[0].counters().connections_open == 0);
    let before = house.servers[0].counters().connections_total;
    let mut off = sleeper("02:00:00:00:00:02", 2);
    off["enabled"] = json!(false);
    for more in [sleeper("02:00:00:00:00:01", 2), sleeper("02:00:00:00:00:02", 2), off, sleeper("02:00:00:00:00:03", 2)] {
        house.reload(&described(house.file(&[0]), &more));
        assert!(!house.told("a")["models"].as_array().unwrap().is_empty());
    }
    house.reload(&house.file(&[1]));
    house.reload(&described(house.file(&[0]), &sleeper("02:00:00:00:00:03", 2)));
    assert!(!house.told("a")["models"].as_array().unwrap().is_empty(), "it comes back with its list");
    assert_eq!(house.servers[0].counters().connections_total, before);
}

#[test]
fn the_price_of_a_kilowatt_hour_and_the_fallback_are_read_again_too() {
    let house = House::of(vec![quick(), quick()]);
    let mut file = house.file(&[0, 1]);
    file["nodes"][0]["power"] = json!({ "idle_watts": 60, "sleep_watts": 2 });
    house.reload(&file);
    assert!(!get(house.proxy.address, "/summary").body.contains("cost_saved"));
    file["price_per_kwh"] = json!(0.3);
    file["fallback"] = json!("none");
    for node in file["nodes"].as_array_mut().unwrap() {
        node["supported_model_ranges"] = json!([{ "min_params_b": 70 }]);
    }
    house.reload(&file);
    assert!(get(house.proxy.address, "/summary").body.contains("cost_saved"));
    assert_eq!(ask(&house).status, 503, "it fits nowhere, and nobody stands in");
}
