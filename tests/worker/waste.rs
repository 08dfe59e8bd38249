//! The owner is told of a machine that is awake for nobody.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::house::{controller, state};
use crate::rig::{Node, Scratch, get, post};

/// What this webhook is told, one after the other.
fn webhook() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut text, mut piece) = (stream.unwrap(), String::new(), [0; 4096]);
            let body = loop {
                let length = stream.read(&mut piece).unwrap();
                text.push_str(&String::from_utf8_lossy(&piece[..length]));
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
                if let Ok(body) = serde_json::from_str::<Value>(body) {
                    break body;
                }
            };
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            if tell.send(body).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn a_machine_that_is_awake_for_hours_and_has_no_work_is_told_once() {
    let (node, scratch, (hook, told)) = (Node::start(), Scratch::new(), webhook());
    let controller = controller(&scratch, &["--notify-webhook", &hook]);
    let (id, port) = ("pc", node.address.port());
    let power = |unused: f64| json!({ "state": "awake", "unused": unused, "why_awake": "somebody uses the machine" });
    let register = json!({ "worker_id": id, "endpoint": format!("http://localhost:{port}") });
    assert_eq!(post(controller.address, "/internal/workers/register", &register.to_string()).status, 201);
    let beat = |unused: f64| {
        let body = json!({ "worker_id": id, "status": "healthy", "power": power(unused) }).to_string();
        assert_eq!(post(controller.address, "/internal/workers/heartbeat", &body).status, 200);
    };
    [60.0, 14_000.0, 14_401.0, 14_411.0, 15_000.0].into_iter().for_each(beat);
    let alert = told.recv_timeout(std::time::Duration::from_secs(40)).unwrap();
    assert_eq!((&alert["event"], &alert["node"]), (&json!("awake_too_long"), &json!(id)));
    let message = alert["message"].as_str().unwrap();
    assert!(message.contains("4 hours") && message.contains("somebody uses the machine"), "{message}");
    let journal: Value = serde_json::from_str(&get(controller.address, "/journal").body).unwrap();
    assert_eq!(journal.to_string().matches("\"unused\"").count(), 1, "{journal}");
    assert_eq!(state(&controller), "awake");
}
