//! The soak: mixed traffic over a long time, and nothing grows.
//!
//! All dialects, streams and whole answers, lists, pages and scrapes, slow readers and clients that leave, PCs that sleep and are
//! woken, nodes and providers that fail. The stage `soak` runs it for `SOAK_SECONDS=300`, a long run for 7200. Without the setting it
//! is short: then memory, which has to settle first, is only shown. `SOAK_SEED` chooses other requests. Logs lie in `target/soak/`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod house;
mod measure;
#[allow(dead_code, reason = "the laboratories need more of it")]
#[path = "../lab/program.rs"]
mod program;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;
#[allow(dead_code, reason = "the fault laboratory needs more of it")]
#[path = "../faults/traffic.rs"]
mod traffic;

use std::time::Duration;

use house::House;
use measure::{Sample, rise};
use program::{eventually, pause};
use tokio::time::Instant;
use traffic::{AT_REST, BOUND, Tally};

/// Traffic comes in waves, behind each of which all that could sleep does.
const WAVE: u64 = 20;
const LULL: u64 = 5;

/// From here on memory has settled in the second half.
const LONG_ENOUGH: u64 = 240;

/// By how much the line through the memory of the second half may rise, in KiB, however long it is: a leak of half a KiB for each
/// request shows in five minutes on a busy machine, one of twenty bytes in two hours. 300 is usual in five minutes.
const MORE_MEMORY: f64 = 1024.0;

/// Open files and sockets at rest, and threads.
const MORE_DESCRIPTORS: usize = 4;

fn number(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}"))
}

/// The soak as it goes on.
struct Soak {
    house: House,
    began: Instant,
    samples: Vec<Sample>,
    sum: Tally,
    wakes: usize,
}

#[test]
fn nothing_grows_under_mixed_traffic() {
    let (seconds, seed) = (number("SOAK_SECONDS", 20), number("SOAK_SEED", 8));
    println!("SOAK_SECONDS={seconds} SOAK_SEED={seed}");
    let house = House::start(seed);
    pause(Duration::from_secs(2));
    let at_rest = Sample::of(house.proxy.pid(), 0.0);
    let mut soak = Soak { house, began: Instant::now(), samples: Vec::new(), sum: Tally::default(), wakes: 0 };
    println!("{:>8} {:>10} {:>12} {:>8} {:>9} {:>6}", "seconds", "memory KiB", "descriptors", "threads", "requests", "wakes");
    let mut turn = 0;
    while soak.began.elapsed() < Duration::from_secs(seconds) {
        soak.wave(turn);
        turn += 1;
    }
    soak.settle();
    println!("longest request {} ms: {:#?}", soak.sum.longest_ms, soak.sum.counts);
    soak.assert_at_rest(&at_rest);
    soak.assert_memory_is_flat(seconds);
    assert!(soak.wakes > 0, "no PC was ever woken");
    assert!(soak.sum.of("Whole") > seconds, "hardly anything was answered");
}

impl Soak {
    /// Traffic with failures in it, and a lull in which the PCs fall asleep.
    fn wave(&mut self, turn: u64) {
        let before = self.house.awake();
        self.house.traffic.mode("all");
        for second in 0..WAVE {
            match second {
                4 | 12 => self.house.fail(turn + second),
                // In the middle of what they are doing.
                8 if turn % 3 == 1 => self.house.sleep(),
                10 if turn % 3 == 2 => self.house.nas_runs(false),
                14 if turn % 3 == 2 => self.house.nas_runs(true),
                _ => {}
            }
            self.look();
        }
        self.wakes += self.house.awake().saturating_sub(before);
        self.house.traffic.mode("lookups");
        self.house.sleep();
        (0..LULL).for_each(|_| self.look());
        self.sum.add(self.house.traffic.tally());
        self.tell();
    }

    fn look(&mut self) {
        pause(Duration::from_secs(1));
        self.samples.push(Sample::of(self.house.proxy.pid(), self.began.elapsed().as_secs_f64()));
    }

    fn tell(&self) {
        let Some(Sample { at, memory, descriptors, threads }) = self.samples.last() else { return };
        let requests: u64 = self.sum.counts.values().sum();
        println!("{at:>8.0} {memory:>10.0} {descriptors:>12} {threads:>8} {requests:>9} {:>6}", self.wakes);
    }

    /// Waits until every request has ended: none was answered wrongly, and no task died.
    fn settle(&mut self) {
        self.house.traffic.mode("none");
        eventually("every request has ended", BOUND + Duration::from_secs(60), || self.house.traffic.busy() == 0);
        self.sum.add(self.house.traffic.tally());
        let breaches = self.sum.breaches(&[]);
        assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
        let log = self.house.proxy.written_so_far();
        assert!(!log.contains("panicked"), "a task died: {:?}", log.lines().find(|line| line.contains("panicked")));
    }

    /// Gauges are zero, and sockets closed.
    fn assert_at_rest(&self, before: &Sample) {
        for gauge in AT_REST {
            eventually(&format!("{gauge} is zero"), Duration::from_secs(60), || self.house.gauge(gauge) == 0.0);
        }
        let mut now = *before;
        eventually("files and sockets are closed", Duration::from_secs(180), || {
            now = Sample::of(self.house.proxy.pid(), 0.0);
            now.descriptors <= before.descriptors + MORE_DESCRIPTORS
        });
        println!("at rest before and after: {before:?}, {now:?}");
        eventually("threads that did what blocks have ended", Duration::from_secs(60), || {
            Sample::of(self.house.proxy.pid(), 0.0).threads <= before.threads + MORE_DESCRIPTORS
        });
    }

    fn assert_memory_is_flat(&self, seconds: u64) {
        let half = &self.samples[self.samples.len() / 2..];
        let points: Vec<_> = half.iter().map(|sample| (sample.at, sample.memory)).collect();
        let rise = rise(&points);
        let (from, to) = (half.first().unwrap().at, half.last().unwrap().at);
        println!("memory from {from:.0} s to {to:.0} s: {rise:+.0} KiB by least squares, {:+.2} KiB/s", rise / (to - from));
        assert!(seconds < LONG_ENOUGH || rise <= MORE_MEMORY, "memory grows by {rise:.0} KiB in the second half");
    }
}
