//! A GPU PC for the network laboratory: its network card's firmware and its power, around a simulated Ollama.
//!
//! It runs as root in a network namespace of its own and takes one command per line on standard input, with one line of
//! answer each: `sleep`, `wake`, `status`, `mark`, `frames N`, `kill-ollama`, `start-ollama`, `ollama METHOD PATH [BODY]`.
//! It ends, and Ollama with it, when standard input closes.
//!
//! Usage: `lab_host MAC magic|syn|arp|never ARM_MS RESUME_MS BOOT_MS COMMAND…`. For ARM_MS after it fell asleep its card
//! does not wake it yet: frames that come then are lost. A boot time above zero means that the machine is
//! switched off instead of suspended: after the resume its port refuses for that long, and Ollama starts anew.

mod frame;
mod nic;
mod ollama;

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use frame::Frame;
use ollama::Ollama;
use tokio::time::Instant;

const INTERFACE: &str = "eth0";

/// A marker of ours that the tap has not seen after this time is lost.
const MARKED: Duration = Duration::from_secs(1);

/// What moves the machine.
pub enum Event {
    /// A line of standard input.
    Command(String),
    /// The tap saw this.
    Frame(Frame),
    /// The tap saw a marker of ours.
    Marker(u64),
    /// Standard input is closed.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Only a magic packet for its own card wakes it.
    Magic,
    /// A magic packet does, and so does the first segment of any TCP connection (Windows' default patterns).
    Syn,
    /// Like `Magic`, and its card answers ARP while it sleeps.
    Arp,
    /// Nothing wakes it.
    Never,
}

#[derive(Clone, Copy)]
enum Power {
    Awake,
    Asleep,
    Resuming { until: Instant },
    Booting { until: Instant },
}

struct Machine {
    mode: Mode,
    /// From falling asleep until its card is armed, in milliseconds.
    arms: u64,
    resume: Duration,
    boot: Duration,
    power: Power,
    ollama: Ollama,
    frames: Vec<Frame>,
    marks: u64,
    woken: u32,
    /// When it last fell asleep, in Unix milliseconds.
    slept_at: u64,
    /// When the frame that woke it last came and when it was up again, in Unix milliseconds.
    last_wake: (u64, u64),
}

