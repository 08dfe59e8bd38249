//! Looks every two seconds whether a file has changed.
//!
//! On a thread of its own, since a look at a network disk may hang, and since a sleeping thread costs half a wake-up per
//! second and nothing else. No file, no thread.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::Stamp;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// A file that was changed has to stay the same for so long before it is read: its writer may be at it still.
const SETTLE: Duration = Duration::from_millis(200);

/// After so many looks it is read all the same.
const PATIENCE: usize = 25;

/// Watches one file until it is dropped.
pub(super) struct FileWatch {
    changed: mpsc::Receiver<()>,
    /// Ends the thread when it is dropped.
    _stop: Sender<()>,
}

impl FileWatch {
    /// `known` is how the file stood when it was last read.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn over(path: PathBuf, known: Stamp) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let (tell, changed) = mpsc::channel(1);
        thread::Builder::new().name("file-watch".to_owned()).spawn(move || watch(&path, known, &stopped, &tell))?;
        Ok(Self { changed, _stop: stop })
    }

    /// Resolves when the file has changed, or has gone or come.
    pub(super) async fn changed(&mut self) {
        if self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// As [`FileWatch::changed`]; nothing is seen where nothing is watched.
pub(super) async fn changed(watched: &mut Option<FileWatch>) {
    match watched {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

fn watch(path: &std::path::Path, mut known: Stamp, stopped: &Receiver<()>, tell: &mpsc::Sender<()>) {
    while pause(stopped, EVERY) {
        let mut now = Stamp::of(path);
        if now == known {
            continue;
        }
        for _ in 0..PATIENCE {
            let before = now;
            if !pause(stopped, SETTLE) {
                return;
            }
            now = Stamp::of(path);
            if now == before {
                break;
            }
        }
        known = now;
        if tell.blocking_send(()).is_err() {
            return;
        }
    }
}

/// `false`: nobody listens any more.
fn pause(stopped: &Receiver<()>, time: Duration) -> bool {
    stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
}
