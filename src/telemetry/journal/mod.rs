//! The journal: what happened to the machines and for whom, and what runs now. Bounded in memory and on the disk.
//!
//! Keepers and requests write, pages and notifications read. Writing is one short lock and wakes nobody unless somebody
//! follows. What is kept over a restart is JSON lines (`kept`); who reads and writes the file is not this room's matter.

mod entry;
mod kept;
mod live;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use live::Live;

use crate::values::sort_by_key;

pub use entry::{
    Cause, Entry, Event, MODEL, Refused, Request, Sleep, Start, Turn, Unused, Wake, Word, clipped, rounded, seconds, unix,
};
pub use kept::LARGEST;
pub use live::{Running, Ticket};

/// Entries about power that are remembered: two weeks of a machine that comes and goes every ten minutes.
const POWER: usize = 4000;

/// Requests that are remembered.
const REQUESTS: usize = 200;

/// Running requests that are shown; more are counted, and nobody reads so long a list.
const SHOWN: usize = 256;

/// The journal. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pages: Mutex<Pages>,
    /// The number of changes so far.
    revision: watch::Sender<u64>,
    /// Beats with everything that a page could show.
    pulse: watch::Sender<u64>,
    live: Live,
}

/// What is remembered.
#[derive(Debug, Default)]
struct Pages {
    last: u64,
    revision: u64,
    power: VecDeque<Arc<Entry>>,
    requests: VecDeque<Arc<Entry>>,
    today: Today,
    calendar: Calendar,
    /// When the file that we began with was written.
    kept_until: Option<f64>,
}

/// What the present day has brought, by the local time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// The date; empty before the first entry.
    pub(super) date: String,
    /// Requests that wanted more than a list.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Wakes that succeeded.
    pub wakes: u64,
}

impl Default for Journal {
    fn default() -> Self {
        Self::of(Pages::default())
    }
}

impl Journal {
    fn of(pages: Pages) -> Self {
        let pulse = watch::Sender::new(0);
        let revision = watch::Sender::new(pages.revision);
        Self(Arc::new(Shared { pages: Mutex::new(pages), revision, live: Live::new(pulse.clone()), pulse }))
    }

    /// Writes down what happens now; returns its number.
    pub fn note(&self, node: Option<&str>, event: Event) -> u64 {
        let at = unix(SystemTime::now());
        let seq = self.change(|pages| {
            pages.today.count(&event, pages.calendar.date(at));
            pages.last += 1;
            let entry = Entry { seq: pages.last, at, node: node.map(str::to_owned), event, revision: pages.revision };
            pages.keep(Arc::new(entry));
            pages.last
        });
        beat(&self.0.pulse);
        seq
    }

    /// Adds to an entry what became known later. One that is forgotten already stays so.
    pub fn amend(&self, seq: u64, change: impl FnOnce(&mut Event)) {
        self.change(|pages| {
            let revision = pages.revision;
            if let Some(entry) = pages.power.iter_mut().rev().find(|entry| entry.seq == seq) {
                let entry = Arc::make_mut(entry);
                change(&mut entry.event);
                entry.revision = revision;
            }
        });
        beat(&self.0.pulse);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pages) -> T) -> T {
        let mut pages = self.pages();
        pages.revision += 1;
        let done = change(&mut pages);
        let revision = pages.revision;
        drop(pages);
        self.0.revision.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
        done
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries with a greater number than `seq`, oldest first.
    pub fn since(&self, seq: u64) -> Vec<Arc<Entry>> {
        let pages = self.pages();
        let mut entries: Vec<_> = pages.all().filter(|entry| entry.seq > seq).cloned().collect();
        drop(pages);
        sort_by_key(&mut entries, |entry| entry.seq);
        entries
    }

    /// Entries that were written or amended after this revision, oldest change first, with the present revision.
    pub fn changes(&self, revision: u64) -> (Vec<Arc<Entry>>, u64) {
        let pages = self.pages();
        let mut entries: Vec<_> = pages.all().filter(|entry| entry.revision > revision).cloned().collect();
        let now = pages.revision;
        drop(pages);
        sort_by_key(&mut entries, |entry| entry.revision);
        (entries, now)
    }

    /// Entries about power, of this node or of the whole house, oldest first.
    pub fn power_of(&self, node: &str) -> Vec<Arc<Entry>> {
        let concerns = |entry: &&Arc<Entry>| entry.node.as_deref().is_none_or(|name| name == node);
        self.pages().power.iter().filter(concerns).cloned().collect()
    }

    /// The last wake that ended.
    pub fn last_wake(&self) -> Option<Arc<Entry>> {
        self.pages().power.iter().rev().find(|entry| matches!(entry.event, Event::Wake(_))).cloned()
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.pages().last
    }

    /// What the present day has brought.
    pub fn today(&self) -> Today {
        let known = self.pages().today.clone();
        if known.date == today() { known } else { Today::default() }
    }

    /// When the program was last known to run before this start.
    pub fn kept_until(&self) -> Option<f64> {
        self.pages().kept_until
    }

    /// Follows the number of changes.
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.0.revision.subscribe()
    }

    /// Something that a page shows has changed: entries, running requests, or what the caller knows.
    pub fn stir(&self) {
        self.0.pulse.send_modify(|beat| *beat += 1);
    }

    /// Follows everything that a page could show.
    pub fn pulse(&self) -> watch::Receiver<u64> {
        self.0.pulse.subscribe()
    }

    /// A request begins; its ticket is its place among those that run.
    pub fn enter(&self, request: Running) -> Ticket {
        self.0.live.enter(request)
    }

    /// The requests that run or are held now, the oldest first, at most 256.
    pub fn running(&self) -> Vec<Running> {
        self.0.live.all(SHOWN)
    }
}

impl Pages {
    fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.power.iter().chain(&self.requests)
    }

    fn keep(&mut self, entry: Arc<Entry>) {
        let (shelf, most) = if entry.event.is_request() { (&mut self.requests, REQUESTS) } else { (&mut self.power, POWER) };
        while shelf.len() >= most {
            shelf.pop_front();
        }
        shelf.push_back(entry);
    }
}

impl Today {
    fn count(&mut self, event: &Event, date: &str) {
        if self.date != date {
            *self = Self { date: date.to_owned(), ..Self::default() };
        }
        match event {
            Event::Request(request) => {
                self.requests += 1;
                self.failed += u64::from(request.outcome == "failed");
            }
            Event::Wake(wake) => self.wakes += u64::from(wake.slept && wake.result.as_deref() == Some("awake")),
            Event::State(_) | Event::Sleep(_) | Event::Refused(_) | Event::Start(_) | Event::Unused(_) => {}
        }
    }
}

/// Tells those who follow what a page could show; mostly nobody does. Whoever comes later reads what is true then.
fn beat(pulse: &watch::Sender<u64>) {
    if pulse.receiver_count() > 0 {
        pulse.send_modify(|beat| *beat += 1);
    }
}

/// The local date, worked out once a minute and not for each of a thousand requests: days begin with a minute everywhere.
#[derive(Debug, Default)]
struct Calendar {
    minute: f64,
    date: String,
}

impl Calendar {
    /// The date at this moment, in Unix seconds, which is now.
    fn date(&mut self, at: f64) -> &str {
        let minute = (at / 60.0).floor();
        if self.date.is_empty() || (self.minute - minute).abs() > 0.5 {
            *self = Self { minute, date: today() };
        }
        &self.date
    }
}

fn today() -> String {
    chrono::Local::now().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests;
