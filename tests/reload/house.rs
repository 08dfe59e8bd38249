//! The real program with a node file that the test rewrites, in front of simulated servers.

use ollama_proxy::simulator::Settings;
use serde_json::{Value, json};

use crate::rig::{Node, PATIENCE, Proxy, Scratch, get, pause};

/// Servers that answer at once, the proxy before them, and its node file. Dropped in this order: the proxy first.
pub struct House {
    pub proxy: Proxy,
    pub servers: Vec<Node>,
    scratch: Scratch,
}

impl House {
    /// With nodes `a`, `b`, `c` …, one per server, all of which are in the file.
    pub fn of(servers: Vec<Settings>) -> Self {
        let all: Vec<usize> = (0..servers.len()).collect();
        Self::with_file(servers, |house| house.nodes(&all))
    }

    /// With a file of the test's own.
    pub fn with_file(servers: Vec<Settings>, file: impl Fn(&Unfinished) -> Value) -> Self {
        let unfinished = Unfinished { servers: servers.into_iter().map(Node::with).collect() };
        let scratch = Scratch::new();
        write(&scratch, &file(&unfinished).to_string());
        let proxy = Proxy::start(&scratch, &[]);
        let house = Self { proxy, servers: unfinished.servers, scratch };
        house.until_listed();
        house
    }

    /// Waits until the models of every node that takes part are known.
    pub fn until_listed(&self) {
        self.until("the lists are known", || {
            let told = self.nodes();
            told.iter().all(|node| node["enabled"] == false || !node["models"].as_array().unwrap().is_empty())
        });
    }

    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..PATIENCE.as_millis() / 20 {
            if holds() {
                return;
            }
            pause();
        }
        panic!("never: {what}; {}", self.json("/nodes"));
    }

    pub fn json(&self, path: &str) -> Value {
        let reply = get(self.proxy.address, path);
        serde_json::from_str(&reply.body).unwrap_or_else(|bad| panic!("{bad}: {reply:?}"))
    }

    pub fn nodes(&self) -> Vec<Value> {
        self.json("/nodes")["nodes"].as_array().unwrap().clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.nodes().iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What is told of one node.
    pub fn told(&self, name: &str) -> Value {
        self.nodes().into_iter().find(|node| node["name"] == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// How many readings ended so.
    pub fn reloads(&self, result: &str) -> u64 {
        let series = format!("ollama_proxy_config_reloads_total{{result=\"{result}\"}} ");
        let page = get(self.proxy.address, "/metrics").body;
        page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or_else(|| panic!("no {series}"))
    }

    pub fn write(&self, file: &str) {
        write(&self.scratch, file);
    }

    /// Writes the file, sends SIGHUP, and waits until it was read.
    pub fn reload(&self, file: &Value) {
        self.write(&file.to_string());
        // Twice: what is read at that moment, because the one before was seen without its signal, may be older.
        for _ in 0..2 {
            let before = self.reloads("ok");
            self.proxy.hang_up();
            self.until("it was read again", || self.reloads("ok") > before);
        }
    }

    /// A file with these servers as always-on nodes.
    pub fn file(&self, servers: &[usize]) -> Value {
        file(&self.servers, servers)
    }
}

/// The servers, before there is a proxy.
pub struct Unfinished {
    servers: Vec<Node>,
}

impl Unfinished {
    pub fn nodes(&self, servers: &[usize]) -> Value {
        file(&self.servers, servers)
    }
}

fn file(servers: &[Node], which: &[usize]) -> Value {
    let node = |at: &usize| json!({ "name": name(*at), "hosts": [servers[*at].address.to_string()], "always_on": true });
    json!({ "nodes": which.iter().map(node).collect::<Vec<_>>() })
}

/// `a` for the first server, and so on.
fn name(at: usize) -> String {
    char::from(b'a' + u8::try_from(at).unwrap()).to_string()
}

/// In one step, as careful editors do.
fn write(scratch: &Scratch, text: &str) {
    std::fs::write(scratch.join("node_config.new"), text).unwrap();
    std::fs::rename(scratch.join("node_config.new"), scratch.join("node_config.json")).unwrap();
}
