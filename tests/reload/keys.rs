//! The key file changes while the program runs: who lost a key is out at once, and nobody else notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ollama_proxy::simulator::Settings;
use serde_json::json;
use tokio::time::Instant;

use crate::chat::{CHAT, quick, slow};
use crate::rig::{Node, PATIENCE, Proxy, Scratch, connect, pause, say};

const ALICE: &str = "canary-key-of-alice";
const BOB: &str = "canary-key-of-bob";

/// A proxy with a key file before a simulated server. Dropped in this order: the proxy first.
struct House {
    proxy: Proxy,
    _node: Node,
    scratch: Scratch,
}

impl House {
    fn with(settings: Settings, keys: &[&str]) -> Self {
        let (node, scratch) = (Node::with(settings), Scratch::new());
        write(&scratch, &file(keys));
        let proxy = Proxy::before(&node, &scratch, &["--api-key-file", "keys.json"]);
        Self { proxy, _node: node, scratch }
    }

    fn ask(&self, method: &str, path: &str, lines: &str, body: &str) -> crate::rig::Reply {
        say(self.proxy.address, request(method, path, lines, body).as_bytes())
    }

    /// The status of a look with this key.
    fn look(&self, key: &str) -> u16 {
        self.ask("GET", "/nodes", &format!("X-API-Key: {key}\r\n"), "").status
    }

    /// The cookie that the form gives for this key.
    fn logged_in(&self, key: &str) -> String {
        let head = self.ask("POST", "/login", "", &format!("key={key}")).head;
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap_or_else(|| panic!("{head}"));
        cookie.split(';').next().unwrap().to_owned()
    }

    /// The stream of events that these lines open.
    fn events(&self, lines: &str) -> Events {
        let mut stream = connect(self.proxy.address);
        // Less than that is silence between two heartbeats.
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(request("GET", "/events", lines, "").as_bytes()).unwrap();
        let mut events = Events::read(stream);
        events.until("event: snapshot");
        events
    }

    /// The status of a look with this cookie.
    fn visit(&self, cookie: &str) -> u16 {
        self.ask("GET", "/nodes", &format!("Cookie: {cookie}\r\n"), "").status
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..2 * PATIENCE.as_millis() / 20 {
            if holds() {
                return;
            }
            pause();
        }
        panic!("never: {what}; {}", self.proxy.written_so_far());
    }

    /// Writes the file and waits until it was read. Asking with a key that is not there yet would be guessing.
    fn reads(&self, keys: &[&str], by_signal: bool) {
        let times = || self.proxy.written_so_far().matches("the key file was read again").count();
        let before = times();
        write(&self.scratch, &file(keys));
        if !by_signal {
            return self.until("it is read", || times() > before);
        }
        // Twice: what is read at that moment, because the one before was seen without its signal, may be older.
        for _ in 0..2 {
            let before = times();
            self.proxy.hang_up();
            self.until("it is read", || times() > before);
        }
    }

    fn metric(&self, key: &str) -> String {
        let page = self.ask("GET", "/metrics", &format!("X-API-Key: {key}\r\n"), "").body;
        let line = page.lines().find_map(|line| line.strip_prefix("ollama_proxy_key_file_last_reload_successful "));
        line.unwrap_or_else(|| panic!("{page}")).to_owned()
    }
}

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// What comes on a stream of events, line by line; the channel ends with the stream.
struct Events(Receiver<String>);

impl Events {
    fn read(stream: TcpStream) -> Self {
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Self(told)
    }

    fn until(&mut self, text: &str) {
        while !self.0.recv_timeout(LONG).unwrap_or_else(|_| panic!("never: {text}")).contains(text) {}
    }

    /// Reads on to the end, which must come; heartbeats do not count as one.
    fn end(&mut self) {
        let end = Instant::now() + LONG;
        while let Ok(line) = self.0.recv_timeout(LONG) {
            assert!(Instant::now() < end, "it goes on: {line}");
        }
    }
}

fn request(method: &str, path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n{body}")
}

/// Named by the end of each key.
fn file(keys: &[&str]) -> String {
    let named = |key: &&str| json!({ "name": key.rsplit('-').next().unwrap(), "key": key });
    json!({ "keys": keys.iter().map(named).collect::<Vec<_>>() }).to_string()
}

/// In one step, as careful editors do.
fn write(scratch: &Scratch, text: &str) {
    std::fs::write(scratch.join("keys.new"), text).unwrap();
    std::fs::rename(scratch.join("keys.new"), scratch.join("keys.json")).unwrap();
}

