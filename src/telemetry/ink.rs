//! How lines of the log reach the standard error.
//!
//! A worker writes a line for each request, and a write costs a twentieth of the request. So its lines wait until it rests: then
//! they are written together, and the client has its answer before them. Warnings, and lines of other threads, do not wait.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// A worker that never rests writes whenever so much waits.
const MOST: usize = 16 * 1024;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// Whether there are any; workers rest often.
static WAITING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread says when it rests.
    static RESTS: Cell<bool> = const { Cell::new(false) };
}

/// Writes what waits. To be called by each worker before it rests, and at the end of the process.
pub fn flush() {
    if WAITING.load(Ordering::Acquire) {
        // Nobody is left to be told of a log that takes no lines.
        let _ = write_behind(&[]);
    }
}

/// As [`flush`], on a thread that promises to come again whenever it is about to rest.
pub fn rest() {
    RESTS.set(true);
    flush();
}

fn write_behind(line: &[u8]) -> io::Result<()> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    WAITING.store(false, Ordering::Release);
    lines.extend_from_slice(line);
    let done = io::stderr().write_all(&lines);
    lines.clear();
    done
}

fn put_by(line: &[u8]) -> io::Result<()> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() + line.len() > MOST {
        drop(lines);
        return write_behind(line);
    }
    lines.extend_from_slice(line);
    WAITING.store(true, Ordering::Release);
    Ok(())
}

/// Makes pens.
pub(super) struct Ink;

/// Writes one line.
pub(super) struct Pen {
    waits: bool,
}

impl<'a> MakeWriter<'a> for Ink {
    type Writer = Pen;

    fn make_writer(&'a self) -> Pen {
        Pen { waits: false }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Pen {
        Pen { waits: *line.level() >= Level::INFO && RESTS.get() }
    }
}

impl Write for Pen {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let done = if self.waits { put_by(line) } else { write_behind(line) };
        done.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
