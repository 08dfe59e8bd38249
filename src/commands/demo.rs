//! `demo`: the main job on one machine, without any Ollama: a simulated PC that really falls silent and wakes by a real
//! magic packet over loopback.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::serve::ended_by_signal;
use super::{had, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Config, Env, Listen, ServeArgs};
use crate::server::{Door, Threads};
use crate::simulator::{Ollama, PcEvent, PcSettings, Settings, SimulatedPc};
use crate::telemetry;
use crate::values::boxed;

/// Short, so that a newcomer sees the PC fall asleep while looking.
const SLEEPS_AFTER: Duration = Duration::from_secs(20);

/// A locally administered address: no real card has it.
const MAC: &str = "02:00:00:00:de:30";

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    let (listen, log) = config::load_entrance(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    telemetry::start(log.json, log.level.into());
    had(Threads::start())?.run(async |cores| {
        let listeners = bind(&listen)?;
        let pc = switch_on().await?;
        let config = config_for(&pc)?;
        introduce(&pc, listeners.first().and_then(|listener| listener.local_addr().ok()));
        let story = tokio::spawn(boxed(tell(pc.events())));
        let served = app::serve(config, listeners, ended_by_signal(), cores).await;
        story.abort();
        served
    })
}

/// 11434 as the real one; a free port when that is taken and none was asked for.
fn bind(listen: &Listen) -> anyhow::Result<Vec<Door>> {
    match app::bind(listen) {
        Err(taken) if !listen.port_asked => {
            println!("{taken:#}\nThe demo takes a free port instead.");
            app::bind(&Listen { ports: vec![0], ..listen.clone() })
        }
        bound => bound,
    }
}

async fn switch_on() -> anyhow::Result<SimulatedPc> {
    let ollama = Ollama::new(Settings {
        load: Duration::from_secs(2),
        first_token: Duration::from_millis(300),
        token_gap: Duration::from_millis(60),
        tokens: 24,
        ..Settings::default()
    });
    let pc = PcSettings { sleeps_after: Some(SLEEPS_AFTER), ..PcSettings::new(MAC.parse()?) };
    Ok(SimulatedPc::start(ollama, pc).await?)
}

/// The settings a person would make for this PC; nothing of the user's own, and no state on disk.
fn config_for(pc: &SimulatedPc) -> Result<Config, Failure> {
    let args = ServeArgs::default()
        .with("ollama-url", &format!("http://{}", pc.address()))
        .with("wake-mac", &pc.mac().to_string())
        .with("wake-broadcast", &pc.wake_address().ip().to_string())
        .with("wake-port", &pc.wake_address().port().to_string());
    let nowhere = std::env::temp_dir().join("ollama-proxy-demo-has-no-settings");
    let mut config = config::load(&args, &Env::new(), &nowhere).map_err(|faults| settings(&faults))?;
    config.data_dir = None;
    config.notes.clear();
    Ok(config)
}

fn introduce(pc: &SimulatedPc, ours: Option<SocketAddr>) {
    let port = ours.map_or(11434, |address| address.port());
    let base = format!("http://localhost:{port}");
    println!(
        "\nA simulated GPU PC runs at {}. It falls asleep after {} s without work and then answers nothing.\n\
         The proxy stands in front of it at {base} and wakes it by a magic packet to {} (UDP).",
        pc.address(),
        SLEEPS_AFTER.as_secs(),
        pc.wake_address(),
    );
    if cfg!(not(target_os = "linux")) {
        println!("On this system the sleeping PC takes connections and stays silent, where a real one would not take them.");
    }
    println!(
        "\nTry, now and again after it fell asleep:\n\n  \
         curl {base}/api/tags\n  \
         curl {base}/api/chat -d '{{\"model\":\"llama3.2:3b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'\n  \
         curl {base}/v1/chat/completions -d '{{\"model\":\"llama3.2:3b\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'\n\n\
         Or open {base}/ in a browser. Ctrl-C ends the demo.\n"
    );
}

/// What happens to the PC, as it happens.
async fn tell(mut events: broadcast::Receiver<PcEvent>) {
    let started = Instant::now();
    loop {
        let what = match events.recv().await {
            Ok(PcEvent::Asleep) => "fell asleep: it answers nothing now. Lists still come at once; a chat wakes it",
            Ok(PcEvent::PacketSeen) => "got a magic packet with its MAC",
            Ok(PcEvent::Waking) => "is waking up, which takes 3 s here",
            Ok(PcEvent::Awake) => "is awake",
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        println!("[{:6.1} s] The PC {what}.", started.elapsed().as_secs_f64());
    }
}
