//! What the program does with bad settings, bad disks and bad clients: it says what is wrong, in the words clients know,
//! and goes on serving everybody else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener};
use std::process::Command;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use rig::{Node, Proxy, Scratch, ask, connect, get, listen, post, refused, say};

const HELLO: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}],"stream":false}"#;

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// --- bad requests ---------------------------------------------------------------------------------------------------

#[test]
fn malformed_json_is_answered_with_400_in_the_dialect_of_the_route() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    for text in [r#"{"model": "#, "not json", r#"{"model":"llama3.2:3b","messages":[}"#] {
        let native = post(proxy.address, "/api/chat", text);
        assert_eq!(native.status, 400, "{native:?}");
        assert!(native.body.contains(r#"{"error":""#), "{native:?}");
        assert!(native.head.to_lowercase().contains("content-type: application/json"), "{native:?}");
        let openai = post(proxy.address, "/v1/chat/completions", text);
        assert_eq!(openai.status, 400, "{openai:?}");
        assert!(openai.body.contains(r#""invalid_request_error""#), "{openai:?}");
        let anthropic = post(proxy.address, "/v1/messages", text);
        assert_eq!(anthropic.status, 400, "{anthropic:?}");
        assert!(anthropic.body.contains(r#"{"type":"error""#), "{anthropic:?}");
    }
    assert_eq!(node.counters().generations_started, 0);
}

#[test]
fn a_missing_body_is_answered_with_400_in_ollamas_words() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    for path in ["/api/chat", "/api/generate", "/api/embed", "/api/show", "/api/pull", "/api/copy"] {
        let reply = post(proxy.address, path, "");
        assert_eq!(reply.status, 400, "{path}: {reply:?}");
        assert!(reply.body.contains("missing request body"), "{path}: {reply:?}");
    }
}

#[test]
fn a_body_over_the_limit_is_answered_with_413_before_it_is_read() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &["--max-body", "4KiB"]);
    let announced = "POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n\r\n{";
    let reply = say(proxy.address, announced.as_bytes());
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.body.contains("--max-body") || reply.body.contains("4096") || reply.body.contains("4 KiB"), "{reply:?}");
    assert_eq!(node.counters().generations_started, 0);
    proxy.serves_others();
}

#[test]
fn a_body_without_a_length_is_cut_off_at_the_limit() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &["--max-body", "4KiB"]);
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
    let reply = say(proxy.address, (head.to_owned() + &chunk.repeat(5)).as_bytes());
    assert_eq!(reply.status, 413, "{reply:?}");
    assert!(reply.body.contains(r#""message""#), "{reply:?}");
    proxy.serves_others();
}

#[test]
fn a_body_just_under_the_limit_passes() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &["--max-body", "4KiB"]);
    let padding = 4096 - HELLO.len();
    let reply = post(proxy.address, "/api/chat", &(HELLO.to_owned() + &" ".repeat(padding)));
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn ten_thousand_headers_are_refused_and_others_are_served() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let mut text = String::from("GET /api/tags HTTP/1.1\r\nHost: x\r\n");
    for i in 0..10_000 {
        write!(text, "X-Header-{i}: value\r\n").unwrap();
    }
    text.push_str("\r\n");
    let reply = say(proxy.address, text.as_bytes());
    // The answer itself may be lost to the reset that the unread rest of the headers causes.
    assert!(matches!(reply.status, 0 | 400 | 431), "{reply:?}");
    proxy.serves_others();
}

#[test]
fn one_endless_header_is_refused_and_others_are_served() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let text = format!("GET /api/tags HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(4 << 20));
    let reply = say(proxy.address, text.as_bytes());
    assert!(matches!(reply.status, 0 | 400 | 431), "{reply:?}");
    proxy.serves_others();
}

#[test]
fn half_requests_do_not_keep_others_waiting() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let halves =
        ["", "POST /api", "POST /api/chat HTTP/1.1\r\nHost:", "POST /api/chat HTTP/1.1\r\nContent-Length: 90\r\n\r\n{\"mo"];
    let mut open = Vec::new();
    for half in halves.iter().cycle().take(80) {
        let mut stream = connect(proxy.address);
        stream.write_all(half.as_bytes()).unwrap();
        open.push(stream);
    }
    assert_eq!(post(proxy.address, "/api/chat", HELLO).status, 200);
    proxy.serves_others();
    assert_eq!(node.counters().requests("POST /api/chat"), 1);
}

