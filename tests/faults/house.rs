//! The house that the faults come over: two PCs that sleep, one that nobody ever asks for, one always on, the Pi with the
//! proxy and some clients, a phone with others, and two providers beyond it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::network::{Network, missing};
use crate::program::{Dialogue, eventually, example, pause};
use crate::proxy::Proxy;
use crate::sleeper::{Machine, Sleeper};
use crate::traffic::{BOUND, Tally, Traffic, unix_ms};

/// The Pi's card.
pub const PI_MAC: &str = "02:00:00:00:77:02";
/// Those that fall asleep and are woken.
pub const SLEEPERS: [&str; 2] = ["tower", "attic"];
/// All that run an Ollama.
pub const HOSTS: [&str; 4] = ["tower", "attic", "nas", "hermit"];
/// What the attic's name resolves to.
pub const ATTIC: (&str, &str) = ("10.77.0.22", "attic.lan");

/// Where the stand-ins of OpenAI and Anthropic listen.
pub const PROVIDERS: [&str; 2] = ["10.77.0.30:8001", "10.77.0.30:8002"];

/// An end that is hung up on may be looked for so long: longer than the kernel repeats what a dead connection still had to send.
const SILENCE: Duration = Duration::from_secs(12);

/// Everything, running. Dropped in this order: programs first, then their network.
pub struct House {
    pub traffic: Vec<Traffic>,
    pub proxy: Proxy,
    hosts: Vec<(Machine, Sleeper)>,
    cloud: Dialogue,
    pub network: Network,
    logs: PathBuf,
    /// When the proxy was down by our doing, in Unix milliseconds.
    pub pauses: Vec<(u64, u64)>,
    /// What came of all requests so far.
    pub sum: Tally,
}

fn machines() -> Vec<Machine> {
    let machine = |name: &str, number: u8| {
        let machine = Machine::usual().called(name, &format!("02:00:00:00:77:2{number}"));
        let machine = machine.at("home", &format!("10.77.0.2{number}/24")).resume(Duration::from_millis(700));
        machine.simulates("--parallel", "4").simulates("--tokens", "60").simulates("--word", name)
    };
    let shared = ("llama3.2:3b", "3.2B");
    vec![
        machine("tower", 1).with_model(shared.0, shared.1).with_model("deep:7b", "7.0B"),
        machine("attic", 2).with_model(shared.0, shared.1).with_model("wide:7b", "7.0B").boot(Duration::from_millis(1200)),
        machine("nas", 3).with_model(shared.0, shared.1),
        machine("hermit", 4).with_model("hidden:1b", "1.0B"),
    ]
}

/// The node file of this house.
pub fn nodes() -> Value {
    let node = |machine: &Machine| {
        let host = if machine.name == "attic" { ATTIC.1 } else { machine.ip() };
        let mut node = json!({ "name": machine.name, "hosts": [host], "port": 11434 });
        if machine.name != "nas" {
            node["wake"] = json!({ "mac": machine.mac });
        }
        node
    };
    json!({ "nodes": machines().iter().map(node).collect::<Vec<_>>() })
}

fn wire(machines: &[Machine]) -> Network {
    let mut network = Network::new();
    network.add("pi");
    network.name_server("pi", "127.0.0.1");
    network.resolve("pi", Some(ATTIC));
    network.plug("pi", "eth0", "home", PI_MAC, "10.77.0.2/24");
    network.add("phone");
    network.plug("phone", "eth0", "home", "02:00:00:00:77:05", "10.77.0.5/24");
    network.add("cloud");
    network.plug("cloud", "eth0", "home", "02:00:00:00:77:30", "10.77.0.30/24");
    for machine in machines {
        network.add(&machine.name);
        network.plug(&machine.name, "eth0", &machine.lan, &machine.mac, &machine.address);
    }
    network.until_it_passes_frames();
    network
}

