//! Awake while working: the system is held awake exactly as long as a request runs here or a lease lives, and not a moment
//! longer. While nothing is held, nothing runs: no timer, no child.

mod means;

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub use means::{Hold, Means};

/// The longest lease. Whoever needs more renews it.
pub const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Requests in a row are one hold: taking one starts a child process.
const LINGER: Duration = Duration::from_secs(1);

/// After a hold that failed or was lost it is tried again no sooner than this.
const AGAIN: Duration = Duration::from_secs(30);

/// Who needs the machine awake: requests by their guards, everybody else by one lease that ends with the last of them. Bounded
/// by that. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Holds(watch::Sender<Book>);

/// What is in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    /// Requests that run now.
    pub working: usize,
    /// The end of the lease that lasts longest.
    pub leased_until: Option<Instant>,
    /// When the last request ended; at first, when the book was opened.
    pub last_work: Instant,
    /// The system is held awake by us.
    pub held: bool,
}

impl Book {
    /// Whether the machine has to stay awake, and until when that holds if nothing else happens.
    fn wants(&self, now: Instant) -> Want {
        // Nobody lingers who was not held.
        let linger = self.held.then(|| self.last_work + LINGER);
        match [self.leased_until, linger].into_iter().flatten().max() {
            _ if self.working > 0 => Want::Working,
            Some(until) if until > now => Want::Until(until),
            _ => Want::Nothing,
        }
    }

    /// Whether a request runs or a lease lives.
    pub fn is_busy(&self, now: Instant) -> bool {
        self.working > 0 || self.leased_until.is_some_and(|until| until > now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Working,
    Until(Instant),
    Nothing,
}

impl Default for Holds {
    fn default() -> Self {
        let book = Book { working: 0, leased_until: None, last_work: Instant::now(), held: false };
        Self(watch::channel(book).0)
    }
}

impl Holds {
    /// A request runs until the guard is dropped.
    pub fn work(&self) -> Work {
        self.0.send_modify(|book| book.working += 1);
        Work(self.clone())
    }

    /// Somebody needs the machine for so long, at most [`LONGEST`]; returns for how long it is held.
    pub fn lease(&self, ttl: Duration) -> Duration {
        let now = Instant::now();
        self.0.send_modify(|book| book.leased_until = book.leased_until.max(Some(now + ttl.min(LONGEST))));
        self.book().leased_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// The leases end: the machine is about to sleep by a person's wish, or has just slept.
    pub fn end_leases(&self) {
        self.0.send_modify(|book| book.leased_until = None);
    }

    /// What is in the book now.
    pub fn book(&self) -> Book {
        *self.0.borrow()
    }

    /// Follows what is in the book.
    pub fn watch(&self) -> watch::Receiver<Book> {
        self.0.subscribe()
    }

    fn held(&self, held: bool) {
        self.0.send_if_modified(|book| std::mem::replace(&mut book.held, held) != held);
    }

    /// Holds the system awake whenever the book says so; never ends. When it is dropped, or this process dies in any way, the
    /// hold is gone, too.
    pub async fn keep(self, means: Means) -> anyhow::Result<()> {
        let mut book = self.watch();
        let mut told = false;
        loop {
            let wanted = |book: &Book| book.is_busy(Instant::now());
            if book.wait_for(wanted).await.is_err() {
                anyhow::bail!("the book of holds is gone");
            }
            match means.take().await {
                Ok(hold) => {
                    told = false;
                    self.held(true);
                    tracing::debug!(means = means.word(), "the system is held awake");
                    let lost = until_unwanted(&mut book, hold).await;
                    self.held(false);
                    tracing::debug!("the system may sleep");
                    if let Some(why) = lost {
                        tracing::warn!(
                            means = means.word(),
                            why,
                            "the hold was lost while there was work; the system may fall asleep"
                        );
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                Err(why) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            means = means.word(),
                            why,
                            "the system cannot be held awake; it may fall asleep during work"
                        );
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Keeps the hold until nobody wants it; `Some`: it was lost before, and why.
async fn until_unwanted(book: &mut watch::Receiver<Book>, mut hold: Hold) -> Option<String> {
    loop {
        let wants = book.borrow_and_update().wants(Instant::now());
        let changed = async {
            match wants {
                Want::Working => drop(book.changed().await),
                Want::Until(until) => tokio::select! {
                    _ = book.changed() => {}
                    () = sleep_until(until) => {}
                },
                Want::Nothing => {}
            }
        };
        if wants == Want::Nothing {
            hold.release().await;
            return None;
        }
        tokio::select! {
            () = changed => {}
            why = hold.lost() => return Some(why),
        }
    }
}

/// One request that runs here.
pub struct Work(Holds);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.send_modify(|book| {
            book.working -= 1;
            book.last_work = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_bounded_never_shortened_and_ends_by_itself() {
        let holds = Holds::default();
        assert_eq!(holds.lease(Duration::from_secs(1_000_000)), LONGEST);
        assert_eq!(holds.lease(Duration::from_secs(5)), LONGEST);
        tokio::time::advance(LONGEST).await;
        assert!(!holds.book().is_busy(Instant::now()));
        assert_eq!(holds.lease(Duration::from_secs(5)), Duration::from_secs(5));
        assert!(holds.book().is_busy(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn work_counts_until_the_last_guard_has_gone() {
        let holds = Holds::default();
        let (first, second) = (holds.work(), holds.work());
        assert_eq!(holds.book().wants(Instant::now()), Want::Working);
        drop(first);
        assert!(holds.book().is_busy(Instant::now()));
        tokio::time::advance(Duration::from_secs(9)).await;
        drop(second);
        let book = holds.book();
        assert!(!book.is_busy(Instant::now()) && book.last_work == Instant::now());
        assert_eq!(Book { held: true, ..book }.wants(Instant::now()), Want::Until(Instant::now() + LINGER));
        assert_eq!(book.wants(Instant::now()), Want::Nothing);
    }
}
