//! A GPU host of the laboratory as a test declares it and then drives it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::frame::{Frame, Kind};
use crate::program::{Dialogue, eventually, example};

/// What wakes a sleeping host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wakes {
    /// Only a magic packet for its own card.
    ByMagic,
    /// A magic packet or the beginning of any TCP connection.
    BySyn,
    /// A magic packet; asleep its card answers ARP.
    ByMagicAnsweringArp,
    /// Nothing.
    Never,
}

/// A host as a test declares it.
#[derive(Clone)]
pub struct Machine {
    /// Name of its namespace.
    pub name: String,
    /// Address with prefix length.
    pub address: String,
    /// Hardware address.
    pub mac: String,
    /// The bridge it is plugged into.
    pub lan: String,
    /// Its gateway, if the network has one.
    pub gateway: Option<String>,
    wakes: Wakes,
    arms: Duration,
    resume: Duration,
    boot: Duration,
    simulator: Vec<(String, String)>,
}

impl Machine {
    /// The usual host `gpu`: 10.77.0.11, woken by a magic packet, up one second later, quick to answer.
    pub fn usual() -> Self {
        Self {
            name: "gpu".into(),
            address: "10.77.0.11/24".into(),
            mac: "02:00:00:00:77:11".into(),
            lan: "home".into(),
            gateway: None,
            wakes: Wakes::ByMagic,
            arms: Duration::ZERO,
            resume: Duration::from_secs(1),
            boot: Duration::ZERO,
            simulator: Vec::new(),
        }
        .simulates("--first-token", "50ms")
        .simulates("--token-gap", "20ms")
        .simulates("--tokens", "5")
    }

    /// Name of its namespace and hardware address, for a second host.
    pub fn called(mut self, name: &str, mac: &str) -> Self {
        (self.name, self.mac) = (name.into(), mac.into());
        self
    }

    /// What wakes it.
    pub fn wakes(mut self, wakes: Wakes) -> Self {
        self.wakes = wakes;
        self
    }

    /// For so long after it fell asleep its card does not wake it yet: packets that come then are lost.
    pub fn arms_after(mut self, time: Duration) -> Self {
        self.arms = time;
        self
    }

    /// From the frame that wakes it until it answers again.
    pub fn resume(mut self, time: Duration) -> Self {
        self.resume = time;
        self
    }

    /// It is switched off instead of suspended, and refuses connections for this long after the resume.
    pub fn boot(mut self, time: Duration) -> Self {
        self.boot = time;
        self
    }

    /// Address with prefix length, and the bridge it is plugged into.
    pub fn at(mut self, lan: &str, address: &str) -> Self {
        (self.lan, self.address) = (lan.into(), address.into());
        self
    }

    /// The router it answers through.
    pub fn gateway(mut self, gateway: &str) -> Self {
        self.gateway = Some(gateway.into());
        self
    }

    /// A further setting of the simulated Ollama, such as `("--load", "2s")`; the last one given counts.
    pub fn simulates(mut self, flag: &str, value: &str) -> Self {
        self.simulator.retain(|(known, _)| known != flag);
        self.simulator.push((flag.to_owned(), value.to_owned()));
        self
    }

    /// A model on the disk of its Ollama, instead of the usual ones; may be repeated.
    pub fn with_model(mut self, name: &str, size: &str) -> Self {
        self.simulator.push(("--model".to_owned(), format!("{name}={size}")));
        self
    }

    /// Where its Ollama listens.
    pub fn url(&self) -> String {
        format!("http://{}:11434", self.ip())
    }

    /// The address alone.
    pub fn ip(&self) -> &str {
        self.address.split('/').next().unwrap()
    }

    fn command(&self) -> Vec<String> {
        let mode = match self.wakes {
            Wakes::ByMagic => "magic",
            Wakes::BySyn => "syn",
            Wakes::ByMagicAnsweringArp => "arp",
            Wakes::Never => "never",
        };
        let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
        let mut command = vec![text(example("lab_host")), self.mac.clone(), mode.into()];
        command.extend([self.arms, self.resume, self.boot].map(|time| time.as_millis().to_string()));
        command.extend([text(example("simulated_ollama")), "--listen".into(), "0.0.0.0:11434".into(), "--control".into()]);
        command.extend(self.simulator.iter().flat_map(|(flag, value)| [flag.clone(), value.clone()]));
        command
    }
}

