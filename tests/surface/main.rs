//! `docs/openapi.json` and the programs say the same: which paths are ours, what they take, what they answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod program;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::Command;

use ollama_proxy::front::routes;
use program::{Node, Proxy, Reply, Scratch, bare, connect, say};
use schema::{description, differs, resolved};
use serde_json::{Value, json};

const KEY: &str = "the-key";

/// The methods that an operation of the description may stand under.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What the description says of each path; every `GET` takes `HEAD`, too.
fn described() -> BTreeMap<String, BTreeSet<String>> {
    let document = description();
    let methods = |operations: &Value| {
        let all = operations.as_object().unwrap().keys().map(|method| method.to_uppercase());
        all.flat_map(|method| if method == "GET" { vec![method, "HEAD".to_owned()] } else { vec![method] }).collect()
    };
    document["paths"].as_object().unwrap().iter().map(|(path, operations)| (path.clone(), methods(operations))).collect()
}

/// A proxy with keys, a controller, and a worker.
struct Programs {
    node: Node,
    _scratch: Scratch,
    proxy: Proxy,
    controller: Proxy,
    worker: Proxy,
}

impl Programs {
    fn start() -> Self {
        let (node, scratch) = (Node::start(), Scratch::new());
        let proxy = Proxy::before(&node, &scratch, &["--api-key", KEY]);
        let run = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
            bare(&mut command, &scratch);
            command.args(args).args(["--host", "127.0.0.1", "--port", "0"]);
            // No bus of the system: nobody's machine is held or sent to sleep by a test.
            command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere");
            Proxy::from(command)
        };
        let controller = run(&["controller", "--internal-api-key", KEY, "--data-dir", &scratch.join("controller")]);
        // It registers where nobody listens: what it answers itself is what is looked at.
        let nobody = ["--controller-url", "http://127.0.0.1:1", "--worker-id", "pc", "--internal-api-key", KEY];
        let worker = run(&[&["worker", "--backend-url", &node.url()], &nobody[..]].concat());
        Self { node, _scratch: scratch, proxy, controller, worker }
    }

    /// Who has this path.
    fn of(&self, path: &str) -> SocketAddr {
        match path {
            "/hold" | "/sleep" => self.worker.address,
            path if path.starts_with("/internal/") => self.controller.address,
            _ => self.proxy.address,
        }
    }
}

