//! What a program costs that does nothing: wakeups, size, the time until it can do something.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Bench;
use crate::contenders::{Way, Who};
use crate::load::{Client, request};
use crate::process::free_address;
use crate::table::Unit;

const MIB: f64 = 1024.0 * 1024.0;

impl Bench {
    /// All at once, since idleness disturbs nobody. Ours is seen with an always-on node, which it checks now and then.
    pub(super) async fn idle(&mut self) {
        // Longer than the time between two checks of a node.
        let time = Duration::from_secs(if self.effort.quick { 6 } else { 35 });
        sleep(Duration::from_secs(1)).await;
        let before: Vec<_> =
            self.contenders.iter().map(|one| one.program(Way::Kept).map(crate::process::Program::usage)).collect();
        sleep(time).await;
        for (contender, before) in self.contenders.iter().zip(before) {
            if let Some((before, program)) = before.zip(contender.program(Way::Kept)) {
                let wakeups = program.usage().sleeps - before.sleeps;
                self.sheet.put("wakeups idle", Unit::PerSecond, contender.who, 0, wakeups as f64 / time.as_secs_f64());
            }
        }
    }

    pub(super) fn size(&mut self) {
        for (who, path) in [
            (Who::Nginx, self.kitchen.dir.join("nginx/usr/sbin/nginx")),
            (Who::Haproxy, self.kitchen.dir.join("haproxy/usr/sbin/haproxy")),
            (Who::Ours, self.kitchen.ours.clone()),
        ] {
            let installed = PathBuf::from("/usr/sbin").join(who.name().to_lowercase());
            if let Some(file) = [installed, path].iter().find_map(|path| path.metadata().ok()) {
                self.sheet.put("binary", Unit::MiB, who, 0, file.len() as f64 / MIB);
            }
        }
    }

    pub(super) async fn start(&mut self) {
        let rounds = self.effort.rounds;
        for round in 0..rounds {
            for who in self.contenders.iter().map(|contender| contender.who).filter(|who| *who != Who::Direct).collect::<Vec<_>>()
            {
                match self.first_answer(who).await {
                    Ok(took) => self.sheet.put("start to first answer", Unit::Millis, who, round, took.as_secs_f64() * 1e3),
                    Err(why) => eprintln!("{}: {why:#}", who.name()),
                }
            }
        }
    }

    /// From the start of the program to its first good answer.
    async fn first_answer(&self, who: Who) -> anyhow::Result<Duration> {
        let places = [free_address()?, free_address()?];
        let question = request("GET", "/api/version", "", "");
        let began = Instant::now();
        let _program = self.kitchen.launch(who, places, Way::Kept)?;
        loop {
            if let Ok(mut client) = Client::connect(places[Way::Kept as usize]).await {
                if client.ask(&question).await.is_ok() {
                    return Ok(began.elapsed());
                }
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "no answer within 20 s of the start");
            sleep(Duration::from_millis(1)).await;
        }
    }
}