/// The state of a host's power.
#[derive(Debug, Deserialize)]
pub struct Status {
    /// `awake`, `asleep`, `resuming` or `booting`.
    pub power: String,
    /// How often a frame has woken it.
    pub woken: u32,
    /// Magic packets for its card so far, awake or not.
    pub magic: u32,
    /// When the last frame came that woke it, in Unix milliseconds.
    pub woken_at: u64,
    /// When it was up again after that.
    pub up_at: u64,
}

impl Status {
    /// How long the host itself took from the last waking frame until it was up.
    pub fn took(&self) -> Duration {
        Duration::from_millis(self.up_at.saturating_sub(self.woken_at))
    }
}

/// A running host.
pub struct Sleeper {
    dialogue: Dialogue,
}

impl Sleeper {
    /// Starts the host, awake.
    pub fn start(namespace: &str, logs: &Path, machine: &Machine) -> Self {
        Self { dialogue: Dialogue::start(namespace, logs, &machine.name, &machine.command()) }
    }

    /// Puts it to sleep at once, whatever it is doing.
    pub fn sleep(&self) {
        self.dialogue.ask("sleep");
    }

    /// Wakes it at once, as a person at its keyboard does.
    pub fn wake_by_hand(&self) {
        self.dialogue.ask("wake");
    }

    /// Ends its Ollama; the host stays up and its port refuses.
    pub fn kill_ollama(&self) {
        self.dialogue.ask("kill-ollama");
    }

    /// Starts its Ollama again.
    pub fn start_ollama(&self) {
        self.dialogue.ask("start-ollama");
    }

    /// The state of its power.
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.dialogue.ask("status")).unwrap()
    }

    /// Waits until it is awake.
    #[track_caller]
    pub fn until_awake(&self, limit: Duration) {
        eventually("the host is awake", limit, || self.status().power == "awake");
    }

    /// How many frames its card has seen; a mark for [`Sleeper::frames_since`].
    pub fn mark(&self) -> usize {
        self.dialogue.ask("mark").parse().unwrap()
    }

    /// Every frame since a mark.
    pub fn frames_since(&self, mark: usize) -> Vec<Frame> {
        serde_json::from_str(&self.dialogue.ask(&format!("frames {mark}"))).unwrap()
    }

    /// IPv4 and ARP frames since a mark from the card with address `mac`.
    pub fn frames_from(&self, mac: &str, mark: usize) -> Vec<Frame> {
        let mut frames = self.frames_since(mark);
        frames.retain(|frame| frame.from == mac && matches!(frame.kind, Kind::Arp | Kind::Ipv4));
        frames
    }

    /// Changes how its simulated Ollama behaves, such as `{"token_gap_ms": 50}`.
    pub fn set(&self, change: &Value) {
        self.dialogue.ask(&format!("ollama POST /sim/set {change}"));
    }

    /// Orders a failure, such as `{"next": "busy_503", "times": 3}`.
    pub fn fail(&self, order: &Value) {
        let told = self.dialogue.ask(&format!("ollama POST /sim/fail {order}"));
        assert_eq!(told, r#"{"ok":true}"#);
    }

    /// Removes a model on the machine itself, which tells the proxy nothing.
    pub fn remove_model(&self, model: &str) {
        self.dialogue.ask(&format!("ollama DELETE /api/delete {}", serde_json::json!({ "model": model })));
    }

    /// The names of the models on its disk.
    pub fn models(&self) -> Vec<String> {
        let tags: Value = serde_json::from_str(&self.dialogue.ask("ollama GET /api/tags")).unwrap();
        tags["models"].as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect()
    }

    /// What its simulated Ollama has counted.
    pub fn counters(&self) -> Value {
        serde_json::from_str(&self.dialogue.ask("ollama GET /sim/counters")).unwrap()
    }
}
