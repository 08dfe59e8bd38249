//! A disk that is full, then read-only: the proxy serves on, leaves no half file, and writes again when it can. And how
//! each file is kept.
//!
//! The data directory is a tiny file system in a mount namespace of the proxy's own, which needs root on Linux; elsewhere
//! the test says that it was skipped.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ollama_proxy::simulator::Settings;
use rig::{Node, PATIENCE, Proxy, Scratch, bare, pause, post};

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

/// Leaves no room for even a small file.
const FILL: &str =
    "mount -t tmpfs -o size=1m,mode=700 tmpfs \"$DATA\" && head -c 1048576 /dev/zero > \"$DATA/filler\"; exec \"$@\"";

/// Whether this user may make mount namespaces.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    let may = tried.is_ok_and(|tried| tried.status.success());
    if !may {
        // Past the test harness, which shows what failed tests print only.
        let text = b"SKIPPED: no mount namespaces for this user, so no disk can be filled\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text);
    }
    may
}

fn quick() -> Settings {
    let none = Duration::ZERO;
    Settings { load: none, first_token: none, token_gap: Duration::from_millis(1), tokens: 3, ..Settings::default() }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3 * PATIENCE.as_millis() / 20 {
        if holds() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}

#[test]
fn a_disk_that_is_full_and_then_read_only_costs_the_memory_and_not_the_service() {
    if !may_mount() {
        return;
    }
    let (node, scratch) = (Node::with(quick()), Scratch::new());
    let data = scratch.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let mut command = Command::new("unshare");
    bare(&mut command, &scratch);
    command.env("DATA", &data).args(["--mount", "sh", "-c", FILL, "sh", env!("CARGO_BIN_EXE_ollama-proxy")]);
    command.args(["--host", "127.0.0.1", "--port", "0", "--data-dir", &data, "--ollama-url", &node.url()]);
    let mut proxy = Proxy::from(command);
    // As the proxy sees it. `unshare` and `sh` have become the proxy.
    let inside = PathBuf::from(format!("/proc/{}/root{data}", proxy.pid()));
    let files = || {
        let entries = std::fs::read_dir(&inside).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let chat = || {
        let reply = post(proxy.address, "/api/chat", CHAT);
        assert!(reply.status == 200 && reply.body.contains("\"done\":true"), "{reply:?}");
    };
    proxy.written("the state cannot be saved");
    proxy.written("the journal cannot be saved");
    chat();
    assert_eq!(files(), ["filler"], "half a file was left");

    std::fs::remove_file(inside.join("filler")).unwrap();
    chat();
    until("it writes when there is room", || files().contains(&"journal.jsonl".to_owned()));

    let remount = |how: &str| {
        let pid = proxy.pid().to_string();
        let done = Command::new("nsenter").args(["-t", &pid, "-m", "mount", "-o", how, &data]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    remount("remount,ro");
    let kept = std::fs::read(inside.join("journal.jsonl")).unwrap();
    chat();
    proxy.written("Read-only file system");
    chat();
    assert_eq!(std::fs::read(inside.join("journal.jsonl")).unwrap(), kept);
    remount("remount,rw");

    // What was learnt meanwhile is written at the end at the latest.
    let held = std::fs::File::open(&inside).unwrap();
    proxy.terminate();
    assert_eq!(proxy.exit_code(), Some(0));
    let held = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
    let state = std::fs::read_to_string(format!("{held}/state.json")).unwrap();
    assert!(state.contains("llama3.2:3b") && state.contains("sha256"), "{state}");
    let journal = std::fs::read_to_string(format!("{held}/journal.jsonl")).unwrap();
    assert!(journal.matches("\"kind\":\"request\"").count() > 2, "{journal}");
}

#[test]
fn every_file_of_the_data_directory_is_private_sealed_and_says_its_version() {
    use std::os::unix::fs::PermissionsExt;
    let (node, scratch) = (Node::with(quick()), Scratch::new());
    let data = PathBuf::from(scratch.join("data"));
    // What an earlier, careless version may have left.
    std::fs::create_dir_all(&data).unwrap();
    for name in ["state.json", "journal.jsonl"] {
        std::fs::write(data.join(name), "").unwrap();
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o666)).unwrap();
    }
    let keys = ["--admin-key", "canary-key-of-the-owner", "--api-key", "canary-key-of-a-client"];
    let mut proxy = Proxy::before(&node, &scratch, &keys);
    let login = "POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 27\r\n\r\nkey=canary-key-of-the-owner";
    assert_eq!(rig::say(proxy.address, login.as_bytes()).status, 303);
    until("the list is kept", || std::fs::read_to_string(data.join("state.json")).is_ok_and(|text| text.contains("llama3.2:3b")));
    proxy.terminate();
    assert_eq!(proxy.exit_code(), Some(0));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap().map(Result::unwrap) {
        let (name, text) = (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap());
        // Set aside as it was.
        if name.contains(".damaged-") {
            continue;
        }
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        assert!(text.lines().last().unwrap().starts_with("{\"sha256\":\""), "{name}: {text}");
        assert!(text.lines().next().unwrap().contains("\"version\":"), "{name}: {text}");
        assert!(!text.contains("canary"), "{name} holds a key: {text}");
        names.push(name);
    }
    names.sort();
    names.retain(|name| !name.contains(".old"));
    assert_eq!(names, ["journal.jsonl", "state.json"], "another file of state: hold it to the same");
}
