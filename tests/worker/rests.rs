//! Sleep when idle and by a person's wish, with a command in the place of `systemctl suspend` that stops the worker's process:
//! to everybody else that is a machine that went silent.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::house::{self, CHAT, House, controller, signal, slow, state, stream, until_state, until_written, worker};
use crate::logind::Logind;
use crate::rig::{Node, Scratch, connect, pause, post};

#[test]
fn an_idle_machine_unloads_says_so_sleeps_and_says_when_it_is_awake() {
    let Some(house) = House::with(Node::start()) else { return };
    let (controller, worker, proof) = house.sleepable(&["--suspend-after", "2s"]);
    assert_eq!(post(controller.address, "/api/chat", CHAT).status, 200);
    assert_eq!(until_written(&proof), r#"{"models":[]}"#, "models are unloaded before it sleeps");
    assert_ne!(state(&controller), "awake", "it said so before");
    assert_eq!(house.logind.held().len(), 0);
    // Longer than any pause that a busy machine makes.
    for _ in 0..200 {
        pause();
    }
    signal(&worker, "-CONT");
    worker.written("this machine is awake");
    until_state(&controller, "awake");
    // What woke it wants something of it: it is held from the resume on.
    house.logind.until_held(1);
    assert_eq!(post(controller.address, "/api/chat", CHAT).status, 200);
}

#[test]
fn work_people_inhibitors_and_other_programs_keep_it_awake() {
    std::thread::scope(|all| {
        for hindrance in ["request", "person", "inhibitor", "program"] {
            all.spawn(move || stays_awake(hindrance));
        }
    });
}

fn stays_awake(hindrance: &str) {
    let (node, scratch) = (slow(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let proof = scratch.join("proof");
    let command = format!("touch {proof}");
    let mut open = None;
    match hindrance {
        "person" => logind.somebody_comes(),
        "inhibitor" => {
            logind.inhibit("sleep", "NetworkManager", "delay");
            logind.inhibit("idle", "film", "block");
        }
        "program" => open = Some(connect(node.address)),
        _ => {}
    }
    let worker = worker(&node, &logind, &scratch, None, &["--suspend-after", "1s", "--suspend-command", &command]);
    if hindrance == "request" {
        open = Some(stream(worker.address));
        logind.until_held(1);
        for _ in 0..100 {
            pause();
        }
        assert!(!Path::new(&proof).exists(), "{hindrance}");
        drop(open);
        until_exists(&proof);
        return;
    }
    let line = worker.written("stays awake");
    let why = match hindrance {
        "person" => "somebody uses the machine",
        "inhibitor" => "sleep is inhibited: film",
        _ => "another program is connected",
    };
    assert!(line.contains(why), "{line}");
    assert!(!Path::new(&proof).exists(), "{hindrance}");
    drop(open);
}

fn until_exists(path: &str) {
    for _ in 0..house::LOOKS {
        if Path::new(path).exists() {
            return;
        }
        pause();
    }
    panic!("{path} never came");
}

#[test]
fn a_person_s_sleep_goes_through_the_controller_to_the_worker() {
    let Some(house) = House::with(Node::start()) else { return };
    let (controller, worker, proof) = house.sleepable(&[]);
    let answer = post(controller.address, "/nodes/pc/sleep", "");
    assert_eq!(answer.status, 202, "{}", answer.body);
    assert!(answer.body.contains("suspending"), "{}", answer.body);
    until_written(&proof);
    for _ in 0..200 {
        pause();
    }
    signal(&worker, "-CONT");
    until_state(&controller, "awake");
}

#[test]
fn a_machine_sleeps_in_the_middle_of_its_announcement_when_one_controller_is_stuck() {
    let (Some(house), stuck) = (House::with(Node::start()), Stuck::start()) else { return };
    let also = format!("http://{}", stuck.address);
    let (controller, worker, proof) = house.sleepable(&["--controller-url", &also]);
    stuck.until_asked(2);
    stuck.fall_silent();
    assert_eq!(post(worker.address, "/sleep", "").status, 202);
    until_written(&proof);
    assert_ne!(state(&controller), "awake", "whoever listens knows");
    for _ in 0..200 {
        pause();
    }
    signal(&worker, "-CONT");
    until_state(&controller, "awake");
    worker.written("not every controller heard");
}

#[test]
fn whoever_has_said_that_it_sleeps_says_nothing_more_and_asks_its_ollama_nothing() {
    let (node, scratch, controller) = (Node::start(), Scratch::new(), Stuck::start());
    let Some(logind) = Logind::start(&scratch) else { return };
    let worker =
        worker(&node, &logind, &scratch, Some(controller.address), &["--suspend-command", "true", "--health-interval", "1"]);
    worker.written("registered");
    controller.until_asked(2);
    assert_eq!(post(worker.address, "/sleep", "").status, 202);
    let all = || (controller.asked.load(Ordering::SeqCst), node.counters().requests);
    // What was on its way to Ollama may still arrive. Then the system does not sleep for a minute, and heartbeats are due.
    for _ in 0..40 {
        let before = all();
        for _ in 0..125 {
            pause();
        }
        if all() == before {
            return;
        }
    }
    panic!("it goes on: {:?}", all());
}

/// A controller that takes a worker in, hears it some times, and then answers nothing more.
struct Stuck {
    address: std::net::SocketAddr,
    asked: Arc<AtomicU32>,
    silent: Arc<AtomicBool>,
}

impl Stuck {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stuck = Self { address: listener.local_addr().unwrap(), asked: Arc::default(), silent: Arc::default() };
        let (asked, silent) = (stuck.asked.clone(), stuck.silent.clone());
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if silent.load(Ordering::SeqCst) {
                    // Open, so that whoever asks waits.
                    kept.push(stream);
                    continue;
                }
                let _ = stream.read(&mut [0; 8192]);
                asked.fetch_add(1, Ordering::SeqCst);
                let body = r#"{"worker_id":"pc","status":"ok"}"#;
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        stuck
    }

    /// Until it has answered so often: registered, and told once more.
    fn until_asked(&self, count: u32) {
        for _ in 0..house::LOOKS {
            if self.asked.load(Ordering::SeqCst) >= count {
                return;
            }
            pause();
        }
        panic!("asked {} times", self.asked.load(Ordering::SeqCst));
    }

    fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_system_that_does_not_sleep_is_told_and_the_worker_goes_on() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let Some(logind) = Logind::start(&scratch) else { return };
    let controller = controller(&scratch, &[]);
    let args = ["--suspend-after", "1s", "--suspend-command", "echo Sleep verb not supported >&2; exit 1"];
    let worker = worker(&node, &logind, &scratch, Some(controller.address), &args);
    let line = worker.written("does not");
    assert!(line.contains("Sleep verb not supported"), "{line}");
    until_state(&controller, "awake");
    assert_eq!(post(controller.address, "/api/chat", CHAT).status, 200);
}
