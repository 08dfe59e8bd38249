//! A simulated GPU PC: an Ollama server on loopback that falls asleep, goes silent, and wakes on a magic packet.
//!
//! Asleep it behaves as a suspended machine does to its neighbours: new connections are neither accepted nor refused, and
//! open ones fall silent without an end (`queue` has the details and their limits).

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection;
use super::ollama::Ollama;
use super::queue::Doorstep;
use crate::values::{Mac, boxed};

/// What the simulated PC is like besides its Ollama.
#[derive(Clone, Debug)]
pub struct PcSettings {
    /// The address of its network card: what a magic packet has to name.
    pub mac: Mac,
    /// Where its Ollama listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where its network card listens for magic packets (UDP); port 0 takes any free one.
    pub card: SocketAddr,
    /// It falls asleep when no request ran and no work ended for so long; `None` keeps it awake until told.
    pub sleeps_after: Option<Duration>,
    /// From the magic packet to the first connection that it takes.
    pub resume: Duration,
    /// Zero: it was suspended, and goes on where it stopped. Longer: it was switched off and boots. Then open connections
    /// and loaded models are lost, and after `resume` its system refuses connections for so long before Ollama listens.
    pub boot: Duration,
    /// Whether it starts asleep.
    pub asleep: bool,
}

impl PcSettings {
    /// A PC on free ports of 127.0.0.1, awake, that never falls asleep by itself and needs 3 s to wake.
    pub fn new(mac: Mac) -> Self {
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let resume = Duration::from_secs(3);
        Self { mac, listen: anywhere, card: anywhere, sleeps_after: None, resume, boot: Duration::ZERO, asleep: false }
    }
}

/// A turn in the life of the PC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PcEvent {
    /// It sleeps from now on.
    Asleep,
    /// A magic packet for its card arrived (also while it is awake: then nothing follows).
    PacketSeen,
    /// It is on its way back, and still silent.
    Waking,
    /// It takes connections again.
    Awake,
}

/// The simulated PC. Dropping it switches it off: every connection ends at once.
#[derive(Debug)]
pub struct SimulatedPc {
    ollama: Ollama,
    mac: Mac,
    address: SocketAddr,
    card: SocketAddr,
    events: broadcast::Sender<PcEvent>,
    awake: watch::Receiver<bool>,
    sleep_now: Arc<Notify>,
    _running: JoinSet<()>,
}

impl SimulatedPc {
    /// Switches the PC on; one that starts asleep is silent from the first connection on. Fails when a port is taken.
    pub async fn start(ollama: Ollama, settings: PcSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let card = UdpSocket::bind(settings.card).await?;
        let (address, card_address) = (listener.local_addr()?, card.local_addr()?);
        let (events, _) = broadcast::channel(64);
        let (power, awake) = watch::channel(!settings.asleep);
        let sleep_now = Arc::new(Notify::new());
        let mac = settings.mac;
        let mut door = Doorstep::new(listener)?;
        if settings.asleep {
            // Not left to the task: a connection that came before its first step would be taken, and never answered.
            door.shut().await;
        }
        let life = Life {
            ollama: ollama.clone(),
            settings,
            door,
            card,
            events: events.clone(),
            power,
            sleep_now: sleep_now.clone(),
            open: JoinSet::new(),
        };
        let mut running = JoinSet::new();
        running.spawn(boxed(life.live()));
        Ok(Self { ollama, mac, address, card: card_address, events, awake, sleep_now, _running: running })
    }

    /// The Ollama server on it.
    pub fn ollama(&self) -> &Ollama {
        &self.ollama
    }

    /// The address of its network card.
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Where its Ollama listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it receives magic packets.
    pub fn wake_address(&self) -> SocketAddr {
        self.card
    }

    /// Whether it takes connections now.
    pub fn is_awake(&self) -> bool {
        *self.awake.borrow()
    }

    /// What happens from now on; `is_awake` tells what came before. A slow reader loses the oldest of 64 events.
    pub fn events(&self) -> broadcast::Receiver<PcEvent> {
        self.events.subscribe()
    }

    /// Sends it to sleep whatever it is doing, as a person at the power button would.
    /// `Asleep` is announced when it is done.
    pub fn sleep_now(&self) {
        self.sleep_now.notify_one();
    }
}

