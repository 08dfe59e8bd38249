//! Programs that really run: right, wrong, endless, greedy, curious. Needs Python and network namespaces.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::running::{House, RIGHT};

/// Whether programs can run here; on the build server they must.
fn can_run() -> bool {
    let works = |name: &str, arguments: &[&str]| {
        let tried = Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let walls = works("unshare", &["--net", "--mount", "true"])
        || works("unshare", &["--user", "--map-root-user", "--net", "--mount", "true"]);
    let python = ["/usr/bin/python3", "python3"].iter().any(|name| works(name, &["-c", "pass"]));
    let can = walls && python;
    assert!(can || std::env::var_os("CI").is_none(), "namespaces: {walls}, Python: {python}");
    if !can {
        // Past the test harness, which shows what failed tests print only.
        let text = format!("SKIPPED: programs of models; namespaces: {walls}, Python: {python}\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    }
    can
}

/// Runs what a model wrote for the first problem; its record.
fn verdict(code: &str, more: &[&str]) -> Value {
    let house = House::of(code);
    house.run(&[&["--execute", "--limit", "1"], more].concat()).well();
    house.results().remove(0)
}

#[track_caller]
fn fails(record: &Value, field: &str, part: &str) {
    assert_eq!(record["ok"], false, "{record}");
    assert!(record[field].as_str().is_some_and(|text| text.contains(part)), "no {part:?} in {record}");
}

#[test]
fn right_programs_pass_and_a_wrong_one_fails_by_its_assertion() {
    if !can_run() {
        return;
    }
    let house = House::of(&RIGHT.replace("math.ceil(things / size)", "things // size"));
    let said = house.run(&["--execute"]).well().said();
    assert!(said.contains("2 of 3 passed, pass@1 66.7 %"), "{said}");
    let results = house.results();
    assert!(results[..2].iter().all(|record| record["ok"] == true && record["error"].is_null()), "{results:?}");
    fails(&results[2], "stderr", "AssertionError");
    let summary = house.summary();
    assert!((summary["pass_at_k"]["1"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12, "{summary}");
}

#[test]
fn answers_of_an_earlier_run_are_run_without_asking_again() {
    if !can_run() {
        return;
    }
    let house = House::of(RIGHT);
    house.run(&[]).well();
    let said = house.run(&["--execute"]).well().said();
    assert_eq!(house.asked(), 3);
    assert!(said.contains("3 of 3 passed, pass@1 100.0 %"), "{said}");
}

#[test]
fn an_endless_loop_is_ended_with_all_that_it_started() {
    if !can_run() {
        return;
    }
    // Its own name among all that run on this machine.
    let sleeper = format!("4711.{}", std::process::id());
    let code = format!(
        "import subprocess\nsubprocess.Popen(['sleep', '{sleeper}'], start_new_session=True)\n\
         def running_total(n):\n    while True: pass\n"
    );
    let record = verdict(&code, &["--execution-limit", "2"]);
    fails(&record, "error", "ended after 2 s");
    let left = Command::new("sh").args(["-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&left.stdout).contains(&sleeper));
}

#[test]
fn a_memory_hog_is_ended_at_its_limit() {
    if !can_run() {
        return;
    }
    let code =
        "def running_total(n):\n    held = []\n    while len(held) < 2000: held.append(bytearray(1 << 20))\n    return n\n";
    fails(&verdict(code, &["--memory-limit", "128", "--execution-limit", "60"]), "stderr", "MemoryError");
}

#[test]
fn there_is_no_network_for_a_program() {
    if !can_run() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let code = format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\n{RIGHT}");
    let record = verdict(&code, &[]);
    fails(&record, "stderr", "OSError");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    // The same program passes where there is a network: it is the walls that refused it.
    let open = verdict(&code, &["--without-isolation"]);
    assert_eq!(open["ok"], true, "{open}");
    assert!(listener.accept().is_ok());
}

#[test]
fn a_program_that_leaves_before_its_tests_does_not_pass() {
    if !can_run() {
        return;
    }
    fails(&verdict("import os\nos._exit(0)\ndef running_total(n): pass\n", &[]), "error", "before its tests did");
}

#[test]
fn homes_sockets_and_folders_for_files_are_hidden_from_a_program() {
    if !can_run() {
        return;
    }
    let code = format!(
        "import os\nfor at in ['/home', '/root', '/run', '/tmp', '/var/tmp', '/dev/shm']:\n    if os.path.isdir(at):\n        assert \
         os.listdir(at) == [], at\n        try:\n            open(at + '/x', 'w')\n            assert False, at\n        except OSError: \
         pass\n{RIGHT}"
    );
    let record = verdict(&code, &[]);
    assert_eq!(record["ok"], true, "{record}");
    fails(&verdict(&code, &["--without-isolation"]), "stderr", "AssertionError");
}

#[test]
fn root_runs_programs_as_nobody() {
    if !can_run() {
        return;
    }
    let record =
        verdict(&format!("import os\nprint('user', os.getuid(), 'caps', open('/proc/self/status').read())\n{RIGHT}"), &[]);
    assert_eq!(record["ok"], true, "{record}");
    let said = record["stdout"].as_str().unwrap();
    let owner = Command::new("id").arg("-u").output().unwrap();
    if owner.stdout == b"0\n" {
        assert!(said.contains("user 65534") && said.contains("CapEff:\t0000000000000000"), "{said}");
    }
}

#[test]
fn a_flood_of_words_is_kept_from_its_end() {
    if !can_run() {
        return;
    }
    let record = verdict(&format!("print('word ' * 2_000_000)\nprint('end')\n{RIGHT}"), &[]);
    assert_eq!(record["ok"], true, "{record}");
    let said = record["stdout"].as_str().unwrap();
    assert!(said.len() <= 16 << 10 && said.ends_with("word \nend"), "{}", said.len());
}

#[test]
fn without_walls_nothing_is_run_and_nothing_asked() {
    if !can_run() {
        return;
    }
    let house = House::of(RIGHT);
    // No such Python: the trial of the walls fails as it would without namespaces.
    let said = house.run(&["--execute", "--python", "/nowhere/python3"]).badly().said();
    assert!(said.contains("no isolation here") && said.contains("--without-isolation"), "{said}");
    assert_eq!(house.asked(), 0);
}
