//! A simulated GPU PC that sleeps and wakes on a magic packet: something to try the proxy against on one machine.
//!
//! ```text
//! cargo run --example simulated_pc -- --listen 127.0.0.1:11435 --wake-listen 127.0.0.1:9009 --sleeps-after 20s
//! ```
//!
//! It prints where it listens, where it takes magic packets, where its control routes are (these never sleep), and each
//! turn of its life. A line `sleep` on its standard input sends it to sleep.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use ollama_proxy::simulator::{Ollama, PcEvent, PcSettings, Settings, SimulatedPc};
use ollama_proxy::values::Mac;
use tokio::net::TcpListener;

/// A simulated GPU PC that sleeps and wakes on a magic packet.
#[derive(Parser)]
struct Arguments {
    /// Where its Ollama listens; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where its network card takes magic packets (UDP)
    #[arg(long, default_value = "127.0.0.1:0")]
    wake_listen: SocketAddr,
    /// The address of its network card
    #[arg(long, default_value = "02:00:5e:10:00:01", value_parser = mac)]
    mac: Mac,
    /// From the magic packet to the first connection that it takes
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    resume: Duration,
    /// It falls asleep after so long without work; without this only when told
    #[arg(long, value_parser = humantime::parse_duration)]
    sleeps_after: Option<Duration>,
    /// From the start of a generation to its first token
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    first_token: Duration,
    /// Between two tokens
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    token_gap: Duration,
    /// How many tokens an answer has
    #[arg(long, default_value_t = 20)]
    tokens: usize,
}

fn mac(text: &str) -> Result<Mac, String> {
    text.parse().map_err(|_| format!("{text:?} is no MAC address"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (first_token, token_gap, tokens) = (arguments.first_token, arguments.token_gap, arguments.tokens);
    let ollama = Ollama::new(Settings { first_token, token_gap, tokens, control: true, ..Settings::default() });
    let settings = PcSettings {
        listen: arguments.listen,
        card: arguments.wake_listen,
        resume: arguments.resume,
        sleeps_after: arguments.sleeps_after,
        ..PcSettings::new(arguments.mac)
    };
    let control = TcpListener::bind("127.0.0.1:0").await?;
    let pc = Arc::new(SimulatedPc::start(ollama.clone(), settings).await?);
    let mut events = pc.events();
    println!("takes magic packets on {}", pc.wake_address());
    println!("control on {}", control.local_addr()?);
    println!("listening on {}", pc.address());
    let told = pc.clone();
    std::thread::spawn(move || {
        let sleeps = |line: &str| line.trim() == "sleep";
        std::io::stdin().lines().map_while(Result::ok).filter(|line| sleeps(line)).for_each(|_| told.sleep_now());
    });
    tokio::spawn(ollama.serve(control, std::future::pending::<()>()));
    while let Ok(event) = events.recv().await {
        println!("{}", words(event));
    }
    Ok(())
}

fn words(event: PcEvent) -> &'static str {
    match event {
        PcEvent::Asleep => "falls asleep",
        PcEvent::PacketSeen => "hears a magic packet",
        PcEvent::Waking => "wakes up",
        PcEvent::Awake => "is awake",
    }
}