impl Machine {
    fn run(mut self, events: &Receiver<Event>) -> io::Result<()> {
        loop {
            let event = match self.power {
                Power::Resuming { until } | Power::Booting { until } => {
                    events.recv_timeout(until.saturating_duration_since(Instant::now()))
                }
                Power::Awake | Power::Asleep => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Command(line)) => {
                    self.catch_up(events)?;
                    let answer = self.obey(&line).unwrap_or_else(|fault| format!("failed: {fault}"));
                    println!("{answer}");
                }
                Ok(Event::Frame(frame)) => self.receive(frame),
                Ok(Event::Marker(_)) => {}
                Err(RecvTimeoutError::Timeout) => self.rise()?,
                Ok(Event::Gone) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Takes in every frame that has arrived until now, so that an answer leaves none out.
    fn catch_up(&mut self, events: &Receiver<Event>) -> io::Result<()> {
        let begun = Instant::now();
        self.marks += 1;
        let this_time = self.marks;
        nic::mark(self.marks)?;
        loop {
            match events.recv_timeout(MARKED) {
                Ok(Event::Frame(frame)) => self.receive(frame),
                Ok(Event::Marker(number)) if number < this_time => {}
                Ok(Event::Marker(_)) => return Ok(()),
                Ok(Event::Command(_) | Event::Gone) => return Err(io::Error::other("the tests did not wait for an answer")),
                // A tap that was full has lost the marker: another one says the same.
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < 60 * MARKED => {
                    self.marks += 1;
                    nic::mark(self.marks)?;
                }
                Err(fault) => return Err(io::Error::other(fault)),
            }
        }
    }

    fn receive(&mut self, frame: Frame) {
        let wakes = match self.mode {
            Mode::Magic | Mode::Arp => frame.magic,
            Mode::Syn => frame.magic || frame.syn,
            Mode::Never => false,
        };
        // What came while it was still falling asleep found its card not yet armed.
        if wakes && matches!(self.power, Power::Asleep) && frame.at >= self.slept_at + self.arms {
            self.woken += 1;
            self.last_wake = (frame.at, 0);
            self.power = Power::Resuming { until: Instant::now() + self.resume };
        }
        self.frames.push(frame);
    }

    /// One step upward: the card hears again, then (after a boot) Ollama starts.
    fn rise(&mut self) -> io::Result<()> {
        match self.power {
            Power::Resuming { .. } if self.boot.is_zero() => self.up()?,
            Power::Resuming { .. } => {
                nic::hear()?;
                self.power = Power::Booting { until: Instant::now() + self.boot };
            }
            Power::Booting { .. } => {
                self.ollama.start()?;
                self.power = Power::Awake;
                self.last_wake.1 = nic::unix_ms();
            }
            Power::Awake | Power::Asleep => {}
        }
        Ok(())
    }

    fn up(&mut self) -> io::Result<()> {
        nic::hear()?;
        self.ollama.signal("CONT")?;
        self.power = Power::Awake;
        self.last_wake.1 = nic::unix_ms();
        Ok(())
    }

    fn fall_asleep(&mut self) -> io::Result<()> {
        if !matches!(self.power, Power::Awake) {
            return Err(io::Error::other("it is not awake"));
        }
        nic::deafen(INTERFACE, self.mode == Mode::Arp)?;
        if self.boot.is_zero() {
            self.ollama.signal("STOP")?;
        } else {
            self.ollama.kill();
        }
        self.power = Power::Asleep;
        self.slept_at = nic::unix_ms();
        Ok(())
    }

    fn obey(&mut self, line: &str) -> io::Result<String> {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "sleep" => self.fall_asleep()?,
            // A key pressed on a machine that is up, or rising, changes nothing.
            "wake" if !matches!(self.power, Power::Asleep) => {}
            "wake" => self.up()?,
            "kill-ollama" => self.ollama.kill(),
            "start-ollama" => self.ollama.start()?,
            "mark" => return Ok(self.frames.len().to_string()),
            "status" => return Ok(self.status()),
            "frames" => {
                let first = word().parse().unwrap_or(0);
                return Ok(serde_json::to_string(self.frames.get(first..).unwrap_or_default())?);
            }
            "ollama" if matches!(self.power, Power::Awake) => {
                let (method, path) = (word(), word());
                return self.ollama.ask(method, path, word());
            }
            other => return Err(io::Error::other(format!("'{other}' is unknown or impossible now"))),
        }
        Ok("ok".into())
    }

    fn status(&self) -> String {
        let power = match self.power {
            Power::Awake => "awake",
            Power::Asleep => "asleep",
            Power::Resuming { .. } => "resuming",
            Power::Booting { .. } => "booting",
        };
        let magic = self.frames.iter().filter(|frame| frame.magic).count();
        serde_json::json!({
            "power": power, "woken": self.woken, "magic": magic,
            "woken_at": self.last_wake.0, "up_at": self.last_wake.1,
        })
        .to_string()
    }
}

fn commands(events: &Sender<Event>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if events.send(Event::Command(line)).is_err() {
            return;
        }
    }
    let _ = events.send(Event::Gone);
}

fn settings() -> Option<([u8; 6], Machine)> {
    let mut arguments = std::env::args().skip(1);
    let mac: Option<Vec<u8>> = arguments.next()?.split(':').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let mode = match arguments.next()?.as_str() {
        "magic" => Mode::Magic,
        "syn" => Mode::Syn,
        "arp" => Mode::Arp,
        "never" => Mode::Never,
        _ => return None,
    };
    let arms = arguments.next()?.parse().ok()?;
    let resume = Duration::from_millis(arguments.next()?.parse().ok()?);
    let boot = Duration::from_millis(arguments.next()?.parse().ok()?);
    let machine = Machine {
        mode,
        arms,
        resume,
        boot,
        power: Power::Awake,
        ollama: Ollama::new(arguments.collect()),
        frames: Vec::new(),
        marks: 0,
        woken: 0,
        slept_at: 0,
        last_wake: (0, 0),
    };
    Some((mac?.try_into().ok()?, machine))
}

fn main() -> io::Result<()> {
    let Some((mac, mut machine)) = settings() else {
        eprintln!("usage: lab_host MAC magic|syn|arp|never ARM_MS RESUME_MS BOOT_MS COMMAND…");
        std::process::exit(2);
    };
    let (sender, events) = channel();
    nic::tap(mac, sender.clone())?;
    machine.ollama.start()?;
    println!("ready");
    std::thread::spawn(move || commands(&sender));
    machine.run(&events)
}
