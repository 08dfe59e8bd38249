//! Runs a command line of README.md: the program itself on a free port of loopback, or `curl` against it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::rig::{self, Scratch};

/// A command line taken apart as a shell does: variables in front, then words; single quotes keep words together.
pub struct Line {
    variables: Vec<(String, String)>,
    words: Vec<String>,
}

impl Line {
    pub fn new(line: &str) -> Self {
        let mut words = vec![String::new()];
        for (index, part) in line.split('\'').enumerate() {
            for (at, piece) in part.split(' ').enumerate() {
                // Every second part is quoted, and blanks in it are part of the word.
                match (index % 2 == 1, at) {
                    (_, 0) => words.last_mut().unwrap().push_str(piece),
                    (true, _) => words.last_mut().unwrap().extend([" ", piece]),
                    (false, _) => words.push(piece.to_owned()),
                }
            }
        }
        words.retain(|word| !word.is_empty());
        let plain = words.iter().position(|word| !is_assignment(word)).unwrap_or(words.len());
        let rest = words.split_off(plain);
        let variables = words.iter().filter_map(|word| word.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        Self { variables, words: rest }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// The line as it can be run here: the program just built, a free port, `node` as the PC, and loopback instead of the
/// addresses of somebody's home.
pub fn command(line: &str, node: &str, scratch: &Scratch) -> Command {
    let line = line
        .replace("cargo run --release --", "target/release/ollama-proxy")
        .replace("--port 11434", "--port 0")
        .replace("http://192.168.1.20:11434", node)
        .replace("192.168.1.", "127.0.0.");
    let Line { variables, words } = Line::new(&line);
    let (program, arguments) = words.split_first().unwrap();
    assert_eq!(program, "target/release/ollama-proxy");
    let mut command = bare(scratch);
    command.args(arguments).envs(variables);
    command
}

/// The program with nothing of this machine's settings, on a free port of loopback.
pub fn bare(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    rig::bare(&mut command, scratch);
    command.env("HOST", "127.0.0.1").env("PORT", "0").env("DATA_DIR", scratch.path().join("data"));
    command
}

/// Runs a command that ends by itself.
pub fn output(mut command: Command) -> Output {
    command.output().unwrap()
}

/// What a program has written, with a bell for those who wait for more.
type Told = Arc<(Mutex<String>, Condvar)>;

/// The running program; killed when dropped.
pub struct Running {
    child: Child,
    told: Told,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let told = Told::default();
        let pipes = [Box::new(child.stderr.take().unwrap()) as Box<dyn Read + Send>, Box::new(child.stdout.take().unwrap())];
        for pipe in pipes {
            let told = told.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    told.0.lock().unwrap().push_str(&(line + "\n"));
                    told.1.notify_all();
                }
            });
        }
        Self { child, told }
    }

    /// Everything so far.
    pub fn told(&self) -> String {
        self.told.0.lock().unwrap().clone()
    }

    /// Waits for a line that holds `part`; panics when none comes within `patience`.
    pub fn tells(&self, part: &str, patience: Duration) -> String {
        let find = |text: &str| text.lines().find(|line| line.contains(part)).map(str::to_owned);
        let (text, bell) = &*self.told;
        let text = bell.wait_timeout_while(text.lock().unwrap(), patience, |text| find(text).is_none()).unwrap().0;
        find(&text).unwrap_or_else(|| panic!("no {part:?} in:\n{text}"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let line = self.tells("listening on", rig::PATIENCE);
        line.split("http://").nth(1).and_then(|rest| rest.split(',').next()?.trim().parse().ok()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a `curl` line got.
pub struct Got {
    pub status: u16,
    pub body: String,
    pub took: Duration,
}

/// Runs a `curl` line, whose `localhost:11434` is `address`: with the real one where there is one, else by hand.
pub fn curl(line: &str, address: SocketAddr) -> Got {
    let Line { words, .. } = Line::new(&line.replace("localhost:11434", &address.to_string()));
    assert_eq!(words[0], "curl", "{line}");
    let began = Instant::now();
    let real = Command::new("curl").args(["-sS", "-i", "--noproxy", "*", "--max-time", "60"]).args(&words[1..]).output();
    let (status, body) = match real {
        Ok(output) => {
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
        }
        Err(_) => by_hand(&words),
    };
    Got { status, body, took: began.elapsed() }
}

fn by_hand(words: &[String]) -> (u16, String) {
    let behind = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].as_str());
    let data = behind("-d");
    let method = behind("-X").unwrap_or(if data.is_some() { "POST" } else { "GET" });
    let url = words.iter().find_map(|word| word.strip_prefix("http://")).unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let address = host.replace("localhost", "127.0.0.1").parse().unwrap();
    let reply = rig::ask(address, method, &format!("/{path}"), data.unwrap_or_default());
    (reply.status, reply.body)
}
