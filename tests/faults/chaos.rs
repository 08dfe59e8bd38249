//! The faults, and the dice that choose them: each begins at some moment, most end by themselves a few seconds later.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::house::{ATTIC, House, SLEEPERS, nodes};
use crate::program::pause;

/// What a simulated Ollama may do with its next requests.
const FAILURES: [&str; 9] = [
    "close_before_head",
    "reset_before_head",
    "close_after_head",
    "reset_after_head",
    "reset_mid_stream",
    "end_early",
    "error_line",
    "busy_503",
    "status_500",
];

/// What a provider may do with its next requests.
const OF_PROVIDERS: [&str; 9] =
    ["too_many", "broken", "unauthorized", "hidden", "hidden_later", "reset", "end_early", "stall", "page"];

/// Where frames are lost or late.
const PLACES: [&str; 5] = ["tower", "attic", "nas", "phone", "cloud"];

/// A fault that lasts, by the place that it holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// This host's Ollama does not run.
    NoOllama(&'static str),
    /// Frames to this machine are lost.
    Loss(&'static str),
    /// What this machine sends waits in a queue.
    Delay(&'static str),
    /// The phone is out of reach.
    LinkDown,
    /// Names do not resolve, or only after a long time.
    Names,
    /// The data directory takes nothing more.
    DiskFull,
    /// The data directory may not be written to.
    DiskReadOnly,
    /// The node file is another one.
    NodeFile,
}

impl Lasting {
    /// Of each only one holds at a time; a disk that may not be written to cannot be emptied either.
    fn excludes(self, other: Self) -> bool {
        let disk = |lasting| matches!(lasting, Self::DiskFull | Self::DiskReadOnly);
        self == other || disk(self) && disk(other)
    }
}

/// Faults over a house.
pub struct Chaos {
    dice: Dice,
    lasting: Vec<(Instant, Lasting)>,
    begun: Instant,
}

impl Chaos {
    /// The row of faults of this seed.
    pub fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), lasting: Vec::new(), begun: Instant::now() }
    }

    /// Lets faults come for so long, then ends all that last.
    pub fn rage(&mut self, house: &mut House, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.end_those_before(house, Instant::now());
            self.strike(house);
            house.proxy.assert_running();
            pause(Duration::from_millis(self.dice.between(100, 900)));
        }
        self.end_those_before(house, Instant::now() + Duration::from_secs(3600));
    }

    fn tell(&self, what: &str) {
        println!("{:6.1} s: {what}", self.begun.elapsed().as_secs_f64());
    }

    fn strike(&mut self, house: &mut House) {
        match self.dice.between(0, 99) {
            0..=17 => self.sleep_or_wake(house),
            18..=32 => self.failure(house),
            33..=43 => self.failure_of_provider(house),
            44..=49 => self.pace(house),
            50..=56 => self.begin(house, |dice| Lasting::NoOllama(dice.one_of(&["tower", "attic", "nas"]))),
            57..=67 => self.begin(house, |dice| Lasting::Loss(dice.one_of(&PLACES))),
            68..=73 => self.begin(house, |dice| Lasting::Delay(dice.one_of(&PLACES))),
            74..=77 => self.begin(house, |_| Lasting::LinkDown),
            78..=82 => self.begin(house, |_| Lasting::Names),
            83..=87 => self.begin(house, |dice| if dice.percent(50) { Lasting::DiskFull } else { Lasting::DiskReadOnly }),
            88..=94 => self.begin(house, |_| Lasting::NodeFile),
            _ => {
                // Half a node file is refused at start, as it should be: nobody would serve. And while the phone is away an
                // orderly end waits for its streams, which keeps it away until the proxy has given it up and can tell it nothing.
                if self.lasting.iter().any(|(_, lasting)| matches!(lasting, Lasting::NodeFile | Lasting::LinkDown)) {
                    return;
                }
                let orderly = self.dice.percent(50);
                self.tell(if orderly { "the proxy ends and starts again" } else { "the proxy is killed and starts again" });
                house.restart(orderly);
            }
        }
    }

    fn sleep_or_wake(&mut self, house: &House) {
        let name = self.dice.one_of(&SLEEPERS);
        let host = house.host(name);
        match host.status().power.as_str() {
            "awake" => {
                self.tell(&format!("{name} falls asleep"));
                host.sleep();
            }
            // The other one boots, which only a packet begins.
            "asleep" if name == "tower" && self.dice.percent(30) => {
                self.tell("tower is woken by hand");
                host.wake_by_hand();
            }
            _ => {}
        }
    }

    /// A host whose Ollama can be talked to.
    fn reachable(&mut self, house: &House) -> Option<&'static str> {
        let runs = |name| !self.lasting.iter().any(|(_, lasting)| *lasting == Lasting::NoOllama(name));
        let awake = |name| house.host(name).status().power == "awake";
        let names: Vec<_> = ["tower", "attic", "nas"].into_iter().filter(|name| runs(name) && awake(name)).collect();
        (!names.is_empty()).then(|| self.dice.one_of(&names))
    }

    fn failure(&mut self, house: &House) {
        let (failure, times) = (self.dice.one_of(&FAILURES), self.dice.between(1, 3));
        if let Some(name) = self.reachable(house) {
            self.tell(&format!("{name}: {failure}, {times} times"));
            house.host(name).fail(&json!({ "next": failure, "times": times }));
        }
    }

    fn failure_of_provider(&mut self, house: &House) {
        let (failure, times) = (self.dice.one_of(&OF_PROVIDERS), self.dice.between(1, 3));
        self.tell(&format!("the providers: {failure}, {times} times"));
        house.fail_providers(failure, times);
    }

    fn pace(&mut self, house: &House) {
        let load = if self.dice.percent(30) { self.dice.between(200, 4000) } else { 0 };
        let (first, gap) = (self.dice.between(0, 1500), self.dice.between(0, 60));
        if let Some(name) = self.reachable(house) {
            self.tell(&format!("{name}: loads in {load} ms, first token after {first} ms, then one each {gap} ms"));
            house.host(name).set(&json!({ "load_ms": load, "first_token_ms": first, "token_gap_ms": gap }));
        }
    }

    fn begin(&mut self, house: &mut House, choose: impl FnOnce(&mut Dice) -> Lasting) {
        let lasting = choose(&mut self.dice);
        let until = Instant::now() + Duration::from_millis(self.dice.between(500, 5000));
        if !self.lasting.iter().any(|(_, known)| known.excludes(lasting)) && self.take_hold(house, lasting) {
            self.lasting.push((until, lasting));
        }
    }

    /// Begins a fault that lasts; `false`: it could not.
    fn take_hold(&mut self, house: &mut House, lasting: Lasting) -> bool {
        self.tell(&format!("{lasting:?}"));
        match lasting {
            Lasting::NoOllama(name) => house.host(name).kill_ollama(),
            Lasting::Loss(name) => lose(house, name, self.dice.between(1, 30)),
            Lasting::Delay(name) => delay(house, name, &mut self.dice),
            Lasting::LinkDown => filter(house, "phone", "away", &["ingress", "egress"], "drop"),
            Lasting::Names => {
                // Nobody has the second address: a name server that never answers.
                house.network.name_server("pi", if self.dice.percent(50) { "127.0.0.1" } else { "10.77.0.99" });
                house.network.resolve("pi", None);
            }
            Lasting::DiskFull => house.proxy.disk().fill(),
            Lasting::DiskReadOnly => return house.proxy.disk().read_only(true),
            Lasting::NodeFile => {
                house.write_nodes(&another_file(&mut self.dice));
                // Otherwise it finds out by itself that the file is another one.
                if self.dice.percent(50) {
                    house.proxy.hang_up();
                }
            }
        }
        true
    }

    fn end_those_before(&mut self, house: &mut House, now: Instant) {
        let (over, last): (Vec<_>, Vec<_>) = self.lasting.drain(..).partition(|(until, _)| *until <= now);
        self.lasting = last;
        for (_, lasting) in over {
            self.tell(&format!("no more {lasting:?}"));
            let_go(house, lasting);
        }
    }
}