#[test]
fn a_request_whose_body_breaks_off_never_reaches_the_node() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let mut stream = connect(proxy.address);
    let text = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{HELLO}", HELLO.len() + 1);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let reply = listen(&mut stream);
    assert!(matches!(reply.status, 0 | 400), "{reply:?}");
    proxy.serves_others();
    assert_eq!(node.counters().requests("POST /api/chat"), 0);
}

#[test]
fn nonsense_instead_of_http_is_refused() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let chunked = "POST /api/chat HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n";
    let two_lengths = "POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ";
    for text in ["\x16\x03\x01\x02\x00\x01", "hello\r\n\r\n", "GET /api/tags HTTP/9.9\r\n\r\n", chunked, two_lengths] {
        let reply = say(proxy.address, text.as_bytes());
        assert!(matches!(reply.status, 0 | 400 | 505), "{text:?}: {reply:?}");
    }
    assert_eq!(node.counters().requests("POST /api/chat"), 0);
    proxy.serves_others();
}

#[test]
fn a_wrong_method_is_answered_with_405() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    for (method, path) in [("GET", "/api/chat"), ("GET", "/api/show"), ("DELETE", "/api/tags"), ("PUT", "/api/generate")] {
        let reply = ask(proxy.address, method, path, "");
        assert_eq!(reply.status, 405, "{method} {path}: {reply:?}");
    }
}

#[test]
fn an_unknown_model_is_answered_with_404_in_ollamas_words() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    for (path, body, words) in [
        ("/api/chat", r#"{"model":"nope","messages":[]}"#, r#"{"error":"model 'nope' not found"}"#),
        ("/api/generate", r#"{"model":"nope","prompt":"x"}"#, r#"{"error":"model 'nope' not found"}"#),
        ("/api/embed", r#"{"model":"nope","input":"x"}"#, r#"{"error":"model \"nope\" not found, try pulling it first"}"#),
        ("/api/show", r#"{"model":"nope"}"#, r#"{"error":"model 'nope:latest' not found"}"#),
    ] {
        let reply = post(proxy.address, path, body);
        assert_eq!((reply.status, reply.body.as_str()), (404, words), "{path}");
    }
}

// --- bad settings ---------------------------------------------------------------------------------------------------

#[test]
fn all_bad_settings_are_named_at_once() {
    let settings = "--ollama-url ftp://gpu --wake-mac 00:11:22:33:44 --wake-timeout soon --model-timeout 3parsecs \
                    --wake-url http://[broken/wol --wake-broadcast 300.1.1.1 --never-wake-clients 10.0.0.0/64";
    let output = refused(&settings.split_whitespace().collect::<Vec<_>>(), &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for flag in settings.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(said.contains(flag), "{flag} is not named in:\n{said}");
    }
    assert!(said.contains("00:11:22:33:44") && said.contains("soon"), "the values are not named in:\n{said}");
}

#[test]
fn a_bad_setting_of_the_environment_is_named_by_its_own_name() {
    let output = refused(&[], &[("WAKE_MAC", "nonsense"), ("WAKE_TIMEOUT", "soon")]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("WAKE_MAC") && said.contains("WAKE_TIMEOUT"), "{said}");
}

#[test]
fn an_unknown_flag_is_refused_with_exit_code_2() {
    assert_eq!(refused(&["--wake-mak", "00:11:22:33:44:55"], &[]).status.code(), Some(2));
}

#[test]
fn a_port_in_use_says_how_to_choose_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = refused(&["--host", "127.0.0.1", "--port", &port, "--ollama-url", "http://127.0.0.1:9"], &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&port) && said.contains("--port"), "{said}");
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_refused() {
    let url = "http://127.0.0.1:14434";
    let output = refused(&["--host", "127.0.0.1", "--port", "14434", "--ollama-url", url], &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(url) || said.contains("127.0.0.1:14434"), "{said}");
}

// --- bad disks ------------------------------------------------------------------------------------------------------

#[test]
fn a_damaged_state_file_is_set_aside_with_a_warning() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let data = scratch.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("state.json"), br#"{"version":1,"nodes":{"node1":{"tags":"#).unwrap();
    let proxy = Proxy::before(&node, &scratch, &[]);
    proxy.serves_others();
    let line = proxy.written("state.json");
    assert!(line.contains("WARN"), "{line}");
    let aside = std::fs::read_dir(&data).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("state.json.damaged")
    });
    assert_eq!(aside.count(), 1);
    proxy.until("/api/tags", "llama3.2:3b");
}

