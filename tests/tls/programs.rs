//! Other people's programs as clients, and our own commands.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::House;
use crate::authority::Authority;
use crate::rig::{Node, Scratch, bare};

/// `None`, said aloud: the program is not here.
fn run(command: &mut Command, said: &str) -> Option<Output> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        // Past the test harness, which shows what failed tests print only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {:?} is not installed here", command.get_program());
        return None;
    };
    child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn curl_trusts_it_with_the_authority_and_not_without() {
    let house = House::new(&[]);
    let url = format!("https://{}/api/tags", house.proxy.address);
    let base = ["--silent", "--show-error", "--max-time", "30", "--http1.1", "--noproxy", "*"];
    let with = ["--cacert", &house.authority.file, &url];
    let Some(served) = run(Command::new("curl").args(base).args(with), "") else { return };
    assert!(String::from_utf8_lossy(&served.stdout).contains("llama3.2:3b"), "{served:?}");
    let refused = run(Command::new("curl").args(base).arg(&url), "").unwrap();
    assert_eq!(refused.status.code(), Some(60), "{refused:?}");
}

#[test]
fn openssl_finds_a_verified_chain_and_nothing_older_than_tls_1_2() {
    let house = House::new(&[]);
    let at = house.proxy.address.to_string();
    let client = |version: &'static str| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &at, "-CAfile", &house.authority.file, "-verify_return_error", version]);
        command
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let Some(seen) = run(&mut client(version), "") else { return };
        let text = String::from_utf8_lossy(&seen.stdout);
        assert!(text.contains("Verify return code: 0 (ok)") || text.contains("Verification: OK"), "{version}: {seen:?}");
    }
    let old = run(client("-tls1_1").args(["-cipher", "DEFAULT@SECLEVEL=0"]), "").unwrap();
    assert!(!old.status.success(), "{old:?}");
}

#[test]
fn healthcheck_and_nodes_ask_the_proxy_of_this_machine_by_tls() {
    let house = House::new(&[]);
    let (cert, key) = (house.scratch.join("proxy.crt"), house.scratch.join("proxy.key"));
    let port = house.proxy.address.port().to_string();
    for command in ["healthcheck", "nodes"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
        bare(&mut program, &house.scratch);
        program.args([command, "--host", "127.0.0.1", "--port", &port, "--tls-cert", &cert, "--tls-key", &key]);
        let output = program.output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
    // By name it must prove who it is.
    let mut program = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut program, &house.scratch);
    let url = format!("https://{}", house.proxy.address);
    let ask = |program: &mut Command| program.args(["nodes", "--url", &url]).output().unwrap();
    let stranger = ask(&mut program);
    assert!(!stranger.status.success() && String::from_utf8_lossy(&stranger.stderr).contains("UnknownIssuer"), "{stranger:?}");
    let mut program = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut program, &house.scratch);
    let known = ask(program.args(["--ca-cert", &house.authority.file]));
    assert!(known.status.success(), "{known:?}");
}

#[test]
fn check_says_when_the_certificate_ends() {
    let (node, scratch) = (Node::with(crate::quick()), Scratch::new());
    let authority = Authority::new(&scratch, "house");
    for (days, told) in
        [(400, "ok     the certificate of --tls-cert is valid until"), (6, "note   the certificate of --tls-cert ends on")]
    {
        let (cert, key) = authority.certifies_for(&["127.0.0.1"], days).write(&scratch, "proxy");
        let mut program = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
        bare(&mut program, &scratch);
        program.args(["check", "--host", "127.0.0.1", "--port", "0", "--tls-cert", &cert, "--tls-key", &key]);
        let output = program.args(["--ollama-url", &node.url(), "--always-on"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(told), "{text}");
    }
}