fn let_go(house: &mut House, lasting: Lasting) {
    match lasting {
        Lasting::NoOllama(name) => house.host(name).start_ollama(),
        Lasting::Loss(name) => drop(house.network.run(name, "nft delete table netdev loss")),
        Lasting::Delay(name) => drop(house.network.run(name, "tc qdisc del dev eth0 root")),
        Lasting::LinkDown => drop(house.network.run("phone", "nft delete table netdev away")),
        Lasting::Names => {
            house.network.name_server("pi", "127.0.0.1");
            house.network.resolve("pi", Some(ATTIC));
        }
        Lasting::DiskFull => house.proxy.disk().free(),
        Lasting::DiskReadOnly => assert!(house.proxy.disk().read_only(false)),
        Lasting::NodeFile => {
            house.write_nodes(&nodes().to_string());
            house.proxy.hang_up();
        }
    }
}

/// So many of a hundred frames never arrive.
fn lose(house: &House, name: &str, percent: u64) {
    filter(house, name, "loss", &["ingress"], &format!("numgen random mod 100 < {percent} drop"));
}

/// A rule for the frames of a machine's card, in a table that can be deleted again.
fn filter(house: &House, name: &str, table: &str, hooks: &[&str], rule: &str) {
    let chain =
        |hook| format!("chain {hook} {{\n type filter hook {hook} device eth0 priority 1; policy accept;\n {rule}\n }}\n");
    let rules = format!("table netdev {table} {{\n {} }}\n", hooks.iter().map(chain).collect::<String>());
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &house.network.namespace(name), "nft", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused: {rules}");
}

/// Frames wait: by the kernel's emulator, or where it has none in the queue of a slow line.
fn delay(house: &House, name: &str, dice: &mut Dice) {
    let (wait, jitter) = (dice.between(5, 200), dice.between(1, 100));
    let emulated = format!("tc qdisc replace dev eth0 root netem delay {wait}ms {jitter}ms");
    let namespace = house.network.namespace(name);
    let words = ["netns", "exec", namespace.as_str()].into_iter().chain(emulated.split(' '));
    let done = Command::new("ip").args(words).stderr(Stdio::null()).status();
    if !done.is_ok_and(|status| status.success()) {
        let rate = dice.between(64, 400);
        house.network.run(name, &format!("tc qdisc replace dev eth0 root tbf rate {rate}kbit burst 3kb latency 500ms"));
    }
}

/// A node file as owners leave it behind: half written, with a PC that is not there, with one that takes no part.
fn another_file(dice: &mut Dice) -> String {
    let mut file = nodes();
    match dice.between(0, 3) {
        0 => return file.to_string()[..80].to_owned(),
        1 => file["nodes"].as_array_mut().unwrap().push(json!({ "name": "ghost", "hosts": ["10.77.0.98"], "always_on": true })),
        2 => file["nodes"][1]["enabled"] = false.into(),
        _ => drop(file["nodes"].as_array_mut().unwrap().remove(2)),
    }
    file.to_string()
}
