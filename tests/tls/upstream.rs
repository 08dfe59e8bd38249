//! Nodes and providers that speak TLS: proxies of ours before a simulated server, as a person would put nginx there.

use std::io::{Read, Write};
use tokio::time::Instant;

use crate::authority::{Authority, Pair};
use crate::client::request;
use crate::rig::{Node, Proxy, Scratch, connect, post};
use crate::{CHAT, House, endless, until};

/// Shows a certificate of the test's choice before a server that answers at once.
fn showing(scratch: &Scratch, node: &Node, pair: &Pair) -> Proxy {
    let (cert, key) = pair.write(scratch, "node");
    Proxy::before(node, scratch, &["--tls-cert", &cert, "--tls-key", &key])
}

fn url(house: &House) -> String {
    format!("https://{}", house.proxy.address)
}

#[test]
fn a_node_by_https_is_served_from_when_its_authority_is_given() {
    let house = House::new(&[]);
    let scratch = Scratch::new();
    let flags = ["--ollama-url", &url(&house), "--always-on", "--ca-cert", &house.authority.file];
    let proxy = Proxy::start(&scratch, &flags);
    proxy.until("/api/tags", "llama3.2:3b");
    for _ in 0..3 {
        // The second comes over the connection of the first.
        let reply = post(proxy.address, "/api/chat", CHAT);
        assert!(reply.status == 200 && reply.body.contains("\"done\":true"), "{reply:?}");
    }
}

#[test]
fn a_node_of_the_node_file_may_be_reached_by_https_too() {
    let house = House::new(&[]);
    let scratch = Scratch::new();
    let file = serde_json::json!({ "nodes": [{ "name": "far", "hosts": [url(&house)], "always_on": true }] });
    std::fs::write(scratch.join("node_config.json"), file.to_string()).unwrap();
    let proxy = Proxy::start(&scratch, &["--ca-cert", &house.authority.file]);
    proxy.until("/api/tags", "llama3.2:3b");
}

#[test]
fn a_client_that_leaves_closes_a_node_behind_https_too() {
    let house = House::before(Node::with(endless()), &[]);
    let scratch = Scratch::new();
    let flags = ["--ollama-url", &url(&house), "--always-on", "--ca-cert", &house.authority.file];
    let proxy = Proxy::start(&scratch, &flags);
    proxy.until("/api/tags", "llama3.2:3b");
    let mut stream = connect(proxy.address);
    stream.write_all(request("POST", "/api/chat", CHAT).as_bytes()).unwrap();
    assert_ne!(stream.read(&mut [0; 512]).unwrap(), 0);
    drop(stream);
    let left = Instant::now();
    until("the node is let go", || house.node.counters().generations_cancelled > 0);
    println!("let go after {:?}, through two proxies", left.elapsed());
}

#[test]
fn a_node_that_cannot_prove_who_it_is_gets_no_request_and_the_client_is_told_why() {
    let scratch = Scratch::new();
    let (authority, other) = (Authority::new(&scratch, "house"), Authority::new(&scratch, "other"));
    let node = Node::with(crate::quick());
    let far = showing(&scratch, &node, &authority.certifies(&["127.0.0.1"]));
    let chats = || node.counters().requests("POST /api/chat");
    let cases = [
        (authority.certifies(&["127.0.0.1"]), &other, "UnknownIssuer"),
        (authority.certified_once(&["127.0.0.1"]), &authority, "expired"),
        (authority.certifies(&["127.0.0.2"]), &authority, "not valid for name"),
    ];
    for (pair, trusted, why) in cases {
        pair.write(&scratch, "node");
        far.hang_up();
        let client = crate::client::Client::of(&authority);
        until("it is shown", || match client.ask(far.address, &request("GET", "/health", "")) {
            Ok((_, shown)) => shown == pair.der,
            // Our own client does not take it either.
            Err(error) => error.to_string().contains(why),
        });
        let mine = Scratch::new();
        let url = format!("https://{}", far.address);
        let flags = ["--ollama-url", &url, "--always-on", "--ca-cert", &trusted.file, "--health-interval", "0"];
        let proxy = Proxy::start(&mine, &flags);
        let reply = post(proxy.address, "/api/chat", CHAT);
        assert!(reply.status >= 500 && reply.body.contains(why), "{why}: {reply:?}");
        assert_eq!(chats(), 0);
    }
}

#[test]
fn a_provider_by_https_is_trusted_when_its_authority_is_given() {
    let house = House::new(&[]);
    let base = format!("{}/v1", url(&house));
    let chat = r#"{"model":"openai/llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;
    for (trusted, status) in [(Some(&house.authority.file), 200), (None, 502)] {
        let scratch = Scratch::new();
        let mut flags = vec!["--openai-base-url", &base, "--openai-api-key", "secret"];
        flags.extend(trusted.iter().flat_map(|file| ["--ca-cert", file]));
        let proxy = Proxy::before(&house.node, &scratch, &flags);
        let reply = post(proxy.address, "/v1/chat/completions", chat);
        assert_eq!(reply.status, status, "{reply:?}");
    }
}
