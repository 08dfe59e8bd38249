//! What it costs to translate a stream on its way, beyond passing it on: the same words of the same server of OpenAI's kind, for
//! clients of three dialects. Only we do that.

use std::time::Duration;

use super::{Bench, each};
use crate::contenders::Who;
use crate::load::{Client, request};
use crate::process::{Program, free_address, listening};
use crate::table::Unit;

const PASSED: (&str, &str) = ("/v1/chat/completions", "OpenAI's events: CPU per event, passed on");

/// Clients of other dialects.
const TRANSLATED: [(&str, &str, &str); 2] = [
    ("/api/chat", "OpenAI's events: CPU per event, for Ollama's clients", "Ollama's clients"),
    ("/v1/messages", "OpenAI's events: CPU per event, for Anthropic's clients", "Anthropic's clients"),
];

const BODY: &str =
    r#"{"model":"llama3.2:3b","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Why is the sky blue?"}]}"#;

/// What the translation for a client adds to an event.
pub(super) fn added(client: &str) -> String {
    format!("CPU that translation for {client} adds to an event")
}

/// The clients that are measured.
pub(super) fn clients() -> impl Iterator<Item = &'static str> {
    TRANSLATED.iter().map(|(_, _, client)| *client)
}

impl Bench {
    pub(super) async fn translated_stream(&mut self) {
        match self.translate().await {
            Ok(()) => {}
            Err(why) => self.sheet.note(format!("the translated stream failed: {why:#}")),
        }
    }

    async fn translate(&mut self) -> anyhow::Result<()> {
        let at = free_address()?;
        let file = self.kitchen.dir.join("translated.json");
        let upstream = self.kitchen.upstream;
        std::fs::write(&file, format!(r#"{{"nodes":[{{"name":"studio","kind":"openai","hosts":["http://{upstream}/v1"]}}]}}"#))?;
        let mut command = self.kitchen.ours_alone(at, "translated");
        command.arg("--node-config").arg(&file);
        let ours = Program::start(&mut command, &self.kitchen.dir.join("translated.log"))?;
        listening(at, Duration::from_secs(5)).await?;
        for round in 0..self.effort.rounds {
            let passed = per_event(&ours, at, PASSED.0).await?;
            self.sheet.put(PASSED.1, Unit::Micros, Who::Ours, round, passed);
            for (path, row, client) in TRANSLATED {
                let translated = per_event(&ours, at, path).await?;
                self.sheet.put(row, Unit::Micros, Who::Ours, round, translated);
                self.sheet.put(&added(client), Unit::Micros, Who::Ours, round, translated - passed);
            }
        }
        Ok(())
    }
}

/// Microseconds of processor time for each event of a fast stream.
async fn per_event(ours: &Program, at: std::net::SocketAddr, path: &str) -> anyhow::Result<f64> {
    const EVENTS: usize = 100_000;
    let asked = request("POST", path, &format!("x-bench-stream: {EVENTS} 0\r\n"), BODY);
    let mut client = Client::connect(at).await?;
    let before = ours.usage();
    let length = client.ask(&asked).await?;
    anyhow::ensure!(length > EVENTS * 50, "{path} brought {length} bytes");
    Ok(each(before, ours.usage(), EVENTS))
}
