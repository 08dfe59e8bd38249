//! Programs of the laboratory: where they are built, and one running in a namespace with its log.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[path = "../shared/example.rs"]
mod built;

/// How long a program may take to answer a line, and to start: Python reads a thousand files for that.
const REPLY: Duration = Duration::from_secs(60);

/// Longer than anything takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The path of a program of the laboratory.
pub fn example(name: &str) -> PathBuf {
    built::example(name, &["--examples"])
}

/// A file in a test's directory of logs, opened for appending, so that a restarted program continues it.
pub fn log_file(dir: &Path, name: &str) -> File {
    fs::create_dir_all(dir).unwrap();
    File::options().create(true).append(true).open(dir.join(name).with_extension("log")).unwrap()
}

/// A command that runs in a network namespace; without a name in our own.
pub fn in_namespace(namespace: &str, program: &Path) -> Command {
    if namespace.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).arg(program);
    command
}

/// A running program that is spoken to line by line. Dropped, it is ended.
pub struct Program {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
}

impl Program {
    /// Starts it and waits for its line `ready`; further lines of its output come from the receiver.
    pub fn start(namespace: &str, logs: &Path, name: &str, command: &[String]) -> (Self, Receiver<String>) {
        let (program, arguments) = command.split_first().unwrap();
        let mut child = in_namespace(namespace, Path::new(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(logs, name))
            .spawn()
            .unwrap();
        let stdin = Mutex::new(child.stdin.take());
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        let first = lines.recv_timeout(REPLY);
        assert_eq!(first.as_deref(), Ok("ready"), "{name} did not start; see {}", logs.display());
        (Self { child, stdin }, lines)
    }

    /// Writes one line to it.
    pub fn say(&self, line: &str) {
        let mut stdin = self.stdin.lock().unwrap();
        writeln!(stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Program {
    /// It ends by itself when its input closes, and takes its own children with it; one that hangs is killed.
    fn drop(&mut self) {
        drop(self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that answers each line with one line.
pub struct Dialogue {
    program: Program,
    lines: Mutex<Receiver<String>>,
}

impl Dialogue {
    /// Starts it and waits until it is ready.
    pub fn start(namespace: &str, logs: &Path, name: &str, command: &[String]) -> Self {
        let (program, lines) = Program::start(namespace, logs, name, command);
        Self { program, lines: Mutex::new(lines) }
    }

    /// Says `line` and returns the answer; fails the test when the answer begins with `failed`.
    pub fn ask(&self, line: &str) -> String {
        let lines = self.lines.lock().unwrap();
        self.program.say(line);
        match lines.recv_timeout(REPLY) {
            Ok(answer) if answer.starts_with("failed") => panic!("'{line}': {answer}"),
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => panic!("'{line}': no answer within {REPLY:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("'{line}': the program has ended"),
        }
    }
}

/// Lets time pass. Only for waiting until something holds, and where quiet time is itself the subject.
#[allow(clippy::disallowed_methods, reason = "these tests have no runtime whose worker could be blocked")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until `holds`, looking 50 times a second; fails the test with `what` after `limit`.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + limit;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "within {limit:?} it never came true that {what}");
        pause(Duration::from_millis(20));
    }
}
