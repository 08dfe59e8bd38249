//! The journal as text: one line of JSON about the whole, then one per entry.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::entry::unix;
use super::{Entry, Journal, Pages, Today};

/// The largest text that is written, and so the largest that is read.
pub const LARGEST: usize = 1024 * 1024;

/// With a checksum behind the lines; see [`Journal::restored`].
const FORMAT: u32 = 2;

/// What earlier versions wrote, without a checksum.
const UNSEALED: u32 = 1;

/// The first line.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    version: u32,
    written: f64,
    last: u64,
    date: String,
    requests: u64,
    failed: u64,
    wakes: u64,
}

impl Journal {
    /// All that is remembered, as JSON lines of at most [`LARGEST`] bytes; the oldest entries are left out beyond that.
    pub fn text(&self) -> Vec<u8> {
        let today = self.today();
        let head = Head {
            version: FORMAT,
            written: unix(SystemTime::now()),
            last: self.last(),
            date: today.date,
            requests: today.requests,
            failed: today.failed,
            wakes: today.wakes,
        };
        let line = |line: serde_json::Result<Vec<u8>>| line.unwrap_or_default();
        let head = line(serde_json::to_vec(&head));
        let lines: Vec<Vec<u8>> = self.since(0).iter().map(|entry| line(serde_json::to_vec(&**entry))).collect();
        let mut room = LARGEST - head.len() - 1;
        let fits = |line: &&Vec<u8>| {
            let left = room.checked_sub(line.len() + 1);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let newest = lines.iter().rev().take_while(fits).count();
        let mut text = head;
        text.push(b'\n');
        for line in &lines[lines.len() - newest..] {
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text
    }

    /// A journal that goes on from this text, and how many of its lines cannot be read. `sealed`: a checksum vouches for it;
    /// earlier versions made none, and of their files what can be read is kept. Times ahead of `now` count as now.
    ///
    /// # Errors
    /// It is no journal, or was cut.
    pub fn restored(text: &[u8], sealed: bool, now: SystemTime) -> Result<(Self, usize), String> {
        let now = unix(now);
        let mut pages = Pages::default();
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let head = lines.next().and_then(|line| serde_json::from_slice::<Head>(line).ok()).unwrap_or_default();
        match head.version {
            FORMAT if sealed => {}
            FORMAT => return Err("its end with the checksum is missing".to_owned()),
            UNSEALED => {}
            _ => return Err(format!("its first line is not that of a journal of format {UNSEALED} or {FORMAT}")),
        }
        let (mut seen, mut unreadable) = (HashSet::new(), 0_usize);
        for line in lines {
            match Entry::read(line) {
                Ok(mut entry) if seen.insert(entry.seq) => {
                    entry.at = entry.at.min(now);
                    pages.last = pages.last.max(entry.seq);
                    pages.keep(Arc::new(entry));
                }
                _ => unreadable += 1,
            }
        }
        pages.last = pages.last.max(head.last);
        pages.kept_until = Some(head.written.min(now));
        pages.today = Today { date: head.date, requests: head.requests, failed: head.failed, wakes: head.wakes };
        Ok((Self::of(pages), unreadable))
    }
}
