//! A person puts a node to sleep through the proxy, which uses the means that the node file names.

use serde_json::{Value, json};

use crate::rig::{Node, Proxy, Scratch, get, post};

/// A proxy in front of `node`, a sleeper with these means of being put to sleep.
fn proxy(node: &Node, scratch: &Scratch, sleep: &Value) -> Proxy {
    let host = node.address.to_string();
    let file = json!({ "nodes": [{ "name": "pc", "hosts": [host], "wake": {}, "sleep": sleep }] });
    std::fs::write(scratch.join("node_config.json"), file.to_string()).unwrap();
    Proxy::start(scratch, &["--health-interval", "0"])
}

/// The same, used once: awake, and with a model in it.
fn used(node: &Node, scratch: &Scratch, sleep: &Value) -> Proxy {
    let proxy = proxy(node, scratch, sleep);
    assert_eq!(post(proxy.address, "/api/chat", CHAT).status, 200);
    proxy
}

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}],"stream":false}"#;

fn state(proxy: &Proxy) -> String {
    let nodes: Value = serde_json::from_str(&get(proxy.address, "/nodes").body).unwrap();
    nodes["nodes"][0]["power"]["state"].as_str().unwrap().to_owned()
}

fn loaded(node: &Node) -> usize {
    let ps: Value = serde_json::from_str(&get(node.address, "/api/ps").body).unwrap();
    ps["models"].as_array().unwrap().len()
}

#[test]
fn a_person_s_sleep_unloads_the_models_and_then_runs_the_command_once() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proof = scratch.join("slept");
    // What is loaded at that moment stands in the file.
    let command = format!("curl -s {}/api/ps >> {proof}", node.url());
    let proxy = used(&node, &scratch, &json!({ "command": command }));
    assert_eq!(loaded(&node), 1);
    let answer = post(proxy.address, "/nodes/pc/sleep", "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(answer.body.contains("suspending"), "{}", answer.body);
    assert_eq!(std::fs::read_to_string(&proof).unwrap(), r#"{"models":[]}"#);
    let again = post(proxy.address, "/nodes/pc/sleep", "");
    assert_eq!((again.status, state(&proxy).as_str()), (202, "suspending"), "{}", again.body);
    assert_eq!(std::fs::read_to_string(&proof).unwrap(), r#"{"models":[]}"#, "once");
    let asked = node.counters();
    assert!(!get(proxy.address, "/summary").body.is_empty());
    assert_eq!(node.counters().requests, asked.requests, "nothing goes to a machine that was put to sleep");
}

#[test]
fn a_sleep_that_fails_is_told_with_its_reason_and_the_node_stays_awake() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = used(&node, &scratch, &json!({ "command": "echo no route to host >&2; exit 7" }));
    let answer = post(proxy.address, "/nodes/pc/sleep", "");
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(answer.body.contains("no route to host"), "{}", answer.body);
    assert_eq!(state(&proxy), "awake");
    assert_eq!(post(proxy.address, "/api/chat", CHAT).status, 200);
}

#[test]
fn a_sleep_url_is_called_with_get_and_a_refusal_of_its_server_is_told() {
    let (node, scratch, other) = (Node::start(), Scratch::new(), Node::start());
    let proxy = used(&node, &scratch, &json!({ "url": format!("{}/api/version", other.url()) }));
    let calls = other.counters().connections_total;
    assert_eq!(post(proxy.address, "/nodes/pc/sleep?wait=0", "").status, 202);
    assert_eq!(other.counters().connections_total, calls + 1);
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = used(&node, &scratch, &json!({ "url": format!("{}/nothing/here", other.url()) }));
    let answer = post(proxy.address, "/nodes/pc/sleep", "");
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(answer.body.contains("404"), "{}", answer.body);
}

#[test]
fn nobody_is_put_to_sleep_while_a_request_runs_there() {
    let settings = ollama_proxy::simulator::Settings {
        tokens: 2000,
        token_gap: std::time::Duration::from_millis(20),
        ..ollama_proxy::simulator::Settings::default()
    };
    let (node, scratch) = (Node::with(settings), Scratch::new());
    let proxy = proxy(&node, &scratch, &json!({ "command": "true" }));
    let mut stream = crate::rig::connect(proxy.address);
    let body = CHAT.replace("false", "true");
    let text = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    std::io::Write::write_all(&mut stream, text.as_bytes()).unwrap();
    std::io::Read::read_exact(&mut stream, &mut [0; 64]).unwrap();
    let answer = post(proxy.address, "/nodes/pc/sleep", "");
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(answer.body.contains("one request runs there"), "{}", answer.body);
    assert_eq!(state(&proxy), "awake");
}
