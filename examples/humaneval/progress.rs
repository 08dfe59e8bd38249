//! How far the run is: a bar on a terminal, a line per sample elsewhere. On standard error, so that output stays clean.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use tokio::time::Instant;

const WIDTH: usize = 24;

pub struct Progress {
    all: usize,
    done: usize,
    /// Those that were there before this run count for the bar, not for the pace.
    asked: u32,
    began: Instant,
    live: bool,
}

impl Progress {
    pub fn new(all: usize) -> Self {
        Self { all, done: 0, asked: 0, began: Instant::now(), live: stderr().is_terminal() }
    }

    /// A sample that an earlier run has brought.
    pub fn skip(&mut self) {
        self.done += 1;
    }

    /// One more sample, of `what`.
    pub fn step(&mut self, what: &str) {
        self.done += 1;
        self.asked += 1;
        let rest = u32::try_from(self.all - self.done).unwrap_or(u32::MAX);
        let left = (self.began.elapsed() / self.asked).saturating_mul(rest);
        let bar = bar(self.done, self.all);
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        let line = format!("[{bar}] {}/{} {what}, {left} left", self.done, self.all);
        let (before, after) = if self.live { ("\r", "\x1b[K") } else { ("", "\n") };
        drop(write!(stderr(), "{before}{line}{after}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.live && self.asked > 0 {
            eprintln!();
        }
    }
}

fn bar(done: usize, all: usize) -> String {
    let full = done * WIDTH / all.max(1);
    format!("{}{}", "#".repeat(full), "-".repeat(WIDTH - full.min(WIDTH)))
}
