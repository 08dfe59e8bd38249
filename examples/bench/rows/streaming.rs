//! Streams: how late a line arrives, what it costs, and the memory of many at once.

use std::time::Duration;

use tokio::time::sleep;

use super::{Bench, each, micros};
use crate::contenders::{Contender, Way, Who};
use crate::load::percentile;
use crate::streams::{Heard, Wish};
use crate::table::{Sheet, Unit};

/// Long after the end of any stream that keeps its pace.
const LIMIT: Duration = Duration::from_secs(15);

/// How many streams a house, a school and companies have.
const MANY: [usize; 4] = [100, 1000, 3000, 10_000];

impl Bench {
    /// Lines that come as fast as they are taken.
    pub(super) async fn fast_stream(&mut self) {
        for round in 0..self.effort.rounds {
            let mut cells = Vec::new();
            for contender in self.turns(round) {
                // Python takes a second for what others do in ten milliseconds.
                let chunks = if contender.who == Who::FastApi { 5_000 } else { 100_000 };
                let wish = Wish { streams: 1, chunks, gap: Duration::ZERO, limit: LIMIT };
                let began = tokio::time::Instant::now();
                if let Some(turn) = turn(contender, wish).await {
                    cells.push((contender.who, chunks as f64 / began.elapsed().as_secs_f64(), turn.cpu));
                }
            }
            for (who, per_second, cpu) in cells {
                self.sheet.put("1 fast stream: chunks", Unit::PerSecond, who, round, per_second);
                if let Some(cpu) = cpu {
                    self.sheet.put("1 fast stream: CPU per chunk", Unit::Micros, who, round, cpu);
                }
            }
        }
    }

    /// Lines at the pace of a model; each stream of a thousand gets 25 of them a second.
    pub(super) async fn paced_streams(&mut self) {
        for (streams, gap) in [(1, 10), (100, 40), (1000, 40)] {
            let gap = Duration::from_millis(gap);
            let seconds = if self.effort.quick { 1.2 } else { 3.0 };
            let rounds = if self.effort.quick { 2 } else { 5 };
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
            let wish = Wish { streams, chunks: (seconds / gap.as_secs_f64()) as u64, gap, limit: LIMIT };
            for round in 0..rounds {
                let mut turns = Vec::new();
                for contender in self.turns(round) {
                    // It does not keep up with a thousand: seen once is enough.
                    if contender.who == Who::FastApi && streams == 1000 && round > 0 {
                        continue;
                    }
                    turns.extend(turn(contender, wish).await.map(|turn| (contender.who, turn)));
                }
                for (who, turn) in turns {
                    turn.put(&mut self.sheet, streams, who, round);
                }
            }
        }
        sleep(Duration::from_secs(1)).await;
        for contender in &self.contenders {
            if let Some(program) = contender.program(Way::Kept) {
                self.sheet.put("1000 streams: memory after", Unit::MiB, contender.who, 0, program.memory());
            }
        }
    }
}

impl Bench {
    /// As many as a house, a school and a company have, of slow models.
    pub(super) async fn many_streams(&mut self) {
        // With two sockets each, and some for other things, so many fit into one process.
        let most = usize::try_from(self.kitchen.open.saturating_sub(200) / 2).unwrap_or(usize::MAX);
        if most < MANY[3] {
            self.sheet
                .note(format!("a program here may open {} files and sockets: {most} streams at the most", self.kitchen.open));
        }
        for streams in MANY.map(|streams| streams.min(most)) {
            let wish = Wish { streams, chunks: 12, gap: Duration::from_secs(1), limit: LIMIT * 4 };
            let mut turns = Vec::new();
            for contender in self.turns(0).into_iter().filter(|contender| contender.who != Who::FastApi) {
                turns.extend(turn(contender, wish).await.map(|turn| (contender.who, turn)));
            }
            for (who, turn) in turns {
                turn.put(&mut self.sheet, streams, who, 0);
            }
        }
    }
}

/// What one contender's turn brought.
struct Turn {
    heard: Heard,
    /// Microseconds a line.
    cpu: Option<f64>,
    /// In the middle of it, in MiB.
    memory: Option<f64>,
}

async fn turn(contender: &Contender, wish: Wish) -> Option<Turn> {
    let program = contender.program(Way::Kept);
    let before = program.map(crate::process::Program::usage);
    // When the last has begun and the first has not ended.
    let middle = wish.gap * u32::try_from(wish.chunks / 2).unwrap_or_default() + crate::streams::beginning(wish.streams) / 2;
    let memory = async {
        sleep(middle).await;
        program.filter(|_| !middle.is_zero()).map(crate::process::Program::memory)
    };
    match tokio::join!(wish.hear(contender.address(Way::Kept)), memory) {
        (Ok(heard), memory) => {
            let after = program.map(crate::process::Program::usage);
            let cpu = before.zip(after).map(|(before, after)| each(before, after, heard.delays.len()));
            Some(Turn { heard, cpu, memory })
        }
        (Err(why), _) => {
            eprintln!("{}: {why:#}", contender.who.name());
            None
        }
    }
}

impl Turn {
    fn put(&self, sheet: &mut Sheet, streams: usize, who: Who, round: usize) {
        let idle = sheet.median("memory idle", who);
        let mut put = |what: &str, unit, value| {
            let name = if streams == 1 { format!("1 stream: {what}") } else { format!("{streams} streams: {what}") };
            sheet.put(&name, unit, who, round, value);
        };
        put("first chunk p50", Unit::Millis, micros(percentile(&self.heard.first, 0.5)) / 1e3);
        put("chunk delay p50", Unit::Micros, micros(percentile(&self.heard.delays, 0.5)));
        put("chunk delay p99", Unit::Micros, micros(percentile(&self.heard.delays, 0.99)));
        put("chunk delay at worst", Unit::Millis, micros(percentile(&self.heard.delays, 1.0)) / 1e3);
        if let Some(cpu) = self.cpu {
            put("CPU per chunk", Unit::Micros, cpu);
        }
        if let Some(memory) = self.memory.filter(|_| streams >= 1000) {
            put("memory", Unit::MiB, memory);
            if let Some(idle) = idle {
                put("memory of a stream", Unit::KiB, (memory - idle) * 1024.0 / streams as f64);
            }
        }
        if self.heard.lost > 0 {
            put("not ended in time", Unit::Streams, self.heard.lost as f64);
        }
    }
}