impl House {
    /// Builds it and waits until the proxy knows and has saved what its nodes hold. `None`, loudly, where there can be none.
    pub fn start(seed: u64) -> Option<Self> {
        if let Some(reason) = missing() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            println!("SKIPPED: {reason}");
            return None;
        }
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("faults");
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).unwrap();
        let machines = machines();
        let network = wire(&machines);
        let hosts = machines.into_iter().map(|machine| {
            let sleeper = Sleeper::start(&network.namespace(&machine.name), &logs, &machine);
            (machine, sleeper)
        });
        let hosts = hosts.collect();
        let start =
            |name: &str, to: &str, clients, seed| Traffic::start(&network.namespace(name), &logs, name, to, clients, seed);
        let mut traffic = vec![start("pi", "127.0.0.1:11434", 14, seed), start("phone", "10.77.0.2:11434", 6, seed ^ 1)];
        traffic.extend(Traffic::of_packages(&network.namespace("pi"), &logs, "127.0.0.1:11434", 4, seed));
        let program = example("lab_cloud").to_str().unwrap().to_owned();
        let command: Vec<String> = [program].into_iter().chain(PROVIDERS.map(str::to_owned)).collect();
        let cloud = Dialogue::start(&network.namespace("cloud"), &logs, "cloud", &command);
        let proxy = Proxy::new(&network.namespace("pi"), &logs);
        let mut house = Self { traffic, proxy, hosts, cloud, network, logs, pauses: Vec::new(), sum: Tally::default() };
        house.write_nodes(&nodes().to_string());
        house.proxy.start();
        house.until_it_answers();
        house.until_all_is_known();
        Some(house)
    }

    /// Puts this into the node file, in one step.
    pub fn write_nodes(&self, text: &str) {
        let file = |name: &str| self.logs.join(name);
        std::fs::write(file("node_config.new"), text).unwrap();
        std::fs::rename(file("node_config.new"), file("node_config.json")).unwrap();
    }

    fn until_it_answers(&mut self) {
        let (traffic, proxy) = (&self.traffic[0], &mut self.proxy);
        eventually("the proxy answers /health", Duration::from_secs(40), || {
            proxy.assert_running();
            traffic.get("/health").0 == 200
        });
    }

    /// A kill must find nothing that was not saved yet: each model's `show` is kept beside the lists.
    fn until_all_is_known(&self) {
        eventually("the proxy has read and saved all lists", Duration::from_secs(60), || {
            let known = self.traffic[0].get("/api/tags").1;
            let models = ["llama3.2:3b", "deep:7b", "wide:7b", "hidden:1b"];
            models.iter().all(|model| known.contains(model)) && self.proxy.disk().counted("state.json", "modelfile") >= 6
        });
    }

    /// The host of that name.
    pub fn host(&self, name: &str) -> &Sleeper {
        &self.hosts.iter().find(|(machine, _)| machine.name == name).unwrap().1
    }

    /// Lets the next answers of the providers go wrong.
    pub fn fail_providers(&self, failure: &str, times: u64) {
        assert_eq!(self.cloud.ask(&format!("fail {failure} {times}")), "ok");
    }

    /// Whether real clients are among those who ask.
    pub fn has_packages(&self) -> bool {
        self.traffic.len() > 2
    }

    /// How often the providers were asked for an answer.
    pub fn asked_of_providers(&self) -> u64 {
        self.cloud.ask("asked").parse().unwrap()
    }

    /// Ends the proxy in an orderly way or as a power cut does, and starts it again.
    pub fn restart(&mut self, orderly: bool) {
        let from = unix_ms();
        if orderly {
            self.proxy.end();
        } else {
            self.proxy.crash();
        }
        self.proxy.start();
        self.until_it_answers();
        self.pauses.push((from, unix_ms()));
    }

    /// What all clients do from now on.
    pub fn mode(&self, mode: &str) {
        self.traffic.iter().for_each(|traffic| traffic.mode(mode));
    }

    /// Waits until every request has ended; fails the test on every breach so far. Returns what came since the last time.
    #[track_caller]
    pub fn settle(&mut self) -> Tally {
        self.mode("none");
        eventually("every request has ended", BOUND + Duration::from_secs(15), || {
            self.traffic.iter().all(|traffic| traffic.busy() == 0)
        });
        let mut tally = Tally::default();
        self.traffic.iter().for_each(|traffic| tally.add(traffic.tally()));
        let breaches = tally.breaches(&self.pauses);
        assert!(
            breaches.is_empty(),
            "{} breaches, the proxy was down {:?}:\n{}",
            breaches.len(),
            self.pauses,
            breaches.join("\n")
        );
        self.proxy.assert_running();
        let log = self.proxy.log();
        assert!(!log.contains("panicked"), "a task died: {:?}", log.lines().find(|line| line.contains("panicked")));
        tally
    }

    /// The sum of a gauge over its series.
    pub fn gauge(&self, name: &str) -> f64 {
        let (status, page) = self.traffic[0].get("/metrics");
        assert!(status == 200 && page.contains(name), "{page}");
        let values =
            page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }

    /// Law 1: with everybody asleep, lookups of all kinds send no sleeper any frame, over a restart too.
    #[track_caller]
    pub fn assert_sleepers_rest(&mut self, restart: Option<bool>) {
        eventually("no PC is being woken", Duration::from_secs(60), || {
            let rising = |power: &str| power == "resuming" || power == "booting";
            !self.traffic[0].get("/nodes").1.contains("\"waking\"")
                && !SLEEPERS.iter().any(|name| rising(&self.host(name).status().power))
        });
        for name in SLEEPERS {
            if self.host(name).status().power == "awake" {
                self.host(name).sleep();
            }
        }
        pause(SILENCE);
        let marks = SLEEPERS.map(|name| self.host(name).mark());
        self.mode("lookups");
        pause(Duration::from_secs(1));
        if let Some(orderly) = restart {
            self.restart(orderly);
        }
        pause(Duration::from_secs(2));
        let tally = self.settle();
        assert!(tally.of("Whole") > 0, "{tally:?}");
        self.sum.add(tally);
        for (name, mark) in SLEEPERS.iter().zip(marks) {
            self.assert_no_frame(name, mark);
        }
    }

    /// Nothing has come from the proxy for this host alone since the mark.
    #[track_caller]
    pub fn assert_no_frame(&self, name: &str, mark: usize) {
        let (machine, sleeper) = self.hosts.iter().find(|(machine, _)| machine.name == name).unwrap();
        let mut frames = sleeper.frames_from(PI_MAC, mark);
        // Packets and questions about other machines are broadcast, and come by here too.
        let for_others = |what: &str| what.starts_with("who has") && !what.starts_with(&format!("who has {} ", machine.ip()));
        frames.retain(|frame| {
            frame.magic || (frame.to != "ff:ff:ff:ff:ff:ff" || frame.what.starts_with("who has")) && !for_others(&frame.what)
        });
        assert!(frames.is_empty(), "{name} got {frames:#?}");
    }
}
