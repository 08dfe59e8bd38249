//! Clients of a proxy that speaks TLS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use tokio::time::Instant;

use rustls::version::{TLS12, TLS13};

use crate::authority::Authority;
use crate::client::{Client, old_hello, request};
use crate::rig::{Node, Scratch, connect, get, listen, refused, say};
use crate::{CHAT, House, endless, until};

#[test]
fn a_client_is_served_over_tls_1_2_and_1_3_by_http_1_1() {
    let house = House::new(&[]);
    for version in [&TLS12, &TLS13] {
        let client = Client::speaking(&house.authority, &[version]);
        let mut stream = client.connect(house.proxy.address, "proxy.lan").unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(stream.conn.protocol_version(), Some(version.version));
        stream.write_all(request("POST", "/api/chat", CHAT).as_bytes()).unwrap();
        let mut text = String::new();
        // An end without `close_notify` would be an error: nobody may cut an answer unseen.
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"done\":true"), "{text}");
    }
    assert!(house.proxy.written("listening on").contains("https://127.0.0.1:"));
    assert!(house.proxy.written("page at").contains("https://127.0.0.1:"));
}

#[test]
fn a_client_that_trusts_somebody_else_is_not_fooled_and_the_next_one_is_served() {
    let house = House::new(&[]);
    let other = Client::of(&Authority::new(&Scratch::new(), "other"));
    let refused = other.get(house.proxy.address, "/health").unwrap_err().to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let elsewhere = house.client.connect(house.proxy.address, "elsewhere.lan").unwrap_err().to_string();
    assert!(elsewhere.contains("not valid for name"), "{elsewhere}");
    assert!(house.client.get(house.proxy.address, "/health").unwrap().contains("healthy"));
}

#[test]
fn tls_1_1_and_older_are_refused_with_an_alert() {
    let house = House::new(&[]);
    for version in [[3, 0], [3, 1], [3, 2]] {
        let mut stream = connect(house.proxy.address);
        stream.write_all(&old_hello(version)).unwrap();
        let mut answer = Vec::new();
        // The end may be a reset.
        drop(stream.read_to_end(&mut answer));
        // One alert record and nothing else: fatal, and either handshake_failure or protocol_version.
        let fatal = matches!(answer[..], [21, _, _, 0, 2, 2, 40 | 70]);
        assert!(fatal, "{answer:?}");
    }
}

#[test]
fn who_speaks_plainly_to_a_port_of_tls_is_told_so() {
    let house = House::new(&[]);
    let reply = get(house.proxy.address, "/api/tags");
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.body.contains("https://"), "{reply:?}");
    let length: usize = reply.head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert_eq!(reply.body.len(), length);
    assert_eq!(say(house.proxy.address, b"\x00\x01\x02").status, 400);
}

#[test]
fn with_a_port_for_tls_the_other_stays_plain() {
    let house = Node::with(crate::quick());
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "house");
    let (cert, key) = authority.certifies(&["127.0.0.1"]).write(&scratch, "proxy");
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--tls-port", "0"];
    let proxy = crate::rig::Proxy::before(&house, &scratch, &flags);
    proxy.serves_others();
    let line = proxy.written("listening on");
    let port = line.split("https://127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    let address = ([127, 0, 0, 1], port.parse().unwrap()).into();
    assert!(Client::of(&authority).get(address, "/health").unwrap().contains("healthy"));
}

