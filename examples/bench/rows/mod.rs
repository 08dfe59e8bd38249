//! The rows of the table: what is measured, in which order, and which bars it is held against.

mod bulk;
mod life;
mod requests;
mod streaming;
mod translated;
mod wake;

use std::time::Duration;

use clap::ValueEnum;

use crate::contenders::{Contender, Kitchen, Way, Who};
use crate::process::Usage;
use crate::table::{Bound, Sheet, Unit};

/// A group of rows that is measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// Small requests to a node that is always on
    Requests,
    /// The same to a sleeper, each over a fresh connection
    Sleeper,
    /// The cached list of models
    List,
    /// One stream as fast as it goes
    Fast,
    /// The same of OpenAI's kind, for clients of other dialects
    Translate,
    /// 1, 100 and 1,000 paced streams, and the memory that they take
    Streams,
    /// 100, 1,000, 3,000 and 10,000 streams with a line a second; only when named
    Many,
    /// 1 GiB down and up
    Bulk,
    /// Wakeups while nothing happens
    Idle,
    /// Size of the binaries
    Size,
    /// From the start to the first answer
    Start,
    /// What we add to the wake of a PC
    Wake,
}

impl Scene {
    pub const ALL: [Self; 11] = [
        // Before anything has happened to anybody.
        Self::Idle,
        Self::Requests,
        Self::Sleeper,
        Self::List,
        Self::Fast,
        Self::Translate,
        Self::Streams,
        Self::Bulk,
        Self::Size,
        Self::Start,
        Self::Wake,
    ];
}

/// How much is done for a figure.
#[derive(Clone, Copy)]
pub struct Effort {
    pub quick: bool,
    /// Rounds of a row.
    pub rounds: usize,
    /// How long one contender has its turn.
    pub slice: Duration,
}

/// What is needed to measure.
pub struct Bench {
    kitchen: Kitchen,
    contenders: Vec<Contender>,
    effort: Effort,
    sheet: Sheet,
}

impl Bench {
    pub fn new(kitchen: Kitchen, quick: bool) -> Self {
        let effort = if quick {
            Effort { quick, rounds: 3, slice: Duration::from_millis(250) }
        } else {
            Effort { quick, rounds: 7, slice: Duration::from_millis(600) }
        };
        Self { kitchen, contenders: Vec::new(), effort, sheet: Sheet::default() }
    }

    /// Starts a contender; who cannot be had is left out.
    pub async fn invite(&mut self, who: Who) {
        match self.kitchen.start(who).await {
            Ok(contender) => self.contenders.push(contender),
            Err(why) => self.sheet.note(format!("not here: {}: {why:#}", who.name())),
        }
    }

    /// Plays one scene; what fails in it is noted.
    pub async fn play(&mut self, scene: Scene) {
        eprintln!("{scene:?} …");
        match scene {
            Scene::Requests => self.small_requests(Way::Kept, "to an always-on node").await,
            Scene::Sleeper => self.small_requests(Way::Fresh, "to a sleeper").await,
            Scene::List => self.cached_list().await,
            Scene::Fast => self.fast_stream().await,
            Scene::Translate => self.translated_stream().await,
            Scene::Streams => self.paced_streams().await,
            Scene::Many => self.many_streams().await,
            Scene::Bulk => self.bulk().await,
            Scene::Idle => self.idle().await,
            Scene::Size => self.size(),
            Scene::Start => self.start().await,
            Scene::Wake => self.wake().await,
        }
    }

    /// The contenders in the order of this round: another one begins each time.
    fn turns(&self, round: usize) -> Vec<&Contender> {
        let mut turns: Vec<&Contender> = self.contenders.iter().collect();
        let count = turns.len().max(1);
        turns.rotate_left(round % count);
        turns
    }

    /// The memory of programs that have not done anything yet.
    pub fn idle_memory(&mut self) {
        for contender in &self.contenders {
            if let Some(program) = contender.program(Way::Kept) {
                self.sheet.put("memory idle", Unit::MiB, contender.who, 0, program.memory());
            }
        }
    }

    /// The sheet, held against the bars.
    pub fn judged(mut self) -> Sheet {
        use Bound::{AtLeast, AtMost};
        let sheet = &mut self.sheet;
        for connections in [1, 64] {
            let row = |what: &str| format!("{connections} × small to an always-on node: {what}");
            let ratio = sheet.ratio(&row("requests"), Who::Ours, Who::Bare);
            sheet.bar(&format!("requests/s to bare hyper, {connections} connections"), AtLeast(0.8), ratio);
            let ratio = sheet.ratio(&row("CPU per request"), Who::Ours, Who::Bare);
            sheet.bar(&format!("CPU per request to bare hyper, {connections} connections"), AtMost(1.25), ratio);
        }
        for (name, row) in [
            ("cached list to nginx, time", "cached list: p50"),
            ("CPU per chunk to nginx, one fast stream", "1 fast stream: CPU per chunk"),
            ("CPU per chunk to nginx, 1,000 streams", "1000 streams: CPU per chunk"),
            ("p99 chunk delay to nginx, 1,000 streams", "1000 streams: chunk delay p99"),
        ] {
            let ratio = sheet.ratio(row, Who::Ours, Who::Nginx);
            sheet.bar(name, AtMost(1.0), ratio);
        }
        let ratio = sheet.ratio("1000 streams: chunk delay p99", Who::Ours, Who::Haproxy);
        sheet.bar("p99 chunk delay to HAProxy, 1,000 streams", AtMost(1.0), ratio);
        for (name, row, most) in [
            ("MiB idle", "memory idle", 8.0),
            ("MiB with 1,000 streams", "1000 streams: memory", 48.0),
            ("KiB of a stream, 1,000 streams", "1000 streams: memory of a stream", 40.0),
            ("wakeups per second idle", "wakeups idle", 1.0),
            ("MiB of binary", "binary", 6.0),
            ("ms from start to first answer", "start to first answer", 50.0),
        ] {
            let measured = sheet.median(row, Who::Ours);
            sheet.bar(name, AtMost(most), measured);
        }
        for client in translated::clients() {
            let measured = sheet.median(&translated::added(client), Who::Ours);
            sheet.bar(&format!("µs of {}", translated::added(client)), AtMost(2.0), measured);
        }
        self.sheet
    }
}

/// What one of so many things cost in microseconds of processor time.
fn each(before: Usage, after: Usage, count: usize) -> f64 {
    micros(after.cpu.saturating_sub(before.cpu)) / count.max(1) as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
