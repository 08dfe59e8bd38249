//! Sums the bytes of sockets that come and go. Pure: it is told what was seen.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "used on Linux, tested everywhere"))]

use std::collections::{HashMap, HashSet};

/// Sockets that are told apart; of further ones only the final figures count, when they end.
const SOCKETS: usize = 65_536;

/// Bytes by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) to_ollama: u64,
    pub(super) from_ollama: u64,
}

impl Bytes {
    fn plus(self, more: Self) -> Self {
        self.with(more, u64::saturating_add)
    }

    fn minus(self, less: Self) -> Self {
        self.with(less, u64::saturating_sub)
    }

    fn at_least(self, other: Self) -> Self {
        self.with(other, u64::max)
    }

    fn with(self, other: Self, by: fn(u64, u64) -> u64) -> Self {
        Self { to_ollama: by(self.to_ollama, other.to_ollama), from_ollama: by(self.from_ollama, other.from_ollama) }
    }
}

/// A socket as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// The kernel's number for it, never used again.
    pub(super) cookie: u64,
    /// Zero from kernels that take it away before they tell the end of a socket.
    pub(super) local_port: u16,
    /// Zero for a listener.
    pub(super) remote_port: u16,
    pub(super) bytes: Bytes,
}

/// The sums. They never go back.
#[derive(Debug, Default)]
pub(super) struct Tally {
    port: u16,
    ended: Bytes,
    live: HashMap<u64, Live>,
    lost_ends: bool,
}

#[derive(Debug, Default)]
struct Live {
    /// What it had carried before we began.
    before: Bytes,
    now: Bytes,
}

impl Live {
    fn ours(&self) -> Bytes {
        self.now.minus(self.before)
    }
}

impl Tally {
    /// Begins beside these sockets, whose bytes until now are not ours to count.
    pub(super) fn beside(port: u16, sockets: &[Socket]) -> Self {
        let live = |socket: &Socket| (socket.cookie, Live { before: socket.bytes, now: socket.bytes });
        Self { port, live: sockets.iter().take(SOCKETS).map(live).collect(), ..Self::default() }
    }

    /// All sockets of the port as they are.
    ///
    /// One that is missing stays: its end was not told yet. Only when ends were lost it is given up, with what was last seen.
    pub(super) fn looked(&mut self, sockets: &[Socket]) {
        for socket in sockets {
            if self.live.len() < SOCKETS || self.live.contains_key(&socket.cookie) {
                let live = self.live.entry(socket.cookie).or_default();
                live.now = live.now.at_least(socket.bytes);
            }
        }
        if std::mem::take(&mut self.lost_ends) {
            let there: HashSet<u64> = sockets.iter().map(|socket| socket.cookie).collect();
            let ended = &mut self.ended;
            self.live.retain(|cookie, live| {
                let stays = there.contains(cookie);
                if !stays {
                    *ended = ended.plus(live.ours());
                }
                stays
            });
        }
    }

    /// A socket was destroyed; these are its final figures.
    pub(super) fn ended(&mut self, socket: &Socket) {
        let known = self.live.remove(&socket.cookie);
        if known.is_none() && (socket.local_port != self.port || socket.remote_port == 0) {
            return;
        }
        let mut live = known.unwrap_or_default();
        live.now = live.now.at_least(socket.bytes);
        self.ended = self.ended.plus(live.ours());
    }

    /// Ends came faster than they were read, and some were dropped.
    pub(super) fn lost_ends(&mut self) {
        self.lost_ends = true;
    }

    /// The sums by now.
    pub(super) fn bytes(&self) -> Bytes {
        self.live.values().fold(self.ended, |sum, live| sum.plus(live.ours()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(to_ollama: u64, from_ollama: u64) -> Bytes {
        Bytes { to_ollama, from_ollama }
    }

    fn socket(cookie: u64, to: u64, from: u64) -> Socket {
        Socket { cookie, local_port: 11434, remote_port: 50_000, bytes: bytes(to, from) }
    }

    #[test]
    fn a_socket_counts_once_however_it_was_seen() {
        let mut tally = Tally::beside(11434, &[]);
        tally.looked(&[socket(1, 10, 100)]);
        tally.looked(&[socket(1, 20, 300), socket(2, 1, 1)]);
        assert_eq!(tally.bytes(), bytes(21, 301));
        tally.ended(&socket(1, 25, 400));
        assert_eq!(tally.bytes(), bytes(26, 401));
        tally.ended(&socket(3, 1000, 2000));
        assert_eq!(tally.bytes(), bytes(1026, 2401), "one that came and went between two looks counts too");
        tally.looked(&[]);
        tally.ended(&socket(2, 5, 5));
        assert_eq!(tally.bytes(), bytes(1030, 2405), "one that is gone from the table and not yet ended counts once");
    }

    #[test]
    fn what_was_carried_before_the_start_does_not_count() {
        let mut tally = Tally::beside(11434, &[socket(1, 500, 900)]);
        assert_eq!(tally.bytes(), bytes(0, 0));
        tally.looked(&[socket(1, 510, 1000)]);
        assert_eq!(tally.bytes(), bytes(10, 100));
        tally.ended(&socket(1, 520, 1000));
        assert_eq!(tally.bytes(), bytes(20, 100));
    }

    #[test]
    fn ends_of_other_ports_and_of_listeners_do_not_count_but_a_known_socket_needs_no_port() {
        let mut tally = Tally::beside(11434, &[]);
        tally.looked(&[socket(1, 1, 1)]);
        tally.ended(&Socket { local_port: 22, ..socket(2, 9, 9) });
        tally.ended(&Socket { remote_port: 0, ..socket(3, 9, 9) });
        tally.ended(&Socket { local_port: 0, ..socket(4, 9, 9) });
        assert_eq!(tally.bytes(), bytes(1, 1));
        tally.ended(&Socket { local_port: 0, ..socket(1, 7, 7) });
        assert_eq!(tally.bytes(), bytes(7, 7));
    }

    #[test]
    fn after_lost_ends_a_missing_socket_keeps_what_was_last_seen_and_its_memory_is_given_back() {
        let mut tally = Tally::beside(11434, &[]);
        tally.looked(&[socket(1, 10, 10), socket(2, 20, 20)]);
        tally.lost_ends();
        tally.looked(&[socket(2, 21, 20)]);
        assert_eq!((tally.bytes(), tally.live.len()), (bytes(31, 30), 1));
    }

    #[test]
    fn memory_is_bounded_and_the_sums_are_right_all_the_same() {
        let mut tally = Tally::beside(11434, &[]);
        let many: Vec<Socket> = (0..70_000).map(|cookie| socket(cookie, 1, 1)).collect();
        tally.looked(&many);
        assert_eq!(tally.live.len(), SOCKETS);
        for socket in &many {
            tally.ended(socket);
        }
        assert_eq!((tally.bytes(), tally.live.len()), (bytes(70_000, 70_000), 0));
    }
}
