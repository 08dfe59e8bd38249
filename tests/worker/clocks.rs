//! Clocks that jump: a machine that slept without a word, a clock on the wall that is set. And the seconds of a sleep that was
//! announced.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::house::{self, House, controller, controller_command, signal, state, until_state, until_written, worker_command};
use crate::logind::Logind;
use crate::rig::{Node, Proxy, Scratch, get, pause, post};

const DAY: i64 = 24 * 3600;

/// The clocks of some programs, to be set by the test.
struct Clocks {
    shim: String,
    file: String,
}

impl Clocks {
    /// `None`: this machine has no C compiler.
    fn start(scratch: &Scratch) -> Option<Self> {
        let (shim, file) = (scratch.join("clocks.so"), scratch.join("clocks"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worker/clocks.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-o", &shim]).arg(source).status();
        if !made.is_ok_and(|status| status.success()) {
            // Past the test harness, which shows what failed tests print only.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: cc is needed to set the clocks of a program\n");
            return None;
        }
        std::fs::write(&file, [0; 16]).unwrap();
        Some(Self { shim, file })
    }

    fn govern(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.shim).env("CLOCKS", &self.file);
    }

    /// What is added to the clock on the wall, and to the one that goes on while the machine sleeps, in seconds.
    fn add(&self, wall: i64, asleep: i64) {
        let mut bytes = wall.to_ne_bytes().to_vec();
        bytes.extend(asleep.to_ne_bytes());
        std::fs::OpenOptions::new().write(true).open(&self.file).unwrap().write_all_at(&bytes, 0).unwrap();
    }
}

/// What a controller tells of its one worker.
fn told(controller: SocketAddr) -> Value {
    let mut all: Value = serde_json::from_str(&get(controller, "/internal/workers").body).unwrap();
    all["workers"][0].take()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..house::LOOKS {
        if holds() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}

/// Until so many further words of the worker were heard.
fn until_heard(controller: SocketAddr, times: usize) {
    for _ in 0..times {
        let last = told(controller)["last_heartbeat"].clone();
        until("it is heard again", || told(controller)["last_heartbeat"] != last);
    }
}

#[test]
fn a_machine_that_slept_without_a_word_says_so_is_held_and_does_not_take_its_sleep_for_idleness() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let (Some(logind), Some(clocks)) = (Logind::start(&scratch), Clocks::start(&scratch)) else { return };
    let (controller, proof) = (controller(&scratch, &[]), scratch.join("proof"));
    let command = format!("touch {proof}");
    let args = ["--suspend-after", "1h", "--suspend-command", &command];
    let mut command = worker_command(&node, &logind, &scratch, Some(controller.address), &args);
    clocks.govern(&mut command);
    let worker = Proxy::from(command);
    worker.written("registered");
    until_state(&controller, "awake");
    clocks.add(2 * 3600, 2 * 3600);
    worker.written("this machine is awake");
    logind.until_held(1);
    until("its sleep is told", || told(controller.address)["power"]["gap"].as_f64().is_some_and(|gap| gap >= 7190.0));
    until_heard(controller.address, 3);
    assert_eq!(state(&controller), "awake");
    assert!(!Path::new(&proof).exists(), "two hours have passed, and nobody was idle for one");
}

#[test]
fn a_clock_on_the_wall_that_is_set_moves_no_lease_no_heartbeat_and_no_idle_time() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let (Some(logind), Some(clocks)) = (Logind::start(&scratch), Clocks::start(&scratch)) else { return };
    let mut command = controller_command(&scratch, &["--heartbeat-timeout", "20s", "--heartbeat-check-interval", "200ms"]);
    clocks.govern(&mut command);
    let (controller, proof) = (Proxy::from(command), scratch.join("proof"));
    let command = format!("touch {proof}");
    let args = ["--suspend-after", "3s", "--suspend-command", &command];
    let mut command = worker_command(&node, &logind, &scratch, Some(controller.address), &args);
    clocks.govern(&mut command);
    let worker = Proxy::from(command);
    worker.written("registered");
    until_state(&controller, "awake");
    assert_eq!(post(worker.address, "/hold", r#"{"ttl":10}"#).status, 200);
    logind.until_held(1);
    clocks.add(-DAY, 0);
    until_heard(controller.address, 1);
    clocks.add(DAY, 0);
    until_heard(controller.address, 1);
    assert_eq!((state(&controller), told(controller.address)["status"].as_str()), ("awake".to_owned(), Some("healthy")));
    logind.until_held(0);
    until("it sleeps when it was idle for so long, and no longer", || Path::new(&proof).exists());
    assert!(!worker.written_so_far().contains("this machine is awake"), "nobody slept");
}

/// Seconds that this node was asleep, and awake.
fn seconds(controller: &Proxy) -> [f64; 2] {
    let page = get(controller.address, "/metrics").body;
    ["asleep", "awake"].map(|word| {
        let start = format!("ollama_proxy_node_state_seconds_total{{node=\"pc\",state=\"{word}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{page}")).parse().unwrap()
    })
}

#[test]
fn the_sleep_of_a_worker_s_machine_is_booked_from_its_announcement_to_its_word() {
    let Some(house) = House::with(Node::start()) else { return };
    let (controller, worker, proof) = house.sleepable(&[]);
    let wished = Instant::now();
    assert_eq!(post(worker.address, "/sleep", "").status, 202);
    let announced = Instant::now();
    until_written(&proof);
    assert_eq!(state(&controller), "suspending");
    let awake = seconds(&controller)[1];
    // Longer than any pause that a busy machine makes, and shorter than the time after which silence would tell.
    while announced.elapsed() < Duration::from_secs(5) {
        pause();
    }
    let (least, told, most) = (announced.elapsed(), seconds(&controller), wished.elapsed());
    assert!(told[0] >= least.as_secs_f64() - 0.01 && told[0] <= most.as_secs_f64() + 0.01, "{told:?}: {least:?} to {most:?}");
    assert!((told[1] - awake).abs() < 0.01, "awake for {awake} s, and then for {told:?}");
    let least = announced.elapsed().as_secs_f64();
    signal(&worker, "-CONT");
    until_state(&controller, "awake");
    let (told, most) = (seconds(&controller)[0], wished.elapsed().as_secs_f64());
    assert!(told >= least - 0.01 && told <= most + 0.01, "{told}: {least} to {most}");
    pause();
    assert!((seconds(&controller)[0] - told).abs() < 0.01, "awake again, it does not sleep");
}
