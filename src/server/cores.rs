//! The threads that serve connections, each with a runtime of its own: a connection stays on the thread that it is dealt to.
//!
//! A runtime whose threads take each other's tasks wakes them for it, which costs a small request a quarter of its processor time.
//! Connections need not be balanced at every step: they are dealt out as they come, to whoever has the fewest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::telemetry;

/// More threads are not started: the work is waiting, and a Pi has other things to do.
const MOST: usize = 2;

/// A thread that does not come to its end is left behind after this.
const PARTING: Duration = Duration::from_secs(2);

/// Who serves connections. Clones share them.
#[derive(Clone)]
pub struct Cores {
    cores: Arc<[Core]>,
    /// Whether a thread has ended while it was needed.
    lost: watch::Receiver<bool>,
}

struct Core {
    runtime: Handle,
    /// Connections that it serves.
    open: AtomicUsize,
}

impl Cores {
    /// Only the runtime that this is called in.
    ///
    /// # Panics
    /// Outside of one.
    pub fn here() -> Self {
        Self::new([Handle::current()], watch::channel(false).1)
    }

    fn new(runtimes: impl IntoIterator<Item = Handle>, lost: watch::Receiver<bool>) -> Self {
        Self { cores: runtimes.into_iter().map(|runtime| Core { runtime, open: AtomicUsize::new(0) }).collect(), lost }
    }

    /// Waits until a thread has ended that should not: its connections have ended with it, and new ones would.
    pub async fn lost(mut self) {
        if self.lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Has a connection served where there are the fewest; of several there, rather on the first, which is the one that accepts.
    ///
    /// # Errors
    /// The socket could not be taken from here to there.
    pub(super) fn deal<F>(
        &self,
        stream: TcpStream,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<JoinHandle<()>>
    where
        F: Future<Output = ()> + Send,
    {
        let seat = self.seat();
        let core = seat.core();
        let way = if core.runtime.id() == Handle::current().id() { Way::Stays(stream) } else { Way::Moves(stream.into_std()?) };
        Ok(core.runtime.clone().spawn(async move {
            let _seat = seat;
            match way.arrive() {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::error!(%error, "a connection could not be handed to its thread"),
            }
        }))
    }

    fn seat(&self) -> Seat {
        let load = |at: &usize| self.cores[*at].open.load(Ordering::Relaxed);
        let at = (0..self.cores.len()).min_by_key(load).unwrap_or_default();
        self.cores[at].open.fetch_add(1, Ordering::Relaxed);
        Seat { cores: self.cores.clone(), at }
    }
}

/// A connection's place among those of its core, given back on drop.
struct Seat {
    cores: Arc<[Core]>,
    at: usize,
}

impl Seat {
    fn core(&self) -> &Core {
        &self.cores[self.at]
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.core().open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket is known to the reactor of one runtime, and leaves it to come to another.
enum Way {
    Stays(TcpStream),
    Moves(std::net::TcpStream),
}

impl Way {
    fn arrive(self) -> io::Result<TcpStream> {
        match self {
            Self::Stays(stream) => Ok(stream),
            Self::Moves(stream) => TcpStream::from_std(stream),
        }
    }
}

/// The runtimes of a program that serves: the main thread's, and those of the threads beside it, which end when this is dropped.
pub struct Threads {
    cores: Cores,
    _beside: Vec<Beside>,
    main: Runtime,
}

impl Threads {
    /// As many as there are processors, within bounds.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> io::Result<Self> {
        Self::of(thread::available_parallelism().map_or(1, usize::from).min(MOST))
    }

    /// The main thread alone.
    ///
    /// # Errors
    /// What the system says.
    pub fn alone() -> io::Result<Self> {
        Self::of(1)
    }

    fn of(number: usize) -> io::Result<Self> {
        let (main, (lose, lost)) = (runtime()?, watch::channel(false));
        let beside: Vec<Beside> = (1..number).map(|_| Beside::start(lose.clone())).collect::<io::Result<_>>()?;
        let runtimes = [main.handle().clone()].into_iter().chain(beside.iter().map(|beside| beside.runtime.clone()));
        Ok(Self { cores: Cores::new(runtimes, lost), _beside: beside, main })
    }

    /// Runs this on the main thread; it may deal connections to all.
    pub fn run<F: Future>(&self, main: impl FnOnce(Cores) -> F) -> F::Output {
        // Lazily, since what is made may look for the runtime that it is in.
        self.main.block_on(async { main(self.cores.clone()).await })
    }
}

/// A thread beside the main one.
struct Beside {
    runtime: Handle,
    /// Dropped, it asks the thread to end.
    stay: Option<oneshot::Sender<()>>,
    /// Closed when it has.
    ended: mpsc::Receiver<()>,
}

impl Beside {
    fn start(lose: watch::Sender<bool>) -> io::Result<Self> {
        let own = runtime()?;
        let (runtime, lose) = (own.handle().clone(), Lose(lose));
        let ((stay, leave), (end, ended)) = (oneshot::channel(), mpsc::channel());
        thread::Builder::new().name("serve".to_owned()).spawn(move || {
            let _in_this_order = (lose, end);
            let _ = own.block_on(leave);
            // What still runs is dropped here, with its guards; the name server is not waited for.
            own.shutdown_background();
        })?;
        Ok(Self { runtime, stay: Some(stay), ended })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.stay.take();
        let _ = self.ended.recv_timeout(PARTING);
    }
}

/// Tells, however the thread ends.
struct Lose(watch::Sender<bool>);

impl Drop for Lose {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().on_thread_park(telemetry::rest).enable_all().build()
}

#[cfg(test)]
mod tests;
