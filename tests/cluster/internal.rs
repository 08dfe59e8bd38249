//! What the internal routes refuse, and that a refusal changes nothing; the words of seed workers and later versions.

use std::io::Write;

use serde_json::{Value, json};

use crate::house::{Controller, assert_whole, json, quick, served_by, until};
use crate::rig::{Node, connect, say};

const KEY: &str = "Bearer the-key";

/// A controller with a key and one worker, which is the server itself.
fn keyed(more: &[&str]) -> (Node, Controller) {
    let server = Node::with(quick());
    let controller = Controller::start(&[&["--internal-api-key", "the-key"], more].concat());
    let registered = controller.internal("POST", "/register", KEY, &registration("one", &server).to_string());
    assert_eq!(registered.status, 201, "{registered:?}");
    assert_eq!(json(&registered)["worker_id"], "one");
    (server, controller)
}

/// As the first worker program wrote it.
fn registration(id: &str, server: &Node) -> Value {
    let endpoint = format!("http://localhost:{}", server.address.port());
    json!({ "worker_id": id, "model_id": "llama3.2:3b", "endpoint": endpoint, "capacity": 10, "metadata": { "gpu": "x" } })
}

fn beat(id: &str, status: &str) -> String {
    json!({ "worker_id": id, "current_load": 0, "status": status, "a later field": [1] }).to_string()
}

/// All workers but for the time of the last word.
fn listed(controller: &Controller) -> Value {
    let mut all = json(&controller.internal("GET", "", KEY, ""));
    for worker in all["workers"].as_array_mut().unwrap() {
        for moving in ["state", "last_heartbeat"] {
            worker.as_object_mut().unwrap().remove(moving);
        }
    }
    all
}

#[test]
fn the_first_worker_program_s_words_are_understood() {
    let (server, controller) = keyed(&[]);
    let again = controller.internal("POST", "/register", KEY, &registration("one", &server).to_string());
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(json(&controller.internal("POST", "/heartbeat", KEY, &beat("one", "healthy"))), json!({ "status": "ok" }));
    assert_eq!(controller.internal("POST", "/heartbeat", KEY, &beat("two", "healthy")).status, 404);
    assert_whole(&controller.chat());
    assert_eq!(served_by(&controller.chat()), "one");
    let told = listed(&controller);
    assert_eq!(
        (&told["total"], &told["workers"][0]["model_id"], &told["workers"][0]["capacity"]),
        (&json!(1), &json!("llama3.2:3b"), &json!(10))
    );
}

/// Bodies that register nobody, each with the status it gets.
fn bad_registrations(server: &Node, own_port: u16) -> Vec<(u16, String)> {
    let with = |field: &str, value: Value| {
        let mut told = registration("two", server);
        told[field] = value;
        told.to_string()
    };
    let huge = "x".repeat(1 << 20);
    vec![
        (400, String::new()),
        (400, "{".to_owned()),
        (400, "[]".to_owned()),
        (400, "\"worker\"".to_owned()),
        (400, "{\"worker_id\":1}".to_owned()),
        (400, "\u{0}".repeat(100)),
        (400, "[".repeat(60_000)),
        (400, json!({}).to_string()),
        (400, with("worker_id", json!(""))),
        (400, with("worker_id", json!("../nodes"))),
        (400, with("worker_id", json!("x".repeat(60_000)))),
        (400, with("capacity", json!(-1))),
        (400, with("capacity", json!(0))),
        (400, with("node_name", json!("a\nb"))),
        (400, with("model_id", json!("m".repeat(60_000)))),
        (400, with("endpoint", json!("http://192.0.2.1:80"))),
        (400, with("endpoint", json!("http://metadata.internal:80"))),
        (400, with("endpoint", json!("https://localhost:1"))),
        (400, with("endpoint", json!("http://user:word@localhost:1/x"))),
        (400, with("endpoint", json!(format!("http://localhost:{}", own_port)))),
        (413, with("worker_id", json!(huge))),
        (413, with("metadata", json!({ "x": huge }))),
    ]
}