#[test]
fn a_data_directory_that_is_a_file_is_warned_about_and_the_proxy_runs() {
    let (node, scratch) = (Node::start(), Scratch::new());
    std::fs::write(scratch.path().join("data"), b"not a directory").unwrap();
    let proxy = Proxy::before(&node, &scratch, &[]);
    assert!(proxy.written("data").contains("WARN"));
    proxy.until("/api/tags", "llama3.2:3b");
    assert_eq!(post(proxy.address, "/api/chat", HELLO).status, 200);
}

/// The proxy in a mount namespace of its own where its data directory is a tiny disk, prepared by `prepare`.
/// `None` where this machine does not allow such a thing.
fn on_a_bad_disk(node: &Node, scratch: &Scratch, prepare: &str) -> Option<Proxy> {
    let data = scratch.join("data");
    std::fs::create_dir(&data).unwrap();
    let script = format!("mount -t tmpfs -o size=4k none {data} && {prepare} && exec \"$@\"");
    let arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", &data, "--ollama-url", &node.url()];
    in_a_mount_namespace(scratch, &script, &arguments)
}

/// What `script` does before it runs its arguments (the proxy and its flags) holds for the proxy alone.
fn in_a_mount_namespace(scratch: &Scratch, script: &str, arguments: &[&str]) -> Option<Proxy> {
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "without root and mount namespaces no bad disk can be made");
        // Past the test harness, which shows what failed tests print only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: a bad disk needs root and mount namespaces");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_ollama-proxy")]).args(arguments);
    rig::bare(&mut command, scratch);
    Some(Proxy::from(command))
}

#[test]
fn a_full_disk_is_warned_about_and_the_proxy_runs() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let data = scratch.join("data");
    let fill = format!("head -c 4096 /dev/zero >{data}/filler");
    let Some(proxy) = on_a_bad_disk(&node, &scratch, &fill) else { return };
    proxy.until("/api/tags", "llama3.2:3b");
    assert_eq!(post(proxy.address, "/api/chat", HELLO).status, 200);
    assert!(proxy.written("No space left").contains("WARN"));
    assert_eq!(get(proxy.address, "/api/version").status, 200);
}

#[test]
fn a_read_only_disk_is_warned_about_and_the_proxy_runs() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let data = scratch.join("data");
    let Some(proxy) = on_a_bad_disk(&node, &scratch, &format!("mount -o remount,ro {data}")) else { return };
    proxy.until("/api/tags", "llama3.2:3b");
    assert_eq!(post(proxy.address, "/api/chat", HELLO).status, 200);
    assert!(proxy.written(&data).contains("WARN"));
}

#[test]
fn what_was_learnt_is_known_after_a_restart_on_a_disk_that_takes_no_writes_any_more() {
    let scratch = Scratch::new();
    let data = scratch.join("data");
    let url = {
        let node = Node::start();
        let mut proxy = Proxy::before(&node, &scratch, &[]);
        proxy.until("/api/tags", "llama3.2:3b");
        proxy.terminate();
        assert_eq!(proxy.exit_code(), Some(0));
        node.url()
    };
    let script = format!("mount --bind {data} {data} && mount -o remount,ro,bind {data} && exec \"$@\"");
    let arguments = ["--host", "127.0.0.1", "--port", "0", "--data-dir", &data, "--ollama-url", &url];
    let Some(proxy) = in_a_mount_namespace(&scratch, &script, &arguments) else { return };
    assert!(get(proxy.address, "/api/tags").body.contains("llama3.2:3b"));
    assert!(proxy.written("is not writable").contains("WARN"));
}