#[test]
fn the_cookie_of_a_login_by_tls_is_never_sent_without_it() {
    let (node, scratch) = (Node::with(crate::quick()), Scratch::new());
    let authority = Authority::new(&scratch, "house");
    let (cert, key) = authority.certifies(&["127.0.0.1"]).write(&scratch, "proxy");
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--tls-port", "0", "--admin-key", "the-key-of-the-owner"];
    let proxy = crate::rig::Proxy::before(&node, &scratch, &flags);
    let line = proxy.written("listening on");
    let port = line.split("https://127.0.0.1:").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    let secured = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let login = request("POST", "/login", "key=the-key-of-the-owner");
    let cookie = |answer: &str| {
        let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{answer}"));
        line.to_owned()
    };
    let by_tls = cookie(&Client::of(&authority).ask(secured, &login).unwrap().0);
    assert!(by_tls.contains("HttpOnly") && by_tls.ends_with("; Secure"), "{by_tls}");
    let plain = cookie(&say(proxy.address, login.as_bytes()).head);
    assert!(plain.contains("HttpOnly") && !plain.contains("Secure"), "{plain}");
}

#[test]
fn a_client_that_leaves_closes_the_node_at_once_with_or_without_a_goodbye() {
    let house = House::before(Node::with(endless()), &[]);
    for goodbye in [true, false] {
        let before = house.node.counters().generations_cancelled;
        let mut stream = house.client.connect(house.proxy.address, "127.0.0.1").unwrap();
        stream.write_all(request("POST", "/api/chat", CHAT).as_bytes()).unwrap();
        let mut first = [0; 512];
        assert_ne!(stream.read(&mut first).unwrap(), 0);
        if goodbye {
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        stream.sock.shutdown(Shutdown::Both).unwrap();
        drop(stream);
        let left = Instant::now();
        until("the node is let go", || house.node.counters().generations_cancelled > before);
        println!("let go after {:?} (goodbye: {goodbye})", left.elapsed());
    }
}

#[test]
fn clients_that_stall_in_the_handshake_are_let_go_and_the_others_served() {
    let house = House::new(&["--max-connections", "4"]);
    let half = |bytes: &[u8]| {
        let mut stream = connect(house.proxy.address);
        stream.write_all(bytes).unwrap();
        stream
    };
    let hello = old_hello([3, 3]);
    let stalled: Vec<TcpStream> = [&[][..], &hello[..1], &hello[..5], &hello[..20]].map(half).into();
    // All places are taken: this one waits until the limit of the handshake has let them go.
    let reply = house.client.get(house.proxy.address, "/health").unwrap();
    assert!(reply.contains("healthy"), "{reply}");
    for mut stream in stalled {
        assert_eq!(listen(&mut stream).status, 0, "an answer to half a handshake");
    }
}

#[test]
fn settings_of_tls_that_cannot_work_are_told_at_the_start() {
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "house");
    let (cert, key) = authority.certifies(&["127.0.0.1"]).write(&scratch, "one");
    let (_, other) = authority.certifies(&["127.0.0.1"]).write(&scratch, "two");
    let nowhere = scratch.join("nowhere.pem");
    for (flags, told) in [
        (vec!["--tls-cert", &cert], vec!["set --tls-key"]),
        (vec!["--tls-key", &key], vec!["set --tls-cert"]),
        (vec!["--tls-port", "0"], vec!["set --tls-cert and --tls-key"]),
        (vec!["--tls-cert", &cert, "--tls-key", &other], vec!["is not the key of"]),
        (vec!["--tls-cert", &cert, "--tls-key", &cert], vec!["--tls-key: ", "no private key"]),
        (vec!["--tls-cert", &key, "--tls-key", &key], vec!["--tls-cert: ", "no certificate"]),
        (vec!["--tls-cert", &key, "--tls-key", &cert], vec!["no certificate", "no private key"]),
        (vec!["--tls-cert", &nowhere, "--tls-key", &key], vec!["cannot be read"]),
        (vec!["--ca-cert", &nowhere], vec!["cannot be read"]),
        (vec!["--ca-cert", &key], vec!["no certificate"]),
    ] {
        let flags: Vec<&str> = flags.into_iter().chain(["--port", "0"]).collect();
        let output = refused(&flags, &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
        assert!(told.iter().all(|told| text.contains(told)), "{flags:?}: {text}");
    }
}
