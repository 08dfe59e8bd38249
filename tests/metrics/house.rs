//! A simulated PC with the real program in front of it.

use std::time::Duration;

use ollama_proxy::simulator::{Ollama, PcSettings, Settings, SimulatedPc};
use tokio::runtime::Runtime;

use crate::page::{Format, Page};
use crate::rig::{PATIENCE, Proxy, Reply, Scratch, say};

const MAC: &str = "02:00:00:00:00:77";

const WAKEABLE: &[&str] = &["--wake-mac", MAC, "--wake-broadcast", "127.0.0.1"];

/// The proxy before the PC before its clock: they end in this order.
pub struct House {
    pub proxy: Proxy,
    pub pc: SimulatedPc,
    _clock: Runtime,
    _scratch: Scratch,
}

impl House {
    /// With a PC that is awake and always on, and whose list the proxy has read.
    pub fn awake(settings: Settings) -> Self {
        let house = Self::new(settings, false, &[]);
        house.proxy.until("/api/tags", "llama3.2:3b");
        house
    }

    /// With a PC that sleeps, and that a magic packet wakes within half a second.
    pub fn asleep() -> Self {
        Self::new(Settings::default(), true, WAKEABLE)
    }

    /// With a PC that may sleep and does not: no connection to it rests.
    pub fn sleeper_that_is_awake() -> Self {
        let house = Self::new(Settings::default(), false, WAKEABLE);
        house.proxy.until("/api/tags", "llama3.2:3b");
        house
    }

    /// With a PC that sleeps and whose MAC is set wrong, so that nothing wakes it.
    pub fn deaf() -> Self {
        let args = ["--wake-mac", "02:00:00:00:00:78", "--wake-broadcast", "127.0.0.1", "--wake-timeout", "2"];
        Self::new(Settings::default(), true, &args)
    }

    fn new(settings: Settings, asleep: bool, args: &[&str]) -> Self {
        let clock = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let pc = PcSettings { asleep, resume: Duration::from_secs(3), ..PcSettings::new(MAC.parse().unwrap()) };
        let pc = clock.block_on(SimulatedPc::start(Ollama::new(settings), pc)).unwrap();
        let scratch = Scratch::new();
        let (url, port) = (format!("http://{}", pc.address()), pc.wake_address().port().to_string());
        let mut all = vec!["--ollama-url", &url];
        all.extend(args);
        if !args.is_empty() {
            all.extend(["--wake-port", &port]);
        }
        let proxy = Proxy::start(&scratch, &all);
        Self { proxy, pc, _clock: clock, _scratch: scratch }
    }

    pub fn scrape(&self, accept: &str) -> Reply {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        say(self.proxy.address, head.as_bytes())
    }

    pub fn page(&self) -> Page {
        Page::parse(&self.scrape("*/*").body, Format::Text)
    }

    /// Scrapes until the series with these labels sum up to `value`; a request is counted just after its end.
    pub fn until(&self, name: &str, labels: &[(&str, &str)], value: f64) -> Page {
        let mut page = self.page();
        for _ in 0..PATIENCE.as_millis() / 20 {
            if page.sum(name, labels).is_some_and(|sum| (sum - value).abs() < 0.001) {
                return page;
            }
            crate::rig::pause();
            page = self.page();
        }
        panic!("{name} {labels:?} is {:?} and never {value}", page.sum(name, labels));
    }
}
