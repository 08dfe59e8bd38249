//! A worker on a machine with a stand-in logind, an Ollama, and where wanted a controller.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use ollama_proxy::simulator::Settings;
use serde_json::Value;

use crate::logind::Logind;
use crate::rig::{Node, Proxy, Scratch, bare, connect, get, pause};

/// Looks, 20 ms apart, that a machine with much to do may need until something has happened.
pub const LOOKS: u32 = 2000;

pub const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

/// An Ollama whose answers take some seconds.
pub fn slow() -> Node {
    Node::with(Settings { tokens: 3000, parallel: 4, token_gap: Duration::from_millis(20), ..Settings::default() })
}

/// A worker beside `node`, on the machine of `logind`.
pub fn worker(node: &Node, logind: &Logind, scratch: &Scratch, controller: Option<SocketAddr>, args: &[&str]) -> Proxy {
    Proxy::from(worker_command(node, logind, scratch, controller, args))
}

/// Programs on the machine of a stand-in logind.
pub struct House {
    pub node: Node,
    pub scratch: Scratch,
    pub logind: Logind,
}

impl House {
    /// `None`, loudly, where no logind can be played.
    pub fn with(node: Node) -> Option<Self> {
        let scratch = Scratch::new();
        Some(Self { logind: Logind::start(&scratch)?, node, scratch })
    }

    /// A worker whose machine goes silent when it is put to sleep, and its controller, which has it awake; last the file
    /// into which is written what is loaded at that moment.
    pub fn sleepable(&self, args: &[&str]) -> (Proxy, Proxy, String) {
        let (controller, proof) = (controller(&self.scratch, &[]), self.scratch.join("proof"));
        let command = stop(&self.node, &proof);
        let args = [args, &["--suspend-command", &command]].concat();
        let worker = worker(&self.node, &self.logind, &self.scratch, Some(controller.address), &args);
        worker.written("registered");
        until_state(&controller, "awake");
        (controller, worker, proof)
    }
}

/// The same, not yet started.
pub fn worker_command(node: &Node, logind: &Logind, scratch: &Scratch, controller: Option<SocketAddr>, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut command, scratch);
    let nobody = "http://127.0.0.1:1".to_owned();
    let controller = controller.map_or(nobody, |address| format!("http://{address}"));
    command.args(["worker", "--host", "127.0.0.1", "--port", "0", "--worker-id", "pc", "--heartbeat-interval", "1"]);
    command.args(["--backend-url", &node.url(), "--controller-url", &controller]).args(args);
    if !args.contains(&"--log") {
        command.args(["--log", "debug"]);
    }
    let (name, value) = logind.environment();
    command.env(name, value);
    command
}

pub fn controller(scratch: &Scratch, args: &[&str]) -> Proxy {
    Proxy::from(controller_command(scratch, args))
}

/// The same, not yet started.
pub fn controller_command(scratch: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut command, scratch);
    let data = scratch.join("controller");
    command.args(["controller", "--host", "127.0.0.1", "--port", "0", "--data-dir", &data]).args(args);
    command
}

/// A chat that streams; ready when its first bytes are here.
pub fn stream(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    let text = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{CHAT}", CHAT.len());
    stream.write_all(text.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// How a controller sees its one node.
pub fn state(controller: &Proxy) -> String {
    let nodes: Value = serde_json::from_str(&get(controller.address, "/nodes").body).unwrap();
    nodes["nodes"][0]["power"]["state"].as_str().unwrap_or("no node").to_owned()
}

/// Stops the worker, after writing down what is loaded at that moment.
pub fn stop(node: &Node, proof: &str) -> String {
    format!("curl -s {}/api/ps >> {proof}; kill -STOP $PPID", node.url())
}

pub fn until_written(path: &str) -> String {
    for _ in 0..LOOKS {
        if let Some(text) = std::fs::read_to_string(path).ok().filter(|text| !text.is_empty()) {
            return text;
        }
        pause();
    }
    panic!("nothing was written to {path}");
}

pub fn until_state(controller: &Proxy, wanted: &str) {
    for _ in 0..LOOKS {
        if state(controller) == wanted {
            return;
        }
        pause();
    }
    panic!("it is {} and not {wanted}", state(controller));
}

pub fn signal(worker: &Proxy, signal: &str) {
    assert!(Command::new("kill").args([signal, &worker.pid().to_string()]).status().unwrap().success());
}