fn ask(address: SocketAddr, method: &str, path: &str, accept: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nAccept: {accept}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    say(address, text.as_bytes())
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let mut lines = reply.head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn words(methods: &str) -> BTreeSet<String> {
    methods.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_description_names_the_routes_that_there_are_and_no_others() {
    let there_are: BTreeMap<String, BTreeSet<String>> =
        routes::all().into_iter().map(|(path, methods)| (path.to_owned(), words(methods))).collect();
    assert_eq!(described(), there_are);
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        resolved(document, value);
        match value {
            Value::Object(fields) => fields.values().for_each(|value| walk(document, value)),
            Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    walk(&description(), &description());
}

#[test]
fn a_method_that_is_not_described_gets_405_with_those_that_are() {
    let programs = Programs::start();
    for (path, methods) in described() {
        let asked = path.replace("{name}", "node1").replace("{file}", "base.css").replace("{id}", "w");
        for method in METHODS.into_iter().filter(|method| !methods.contains(*method)) {
            let reply = ask(programs.of(&path), method, &asked, "*/*", "");
            assert_eq!(reply.status, 405, "{method} {asked}: {reply:?}");
            assert_eq!(header(&reply, "allow").map(words), Some(methods.clone()), "{method} {asked}: {reply:?}");
        }
    }
}

#[test]
fn below_the_pages_parts_there_is_no_way_to_a_node_past_the_keys() {
    let programs = Programs::start();
    let chat = r#"{"model":"llama3.2:3b","messages":[]}"#;
    for (method, path, status) in [
        ("GET", "/ui/nothing.css", 404),
        ("GET", "/ui/../api/tags", 404),
        ("POST", "/ui/../api/chat", 404),
        ("POST", "/ui/base.css", 405),
        ("DELETE", "/ui/", 404),
        ("GET", "/ui/%2e%2e/api/tags", 404),
    ] {
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{chat}",
            chat.len()
        );
        let reply = say(programs.proxy.address, text.as_bytes());
        let told: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        assert!(reply.status == status && told["error"].is_string(), "{method} {path}: {reply:?}");
    }
    let heard = programs.node.counters().requests;
    assert!(heard.keys().all(|asked| !asked.ends_with("other") && asked != "POST /api/chat"), "{heard:?}");
}

/// Asserts that an answer has a described status, type and form.
fn is_as_described(document: &Value, method: &str, template: &str, reply: &Reply) {
    let what = format!("{method} {template} {}", reply.status);
    let responses = &document["paths"][template][method.to_lowercase()]["responses"];
    let described = responses.get(reply.status.to_string()).unwrap_or_else(|| panic!("{what} is not described: {reply:?}"));
    let described = resolved(document, described);
    let Some(content) = described.get("content") else {
        return assert!(reply.body.is_empty(), "{what}: {reply:?}");
    };
    let kind = header(reply, "content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let form = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind:?} is not described"));
    if kind == "application/json" {
        let told = serde_json::from_str(&reply.body).unwrap_or_else(|why| panic!("{what}: {why} in {reply:?}"));
        assert_eq!(differs(document, &form["schema"], &told, &what), None);
    }
}

#[test]
fn what_the_programs_answer_has_the_form_that_is_described() {
    let (document, programs) = (description(), Programs::start());
    programs.controller.serves_others();
    let chat = json!({ "model": "llama3.2:3b", "messages": [{ "role": "user", "content": "hello" }], "stream": false });
    let answered = ask(programs.proxy.address, "POST", "/api/chat", "*/*", &chat.to_string());
    assert_eq!(answered.status, 200, "{answered:?}");
    let register = json!({ "worker_id": "w", "endpoint": "http://localhost:9", "interfaces": [{ "name": "eth0", "mac": "" }] });
    let beat = json!({ "worker_id": "w", "current_load": 1, "slots": { "total": 2 }, "power": { "gap": 1.5 } });
    for (method, template, asked, body, status) in [
        ("GET", "/", "/", Value::Null, 200),
        ("GET", "/health", "/health", Value::Null, 200),
        ("GET", "/nodes", "/nodes", Value::Null, 200),
        ("GET", "/route", "/route?model=llama3.2:3b", Value::Null, 200),
        ("GET", "/route", "/route", Value::Null, 400),
        ("GET", "/route", "/route?model=m&node=nobody", Value::Null, 404),
        ("GET", "/metrics", "/metrics", Value::Null, 200),
        ("GET", "/journal", "/journal?since=0", Value::Null, 200),
        ("GET", "/summary", "/summary", Value::Null, 200),
        ("GET", "/topology.json", "/topology.json", Value::Null, 200),
        ("GET", "/topology", "/topology", Value::Null, 200),
        ("GET", "/static/topology-3d.html", "/static/topology-3d.html", Value::Null, 303),
        ("GET", "/ui/{file}", "/ui/icon.svg", Value::Null, 200),
        ("GET", "/ui/{file}", "/ui/none", Value::Null, 404),
        ("GET", "/login", "/login", Value::Null, 200),
        ("POST", "/nodes/{name}/refresh", "/nodes/node1/refresh", Value::Null, 200),
        ("POST", "/nodes/{name}/sleep", "/nodes/node1/sleep", Value::Null, 409),
        ("POST", "/nodes/{name}/wake", "/nodes/node1/wake?wait=1", Value::Null, 200),
        ("POST", "/nodes/{name}/wake", "/nodes/nobody/wake", Value::Null, 404),
        ("POST", "/internal/workers/register", "/internal/workers/register", register, 201),
        ("POST", "/internal/workers/register", "/internal/workers/register", json!({}), 400),
        ("POST", "/internal/workers/heartbeat", "/internal/workers/heartbeat", beat, 200),
        ("POST", "/internal/workers/heartbeat", "/internal/workers/heartbeat", json!({ "worker_id": "x" }), 404),
        ("GET", "/internal/workers", "/internal/workers", Value::Null, 200),
        ("DELETE", "/internal/workers/{id}", "/internal/workers/w?force", Value::Null, 200),
        ("POST", "/hold", "/hold", json!({ "ttl": 1 }), 200),
        ("POST", "/hold", "/hold", json!({ "ttl": 0 }), 400),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = ask(programs.of(template), method, asked, "application/json", &body);
        assert_eq!(reply.status, status, "{method} {asked}: {reply:?}");
        is_as_described(&document, method, template, &reply);
    }
    let page = ask(programs.proxy.address, "GET", "/", "text/html", "");
    is_as_described(&document, "GET", "/", &page);
}

#[test]
fn the_first_event_has_the_form_that_is_described() {
    let (document, programs) = (description(), Programs::start());
    let mut stream = connect(programs.proxy.address);
    let text = format!("GET /events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line == "event: snapshot"));
    let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
    let schema = &document["components"]["schemas"]["Snapshot"];
    assert_eq!(differs(&document, schema, &serde_json::from_str(&data).unwrap(), "snapshot"), None);
}
