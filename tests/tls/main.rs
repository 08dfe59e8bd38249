//! TLS: to clients, to nodes and to providers, with certificates made here; renewed, refused, stalled and left.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod authority;
mod client;
mod entrance;
mod programs;
mod recipes;
mod renewal;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;
mod upstream;

use std::time::Duration;

use ollama_proxy::simulator::Settings;

use authority::Authority;
use client::Client;
use rig::{Node, PATIENCE, Proxy, Scratch, pause};

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

/// A proxy that speaks TLS before a simulated server. Dropped in this order: the proxy first.
struct House {
    proxy: Proxy,
    client: Client,
    authority: Authority,
    node: Node,
    scratch: Scratch,
}

impl House {
    fn new(flags: &[&str]) -> Self {
        Self::before(Node::with(quick()), flags)
    }

    fn before(node: Node, flags: &[&str]) -> Self {
        let scratch = Scratch::new();
        let authority = Authority::new(&scratch, "house");
        let (cert, key) = authority.certifies(&["127.0.0.1", "proxy.lan"]).write(&scratch, "proxy");
        let mut all = vec!["--tls-cert", &cert, "--tls-key", &key];
        all.extend(flags);
        let proxy = Proxy::before(&node, &scratch, &all);
        let client = Client::of(&authority);
        let house = Self { proxy, client, authority, node, scratch };
        until("the list is known", || house.client.get(house.proxy.address, "/api/tags").unwrap().contains("llama3.2:3b"));
        house
    }
}

fn quick() -> Settings {
    let none = Duration::ZERO;
    Settings {
        load: none,
        first_token: none,
        token_gap: Duration::from_millis(2),
        tokens: 5,
        parallel: 16,
        ..Settings::default()
    }
}

/// Streams for many seconds.
fn endless() -> Settings {
    Settings { token_gap: Duration::from_millis(50), tokens: 2000, ..quick() }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2 * PATIENCE.as_millis() / 20 {
        if holds() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}
