//! What we add to a wake: a simulated PC resumes in a known time, and the first answer comes that much later.

use std::time::Duration;

use ollama_proxy::simulator::{Ollama, PcSettings, Settings, SimulatedPc};
use ollama_proxy::values::Mac;
use tokio::time::Instant;

use super::Bench;
use crate::contenders::Who;
use crate::load::{Client, small};
use crate::process::{Program, free_address, listening};
use crate::table::Unit;

const MAC: &str = "02:00:5e:10:00:01";

/// From the magic packet to the first connection that the PC takes.
const RESUME: Duration = Duration::from_secs(2);

impl Bench {
    pub(super) async fn wake(&mut self) {
        for round in 0..if self.effort.quick { 1 } else { 3 } {
            match self.woken().await {
                Ok(took) => {
                    let over = took.saturating_sub(RESUME);
                    self.sheet.put("wake, beyond the PC's own 2 s", Unit::Millis, Who::Ours, round, over.as_secs_f64() * 1e3);
                }
                Err(why) => self.sheet.note(format!("the wake failed: {why:#}")),
            }
        }
    }

    /// How long a request took that found the PC asleep.
    async fn woken(&self) -> anyhow::Result<Duration> {
        let mac: Mac = MAC.parse().map_err(|_| anyhow::anyhow!("{MAC} is no MAC address"))?;
        let settings = PcSettings { asleep: true, resume: RESUME, ..PcSettings::new(mac) };
        let pc = SimulatedPc::start(Ollama::new(Settings::default()), settings).await?;
        let at = free_address()?;
        let mut command = self.kitchen.ours_before(at, pc.address(), "wake");
        command.args(["--wake-mac", MAC, "--wake-interval", "0", "--wake-port", &pc.wake_address().port().to_string()]);
        let _ours = Program::start(&mut command, &self.kitchen.dir.join("wake.log"))?;
        listening(at, Duration::from_secs(5)).await?;
        let mut client = Client::connect(at).await?;
        let began = Instant::now();
        client.ask(&small()).await?;
        Ok(began.elapsed())
    }
}