#[test]
fn strangers_and_bad_input_are_refused_and_change_nothing() {
    let (server, controller) = keyed(&[]);
    let before = listed(&controller);
    let good = registration("two", &server).to_string();
    for key in ["", "Bearer", "Bearer wrong", "Bearer the-ke", "Basic the-key"] {
        for (method, path, body) in [
            ("POST", "/register", good.as_str()),
            ("POST", "/heartbeat", &beat("one", "draining")),
            ("DELETE", "/one?force=1", ""),
            ("GET", "", ""),
        ] {
            let refused = controller.internal(method, path, key, body);
            // Some of them are too many.
            assert!([401, 429].contains(&refused.status), "{key:?} {method} {path}: {refused:?}");
            assert!(!refused.body.contains("the-key"), "{refused:?}");
        }
    }
    for (status, body) in bad_registrations(&server, controller.proxy.address.port()) {
        let refused = controller.internal("POST", "/register", KEY, &body);
        assert_eq!(refused.status, status, "{refused:?} to {}", &body[..body.len().min(200)]);
        assert!(json(&refused)["error"].is_string());
    }
    for (method, path, status) in [
        ("PUT", "/register", 405),
        ("GET", "/register", 405),
        ("POST", "", 405),
        ("DELETE", "/nobody", 404),
        ("POST", "/one", 405),
    ] {
        assert_eq!(controller.internal(method, path, KEY, "").status, status, "{method} {path}");
    }
    let page = format!(
        "POST /internal/workers/register HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost\r\nAuthorization: {KEY}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{good}",
        good.len()
    );
    assert_eq!(say(controller.proxy.address, page.as_bytes()).status, 403);
    assert_eq!(listed(&controller), before);
    controller.proxy.serves_others();
}

#[test]
fn a_name_is_taken_over_only_with_the_key() {
    let (_server, controller) = keyed(&["--heartbeat-timeout", "1s", "--heartbeat-check-interval", "100ms"]);
    let other = Node::with(quick());
    let claim = registration("one", &other).to_string();
    until("the old one is stale", || controller.internal("GET", "", KEY, "").body.contains("\"state\":\"asleep\""));
    assert_eq!(controller.internal("POST", "/register", "Bearer guess", &claim).status, 401);
    let old = listed(&controller)["workers"][0]["endpoint"].clone();
    assert_ne!(old, other.url());
    let taken = controller.internal("POST", "/register", KEY, &claim);
    assert_eq!((taken.status, json(&taken)["worker_id"].as_str()), (200, Some("one")), "{taken:?}");
    assert_eq!(listed(&controller)["workers"][0]["endpoint"], other.url());
}

#[test]
fn a_worker_that_announces_sleep_is_asleep_and_not_lost() {
    let (_server, controller) = keyed(&["--heartbeat-timeout", "1s", "--heartbeat-check-interval", "100ms"]);
    let says = |status: &str| controller.internal("POST", "/heartbeat", KEY, &beat("one", status)).status;
    until("it is awake", || says("healthy") == 200 && controller.node("one")["power"]["state"] == "awake");
    assert_eq!(says("sleeping"), 200);
    until("it goes to sleep", || controller.node("one")["power"]["state"] == "suspending");
    // Long after the time that a silent worker gets it is still known, and its models are listed.
    for _ in 0..100 {
        crate::rig::pause();
    }
    let told = controller.internal("GET", "", KEY, "").body;
    assert!(told.contains("\"status\":\"sleeping\""), "{told}");
    assert!(crate::rig::get(controller.proxy.address, "/api/tags").body.contains("llama3.2:3b"));
}

#[test]
fn a_machine_that_falls_asleep_in_the_midst_of_a_word_has_said_nothing() {
    let (_server, controller) = keyed(&[]);
    let before = listed(&controller);
    let word = beat("one", "sleeping");
    let head = format!(
        "POST /internal/workers/heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: {KEY}\r\nContent-Length: {}\r\n\r\n",
        word.len()
    );
    // One connection stands there half said, the other breaks off.
    let half = format!("{head}{}", &word[..word.len() / 2]);
    let mut stands = connect(controller.proxy.address);
    stands.write_all(half.as_bytes()).unwrap();
    let mut breaks = connect(controller.proxy.address);
    breaks.write_all(half.as_bytes()).unwrap();
    drop(breaks);
    assert_eq!(controller.internal("POST", "/heartbeat", KEY, &beat("one", "healthy")).status, 200);
    assert_eq!(listed(&controller), before);
    until("it is awake", || controller.node("one")["power"]["state"] == "awake");
    drop(stands);
}

