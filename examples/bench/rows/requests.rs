//! Small exchanges: what they take longer than the direct way, how many pass in a second, what each costs.

use super::{Bench, each, micros};
use crate::contenders::{Way, Who};
use crate::load::{Run, request, run, small};
use crate::table::Unit;

/// A fresh connection leaves a closed one behind for a minute: not too many of them.
const MOST_FRESH: usize = 3_000;

impl Bench {
    pub(super) async fn small_requests(&mut self, way: Way, whither: &str) {
        for connections in [1, 64] {
            let name = format!("{connections} × small {whither}");
            let most = if way == Way::Fresh { MOST_FRESH / connections } else { usize::MAX };
            for round in 0..self.effort.rounds {
                let runs = self.round(round, way, connections, most, &small()).await;
                let direct =
                    runs.iter().find(|(who, ..)| *who == Who::Direct).map(|(_, run, _)| (run.within(0.5), run.within(0.99)));
                let (p50, p99) = direct.unwrap_or_default();
                for (who, run, cpu) in &runs {
                    let less = if *who == Who::Direct { (0.0, 0.0) } else { (micros(p50), micros(p99)) };
                    let put = |sheet: &mut crate::table::Sheet, what: &str, unit, value| {
                        sheet.put(&format!("{name}: {what}"), unit, *who, round, value);
                    };
                    put(&mut self.sheet, "p50", Unit::AddedMicros, micros(run.within(0.5)) - less.0);
                    put(&mut self.sheet, "p99", Unit::AddedMicros, micros(run.within(0.99)) - less.1);
                    put(&mut self.sheet, "requests", Unit::PerSecond, run.per_second());
                    if let Some(cpu) = cpu {
                        put(&mut self.sheet, "CPU per request", Unit::Micros, *cpu);
                    }
                }
            }
        }
    }

    pub(super) async fn cached_list(&mut self) {
        let list = request("GET", "/api/tags", "", "");
        for round in 0..self.effort.rounds {
            for (who, run, cpu) in self.round(round, Way::Kept, 1, usize::MAX, &list).await {
                self.sheet.put("cached list: p50", Unit::Micros, who, round, micros(run.within(0.5)));
                self.sheet.put("cached list: p99", Unit::Micros, who, round, micros(run.within(0.99)));
                if let Some(cpu) = cpu {
                    self.sheet.put("cached list: CPU per request", Unit::Micros, who, round, cpu);
                }
            }
        }
    }

    /// A turn of each: what came of it, and the processor time of one request in microseconds.
    async fn round(
        &self,
        round: usize,
        way: Way,
        connections: usize,
        most: usize,
        request: &[u8],
    ) -> Vec<(Who, Run, Option<f64>)> {
        let mut runs = Vec::new();
        let slice = self.effort.slice;
        for contender in self.turns(round) {
            let program = contender.program(way);
            let before = program.map(crate::process::Program::usage);
            match run(contender.address(way), connections, slice, most, request).await {
                Ok(run) => {
                    let after = program.map(crate::process::Program::usage);
                    let cpu = before.zip(after).map(|(before, after)| each(before, after, run.count()));
                    runs.push((contender.who, run, cpu));
                }
                Err(why) => eprintln!("{}: {why:#}", contender.who.name()),
            }
        }
        runs
    }
}