#[test]
fn a_key_that_is_taken_back_opens_nothing_any_more_and_its_session_has_ended() {
    let house = House::with(slow(), &[ALICE, BOB]);
    assert_eq!((house.look(ALICE), house.look(BOB)), (200, 200));
    let (of_alice, of_bob) = (house.logged_in(ALICE), house.logged_in(BOB));
    assert_eq!((house.visit(&of_alice), house.visit(&of_bob)), (200, 200));
    let mut stream = connect(house.proxy.address);
    stream.write_all(request("POST", "/api/chat", &format!("X-API-Key: {ALICE}\r\n"), CHAT).as_bytes()).unwrap();
    let mut first = [0; 64];
    assert_ne!(stream.read(&mut first).unwrap(), 0);

    house.reads(&[BOB], true);
    assert_eq!((house.look(ALICE), house.visit(&of_alice)), (401, 401));
    assert_eq!((house.look(BOB), house.visit(&of_bob)), (200, 200));
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"done\":true"), "what runs goes on to its end: {rest}");
    let line = house.proxy.written("the key file was read again");
    assert!(line.contains("bob") && !line.contains("alice"), "{line}");

    // Given anew, it is a key like any other; the old session stays ended.
    house.reads(&[BOB, ALICE], true);
    assert_eq!((house.look(ALICE), house.visit(&of_alice), house.visit(&of_bob)), (200, 401, 200));
    assert!(!house.proxy.written_so_far().contains("canary"));
}

#[test]
fn a_stream_of_events_ends_with_the_key_or_the_session_that_opened_it() {
    let house = House::with(quick(), &[ALICE, BOB]);
    let by = |cookie: &str| format!("Cookie: {cookie}\r\n");
    let (of_alice, of_bob) = (by(&house.logged_in(ALICE)), by(&house.logged_in(BOB)));
    let by_key = format!("X-API-Key: {BOB}\r\n");
    let mut alices = [house.events(&format!("X-API-Key: {ALICE}\r\n")), house.events(&of_alice)];
    let mut bobs = [house.events(&by_key), house.events(&of_bob)];

    house.reads(&[BOB], true);
    alices.iter_mut().for_each(Events::end);
    assert_eq!(house.ask("POST", "/api/chat", &by_key, CHAT).status, 200);
    for bob in &mut bobs {
        bob.until("event: journal");
    }

    assert_eq!(house.ask("POST", "/logout", &of_bob, "").status, 303);
    let [mut with_key, mut with_cookie] = bobs;
    with_cookie.end();
    assert_eq!(house.ask("POST", "/api/chat", &by_key, CHAT).status, 200);
    with_key.until("event: journal");
}

#[test]
fn a_stream_of_events_that_took_no_key_ends_when_the_first_one_is_given() {
    let house = House::with(quick(), &[]);
    let mut anybodys = house.events("");
    house.reads(&[BOB], false);
    anybodys.end();
    assert_eq!(house.ask("GET", "/events", "", "").status, 401);
}

#[test]
fn a_key_file_that_cannot_be_used_keeps_the_keys_and_says_so_until_it_can() {
    let house = House::with(quick(), &[ALICE]);
    assert_eq!(house.metric(ALICE), "1");
    write(&house.scratch, &format!(r#"{{"keys":[{{"name":"bob","key":"{BOB}","oops":1}}]}}"#));
    house.proxy.hang_up();
    let line = house.proxy.written("the keys stay as they were");
    assert!(line.contains("unknown key `oops`") && !line.contains("canary"), "{line}");
    assert_eq!((house.look(ALICE), house.look(BOB), house.metric(ALICE)), (200, 401, "0".to_owned()));
    let page = house.ask("GET", "/", &format!("Accept: text/html\r\nX-API-Key: {ALICE}\r\n"), "").body;
    assert!(page.contains("The key file cannot be used") && !page.contains("canary"), "{page}");
    // By itself, without a signal.
    house.reads(&[BOB], false);
    assert_eq!((house.look(ALICE), house.look(BOB), house.metric(BOB)), (401, 200, "1".to_owned()));
    let page = house.ask("GET", "/", &format!("Accept: text/html\r\nX-API-Key: {BOB}\r\n"), "").body;
    assert!(!page.contains("The key file cannot be used"), "{page}");
}

#[test]
fn taking_the_last_key_back_lets_nobody_in() {
    let house = House::with(quick(), &[ALICE]);
    house.reads(&[], true);
    assert_eq!(house.look(ALICE), 401);
    for (method, path) in [("GET", "/nodes"), ("GET", "/api/tags"), ("POST", "/api/chat"), ("POST", "/nodes/node1/wake")] {
        assert_eq!(house.ask(method, path, "", "").status, 401, "{path}");
    }
    house.proxy.serves_others();
}