#[test]
fn a_worker_that_was_told_to_leave_does_not_come_back_by_being_well() {
    let (server, controller) = keyed(&[]);
    let left = controller.internal("DELETE", "/one", KEY, "");
    assert_eq!(json(&left), json!({ "worker_id": "one", "status": "draining" }));
    assert_eq!(controller.internal("POST", "/heartbeat", KEY, &beat("one", "healthy")).status, 200);
    assert_eq!(listed(&controller)["workers"][0]["status"], "draining");
    assert_eq!(controller.node("one")["enabled"], false);
    let back = controller.internal("POST", "/register", KEY, &registration("one", &server).to_string());
    assert_eq!(back.status, 200);
    assert_eq!(controller.node("one")["enabled"], true);
    assert_eq!(json(&controller.internal("DELETE", "/one?force=true", KEY, ""))["status"], "removed");
    assert_eq!(listed(&controller)["total"], 0);
}

#[test]
fn a_proxy_that_is_no_controller_says_so() {
    let (server, scratch) = (Node::with(quick()), crate::rig::Scratch::new());
    let proxy = crate::rig::Proxy::before(&server, &scratch, &[]);
    let told = crate::rig::post(proxy.address, "/internal/workers/register", "{}");
    assert!(told.status == 404 && told.body.contains("controller"), "{told:?}");
}

/// A listing that is asked for with these lines.
fn asks(controller: &Controller, lines: &str) -> u16 {
    let text = format!("GET /internal/workers HTTP/1.1\r\nConnection: close\r\n{lines}\r\n\r\n");
    say(controller.proxy.address, text.as_bytes()).status
}

#[test]
fn without_a_key_only_this_machine_may_and_neither_whom_a_proxy_on_it_speaks_for_nor_a_page_in_its_browser() {
    let controller = Controller::start(&[]);
    for host in ["127.0.0.1:8000", "localhost", "[::1]:8000", "controller.local"] {
        assert_eq!(asks(&controller, &format!("Host: {host}")), 200, "{host}");
    }
    for lines in [
        "Host: x\r\nX-Forwarded-For: 203.0.113.9",
        "Host: x\r\nX-Forwarded-For: 127.0.0.1",
        "Host: x\r\nForwarded: for=203.0.113.9",
        "Host: x\r\nX-Real-IP: 203.0.113.9",
        "Host: x\r\nOrigin: http://localhost:3000",
        // Its name was turned to our address.
        "Host: evil.example:8000",
    ] {
        assert_eq!(asks(&controller, lines), 403, "{lines}");
    }
    let declared = Controller::start(&["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(asks(&declared, "Host: x\r\nX-Forwarded-For: 192.168.1.66"), 403);
    let refused = |reason: &str| {
        let page = crate::rig::get(controller.proxy.address, "/metrics").body;
        let series = format!("ollama_proxy_refusals_total{{reason=\"{reason}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap()
    };
    assert_eq!((refused("address"), refused("host"), refused("origin")), (4, 1, 1));
}

#[test]
fn whoever_guesses_the_key_of_the_workers_is_counted_and_slowed() {
    let (_server, controller) = keyed(&[]);
    let began = tokio::time::Instant::now();
    let guess = || controller.internal("GET", "", "Bearer guess", "").status;
    let told: Vec<u16> = (0..60).map(|_| guess()).take_while(|status| *status != 429).collect();
    assert!(told.iter().all(|status| *status == 401), "{told:?}");
    // One more is told every six seconds, which a busy machine may need for so many.
    let most = 10 + began.elapsed().as_secs() / 6;
    assert!((10..=most).contains(&(told.len() as u64)), "{} of {most}", told.len());
    assert_eq!(controller.internal("GET", "", "", "").status, 401);
    assert_eq!(controller.internal("GET", "", KEY, "").status, 200, "the right key still passes");
    let page = crate::rig::get(controller.proxy.address, "/metrics").body;
    let counted = told.len() + 1;
    assert!(page.contains(&format!("ollama_proxy_refusals_total{{reason=\"wrong_key\"}} {counted}\n")), "{page}");
    assert!(!controller.proxy.written_so_far().contains("guess"));
}
