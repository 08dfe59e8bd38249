//! Who is connected, and who of them asks for nothing: when every place is taken, whoever has been quiet longest makes room.
//!
//! Without this a handful of clients that connect and say nothing, or one byte a second, would keep all others out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::http::{Body, guarded};

/// Whoever has just come, or was just answered, is given this time to ask.
const COURTESY: Duration = Duration::from_secs(1);

/// Nobody is ended later than this after his time, in milliseconds: each look wakes the processor.
const SLACK: u64 = 5000;

/// All open connections.
#[derive(Clone)]
pub(super) struct Guests(Arc<House>);

struct House {
    opened: Instant,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    last: u64,
    /// How many have made room.
    ended: u64,
    guests: HashMap<u64, Arc<Presence>>,
}

/// What is known of one connection.
struct Presence {
    /// Milliseconds since the house opened, plus one, when it fell quiet; 0 while a request is answered.
    quiet_since: AtomicU64,
    /// Requests that are answered: the next may have begun before the last one is quite gone.
    asking: AtomicU64,
    task: OnceLock<AbortHandle>,
}

impl Default for Guests {
    fn default() -> Self {
        Self(Arc::new(House { opened: Instant::now(), inside: Mutex::default() }))
    }
}

impl Guests {
    /// A new connection, quiet so far.
    pub(super) fn welcome(&self) -> Guest {
        let (quiet_since, asking) = (AtomicU64::new(self.0.now()), AtomicU64::new(0));
        let presence = Arc::new(Presence { quiet_since, asking, task: OnceLock::new() });
        let mut inside = self.0.lock();
        inside.last += 1;
        let number = inside.last;
        inside.guests.insert(number, presence.clone());
        Guest { house: self.0.clone(), presence, number }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().guests.len()
    }

    /// How many have been ended to make room.
    pub(super) fn ended(&self) -> u64 {
        self.0.lock().ended
    }

    /// Ends the connection that has been quiet longest; `false` when none has been for long enough.
    pub(super) fn make_room(&self) -> bool {
        let latest = self.0.now().saturating_sub(u64::try_from(COURTESY.as_millis()).unwrap_or(u64::MAX));
        let mut inside = self.0.lock();
        let since = |presence: &Presence| presence.quiet_since.load(Ordering::Relaxed);
        let quiet = inside.guests.iter().filter(|(_, presence)| (1..=latest).contains(&since(presence)));
        let Some(number) = quiet.min_by_key(|(_, presence)| since(presence)).map(|(number, _)| *number) else { return false };
        // Gone from the list at once: its task ends only later, and nobody shall choose it again.
        let task = inside.guests.remove(&number).and_then(|presence| presence.task.get().cloned());
        inside.ended += 1;
        drop(inside);
        task.map(|task| task.abort()).is_some()
    }
}

impl Guests {
    /// Ends the connections that have been quiet for `limit`, half a head or none: one look for all of them costs less than a
    /// clock for each request. Returns when the next could be due.
    pub(super) fn end_overdue(&self, limit: Duration) -> Duration {
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let now = self.0.now();
        let (mut overdue, mut next) = (Vec::new(), limit);
        for presence in self.0.lock().guests.values() {
            match presence.quiet_since.load(Ordering::Relaxed) {
                0 => {}
                since if now.saturating_sub(since) >= limit => overdue.extend(presence.task.get().cloned()),
                since => next = next.min((since + limit).saturating_sub(now)),
            }
        }
        // Not under the lock: whoever ends takes it.
        overdue.iter().for_each(AbortHandle::abort);
        // Thousands that are due one after the other are not looked at one by one.
        Duration::from_millis(next.max(SLACK.min(limit / 8)).max(1))
    }
}

impl House {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// One connection; dropped, it has left.
pub(super) struct Guest {
    house: Arc<House>,
    presence: Arc<Presence>,
    number: u64,
}

impl Guest {
    /// Marks it as asking until the mark is dropped.
    pub(super) fn asks(&self) -> Asking {
        self.presence.asking.fetch_add(1, Ordering::Relaxed);
        self.presence.quiet_since.store(0, Ordering::Relaxed);
        Asking { house: self.house.clone(), presence: self.presence.clone() }
    }

    /// Tells how to end the task that serves it.
    pub(super) fn served_by(&self) -> impl FnOnce(AbortHandle) + use<> {
        let presence = self.presence.clone();
        move |task| drop(presence.task.set(task))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.house.lock().guests.remove(&self.number);
    }
}

/// A request under way, from its head to the last byte of its answer.
pub(super) struct Asking {
    house: Arc<House>,
    presence: Arc<Presence>,
}

impl Asking {
    /// The mark stays until the body is gone.
    pub(super) fn until_sent(self, body: Body) -> Body {
        guarded(body, self)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.presence.asking.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.presence.quiet_since.store(self.house.now(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose task does nothing; whether it is ended.
    fn connect(guests: &Guests) -> (Guest, tokio::task::JoinHandle<()>) {
        let (guest, task) = (guests.welcome(), tokio::spawn(std::future::pending()));
        guest.served_by()(task.abort_handle());
        (guest, task)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_quiet_for_too_long_is_ended_and_nobody_else() {
        const LIMIT: Duration = Duration::from_secs(120);
        let guests = Guests::default();
        let (first, first_task) = connect(&guests);
        let (asks, asking_task) = connect(&guests);
        let (before, asking) = (asks.asks(), asks.asks());
        drop(before);
        assert_eq!(guests.end_overdue(LIMIT), LIMIT);
        tokio::time::advance(LIMIT / 2).await;
        let (_later, later_task) = connect(&guests);
        assert_eq!(guests.end_overdue(LIMIT), LIMIT / 2);
        tokio::time::advance(LIMIT / 2).await;
        assert_eq!(guests.end_overdue(LIMIT), LIMIT / 2);
        assert!(first_task.await.is_err_and(|error| error.is_cancelled()));
        assert!(!asking_task.is_finished() && !later_task.is_finished());
        drop((first, asking));
        tokio::time::advance(LIMIT / 2).await;
        guests.end_overdue(LIMIT);
        assert!(later_task.await.is_err_and(|error| error.is_cancelled()));
        assert!(!asking_task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_that_are_due_one_after_the_other_are_not_looked_at_one_by_one() {
        let guests = Guests::default();
        let (_guest, _task) = connect(&guests);
        tokio::time::advance(Duration::from_millis(119_990)).await;
        assert_eq!(guests.end_overdue(Duration::from_secs(120)), Duration::from_millis(SLACK));
    }
}
