//! A controller, workers and the simulated Ollamas behind them: all real programs on loopback.

use std::io::BufReader;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::chat;
pub use crate::chat::{CHAT, quick, rest, served_by, slow};
use crate::rig::{Node, Proxy, Reply, Scratch, get, pause, post, say};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A controller on a free port.
pub struct Controller {
    pub proxy: Proxy,
    scratch: Scratch,
}

impl Controller {
    pub fn start(args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let proxy = Proxy::start(&scratch, &[&["controller"], args].concat());
        Self { proxy, scratch }
    }

    /// Kills it, and starts another one on the same port with what it kept.
    pub fn killed_and_back(self, args: &[&str]) -> Self {
        let Self { proxy, scratch } = self;
        let port = proxy.address.port().to_string();
        drop(proxy);
        let proxy = Proxy::start(&scratch, &[&["controller", "--port", &port], args].concat());
        Self { proxy, scratch }
    }

    /// Waits until its state on disk holds this.
    pub fn until_kept(&self, text: &str) {
        let state = self.scratch.join("data/state.json");
        until("it is kept", || std::fs::read_to_string(&state).is_ok_and(|kept| kept.contains(text)));
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.proxy.address)
    }

    pub fn workers(&self) -> Value {
        json(&get(self.proxy.address, "/internal/workers"))
    }

    /// What is told of one worker; null when there is none.
    pub fn worker(&self, id: &str) -> Value {
        let all = self.workers();
        all["workers"].as_array().unwrap().iter().find(|worker| worker["worker_id"] == id).cloned().unwrap_or(Value::Null)
    }

    pub fn ids(&self) -> Vec<String> {
        let all = self.workers();
        all["workers"].as_array().unwrap().iter().map(|worker| worker["worker_id"].as_str().unwrap().to_owned()).collect()
    }

    /// What is told of one node; null when there is none.
    pub fn node(&self, name: &str) -> Value {
        let all = json(&get(self.proxy.address, "/nodes"));
        all["nodes"].as_array().unwrap().iter().find(|node| node["name"] == name).cloned().unwrap_or(Value::Null)
    }

    /// Waits until a node of this name is awake with its models known.
    pub fn until_serving(&self, name: &str) {
        until(&format!("{name} serves"), || {
            let node = self.node(name);
            node["power"]["state"] == "awake" && node["models"].as_array().is_some_and(|models| !models.is_empty())
        });
    }

    pub fn chat(&self) -> Reply {
        post(self.proxy.address, "/api/chat", CHAT)
    }

    /// A request of a worker, with this `Authorization`.
    pub fn internal(&self, method: &str, path: &str, authorization: &str, body: &str) -> Reply {
        let length = body.len();
        let key = if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
        let head = format!("{method} /internal/workers{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{key}");
        say(self.proxy.address, format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())
    }
}

/// A worker on a free port before a server.
pub struct Worker {
    pub proxy: Proxy,
    _scratch: Scratch,
}

impl Worker {
    /// With heartbeats each half second.
    pub fn start(id: &str, server: &Node, controllers: &str, args: &[&str]) -> Self {
        let (scratch, url) = (Scratch::new(), server.url());
        let own = ["worker", "--worker-id", id, "--backend-url", &url, "--controller-url", controllers];
        let quick = ["--heartbeat-interval", "500ms", "--registry-retry-delay", "200ms"];
        let proxy = Proxy::start(&scratch, &[&own[..], &quick, args].concat());
        Self { proxy, _scratch: scratch }
    }
}

/// A chat whose answer has begun.
pub fn begun(controller: &Controller) -> BufReader<TcpStream> {
    chat::begun(controller.proxy.address, "")
}

pub fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|bad| panic!("{bad}: {reply:?}"))
}

/// Fails the test unless it is a whole streamed answer.
#[track_caller]
pub fn assert_whole(reply: &Reply) {
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.body.contains("\"done\":true") && !reply.body.contains("\"error\""), "{reply:?}");
}

#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if holds() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}
