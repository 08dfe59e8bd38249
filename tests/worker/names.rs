//! Nodes behind a `dns:` name, with a hosts file of their own in the place of a name service.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use ollama_proxy::simulator::{Ollama, Settings};
use serde_json::Value;

use crate::house::LOOKS;
use crate::rig::{Proxy, Scratch, bare, get, pause, post};

/// Simulated Ollamas on one port of these addresses; they run to the end of the test program.
fn machines(addresses: &[&str]) -> u16 {
    let first = TcpListener::bind((addresses[0], 0)).unwrap();
    let port = first.local_addr().unwrap().port();
    let others = addresses[1..].iter().map(|address| TcpListener::bind((*address, port)).unwrap());
    for listener in std::iter::once(first).chain(others) {
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                Ollama::new(Settings::default()).serve(listener, std::future::pending::<()>()).await;
            });
        });
    }
    port
}

fn nodes(address: SocketAddr) -> Vec<(String, String)> {
    let nodes: Value = serde_json::from_str(&get(address, "/nodes").body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    nodes["nodes"].as_array().unwrap().iter().map(|node| (text(&node["name"]), text(&node["power"]["state"]))).collect()
}

fn until_nodes(address: SocketAddr, wanted: &[&str]) {
    let mut now = Vec::new();
    for _ in 0..LOOKS {
        now = nodes(address);
        if now.iter().map(|(name, _)| name.as_str()).eq(wanted.iter().copied()) && now.iter().all(|(_, state)| state == "awake") {
            return;
        }
        pause();
    }
    panic!("{now:?} are not {wanted:?}");
}

#[test]
fn machines_behind_a_name_become_nodes_and_come_and_go_with_its_addresses() {
    let scratch = Scratch::new();
    let hosts = scratch.join("hosts");
    let port = machines(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let answer = |addresses: &[&str]| {
        let lines: Vec<String> = addresses.iter().map(|address| format!("{address} ollama.test\n")).collect();
        // In place: the file is mounted over another one.
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{}", lines.concat())).unwrap();
    };
    answer(&["127.0.0.2", "127.0.0.3"]);
    let unshared = ["--user", "--map-root-user", "--mount"];
    if !Command::new("unshare").args(unshared).arg("true").status().is_ok_and(|status| status.success()) {
        // Past the test harness, which shows what failed tests print only.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: no namespace for mounts can be made here\n");
        return;
    }
    let mut command = Command::new("unshare");
    bare(&mut command, &scratch);
    let script = format!("mount --bind {hosts} /etc/hosts && exec \"$0\" \"$@\"");
    let url = format!("dns:ollama.test:{port}");
    command.args(unshared).args(["sh", "-c", &script, env!("CARGO_BIN_EXE_ollama-proxy")]);
    command.args(["--host", "127.0.0.1", "--port", "0", "--data-dir", &scratch.join("data"), "--ollama-url", &url]);
    let proxy = Proxy::from(command);
    until_nodes(proxy.address, &["node1-127.0.0.2", "node1-127.0.0.3"]);
    let chat = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}],"stream":false}"#;
    assert_eq!(post(proxy.address, "/api/chat", chat).status, 200);
    answer(&["127.0.0.4", "127.0.0.3"]);
    proxy.hang_up();
    until_nodes(proxy.address, &["node1-127.0.0.3", "node1-127.0.0.4"]);
    // Nobody answers for the name any more: what is known stays.
    answer(&[]);
    proxy.hang_up();
    proxy.written("cannot be resolved");
    until_nodes(proxy.address, &["node1-127.0.0.3", "node1-127.0.0.4"]);
    assert_eq!(post(proxy.address, "/api/chat", chat).status, 200);
}