/// The task behind the PC.
struct Life {
    ollama: Ollama,
    settings: PcSettings,
    door: Doorstep,
    card: UdpSocket,
    events: broadcast::Sender<PcEvent>,
    power: watch::Sender<bool>,
    sleep_now: Arc<Notify>,
    open: JoinSet<()>,
}

impl Life {
    async fn live(mut self) {
        let mut awake = !self.settings.asleep;
        loop {
            if awake {
                self.day().await;
            }
            awake = true;
            self.night().await;
        }
    }

    /// Serves until it is time to sleep.
    async fn day(&mut self) {
        let start = Instant::now();
        loop {
            tokio::select! {
                stream = self.door.accept() => if let Ok(stream) = stream {
                    let connection = connection::serve(self.ollama.clone(), stream, self.power.subscribe());
                    self.open.spawn(boxed(connection));
                },
                Some(_) = self.open.join_next() => {}
                () = self.sleep_now.notified() => return,
                () = tired(&self.ollama, self.settings.sleeps_after, start) => return,
                () = packet(&self.card, self.settings.mac) => self.tell(PcEvent::PacketSeen),
            }
        }
    }

    /// Sleeps until a magic packet comes, and then for as long as the resume takes.
    async fn night(&mut self) {
        self.power.send_replace(false);
        self.door.shut().await;
        // A wish to sleep that came meanwhile is fulfilled; kept, it would end the next day at once.
        tokio::select! {
            biased;
            () = self.sleep_now.notified() => {}
            () = std::future::ready(()) => {}
        }
        self.tell(PcEvent::Asleep);
        packet(&self.card, self.settings.mac).await;
        self.tell(PcEvent::PacketSeen);
        self.tell(PcEvent::Waking);
        let resumed = tokio::time::sleep(self.settings.resume);
        tokio::pin!(resumed);
        loop {
            tokio::select! {
                () = &mut resumed => break,
                () = packet(&self.card, self.settings.mac) => self.tell(PcEvent::PacketSeen),
            }
        }
        if !self.settings.boot.is_zero() {
            self.open.shutdown().await;
            self.ollama.engine().clear();
            self.door.refuse();
            tokio::time::sleep(self.settings.boot).await;
        }
        self.door.open().await;
        self.power.send_replace(true);
        self.tell(PcEvent::Awake);
    }

    fn tell(&self, event: PcEvent) {
        let _ = self.events.send(event);
    }
}

/// Ready when the PC has had nothing to do for `sleeps_after`, counted from `start` at the earliest.
async fn tired(ollama: &Ollama, sleeps_after: Option<Duration>, start: Instant) {
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let Some(sleeps_after) = sleeps_after else { return std::future::pending().await };
    loop {
        match ollama.tally().idle_since(start) {
            Some(idle) if idle.elapsed() >= sleeps_after => return,
            Some(idle) => tokio::time::sleep_until(idle + sleeps_after).await,
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Waits for a magic packet that names this card; everything else is passed over.
async fn packet(card: &UdpSocket, mac: Mac) {
    let mut buffer = [0; 1024];
    loop {
        if let Ok(length) = card.recv(&mut buffer).await {
            if is_magic(&buffer[..length], mac) {
                return;
            }
        }
    }
}

/// Whether the datagram holds, anywhere, six bytes of `ff` and the card's address sixteen times.
fn is_magic(datagram: &[u8], mac: Mac) -> bool {
    let mut magic = vec![0xff; 6];
    magic.extend(mac.bytes().repeat(16));
    datagram.windows(magic.len()).any(|window| window == magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn magic(mac: Mac) -> Vec<u8> {
        let mut packet = vec![0xff; 6];
        packet.extend(mac.bytes().repeat(16));
        packet
    }

    #[test]
    fn a_magic_packet_is_found_anywhere_in_a_datagram() {
        let mac: Mac = "02:00:00:aa:bb:cc".parse().unwrap();
        let padded = [b"head".to_vec(), magic(mac), b"password".to_vec()].concat();
        assert!(is_magic(&magic(mac), mac));
        assert!(is_magic(&padded, mac));
    }

    #[test]
    fn a_packet_for_another_card_or_a_short_one_wakes_nobody() {
        let mac: Mac = "02:00:00:aa:bb:cc".parse().unwrap();
        assert!(!is_magic(&magic("02:00:00:aa:bb:cd".parse().unwrap()), mac));
        assert!(!is_magic(&magic(mac)[..101], mac));
        assert!(!is_magic(&[], mac));
    }
}
