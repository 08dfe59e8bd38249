//! What `check` may know of the ways to a node: this machine's networks, the card that answered, whether packets leave,
//! what the wake URL says. Looks with the same eyes as the keepers, and sends only what a person asked for.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use super::neighbours;
use super::wake::{interfaces, packet, url};
use crate::config::{NodeConfig, WakeConfig};
use crate::values::{Mac, sort_by};

/// One IPv4 network that this machine is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The interface, such as `eth0`.
    pub interface: String,
    /// Our own address on it.
    pub address: Ipv4Addr,
    /// Its broadcast address.
    pub broadcast: Ipv4Addr,
    /// Whether a magic packet can reach another machine over it.
    pub usable: bool,
    mask: Ipv4Addr,
}

impl Network {
    /// A network as its interface describes it.
    pub fn new(interface: &str, address: Ipv4Addr, mask: Ipv4Addr) -> Self {
        Self::of(interfaces::Interface { name: interface.to_owned(), address, mask })
    }

    fn of(interface: interfaces::Interface) -> Self {
        let (broadcast, usable) = (interface.broadcast(), interface.carries_broadcasts());
        Self { interface: interface.name, address: interface.address, broadcast, usable, mask: interface.mask }
    }

    /// How many leading bits its addresses share.
    pub fn prefix_length(&self) -> u32 {
        self.mask.to_bits().count_ones()
    }

    /// Whether the address lies in it.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let mask = self.mask.to_bits();
        self.address.to_bits() & mask == address.to_bits() & mask
    }
}

/// All IPv4 networks of this machine, loopback and container bridges among them.
pub fn networks() -> Vec<Network> {
    interfaces::all().into_iter().map(Network::of).collect()
}

/// The addresses of the default gateways; empty where the system does not tell.
pub fn gateways() -> Vec<IpAddr> {
    neighbours::default_gateways()
}

/// The MAC of a machine that has just answered from this address; `None` behind a router.
pub fn mac_of(address: IpAddr) -> Option<Mac> {
    neighbours::mac_of(address)
}

/// What became of packets that were sent as a wake's would be, but for a card that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Interfaces that the packets should have left by.
    pub interfaces: Vec<String>,
    /// How many packets the system took, or why none.
    pub sent: Result<usize, String>,
    /// Those of `interfaces` whose counter of sent packets rose. `None`: this system shows no counters.
    pub rose: Option<Vec<String>>,
}

/// A locally administered address that no card of the trade has: the packet wakes nobody.
const NOBODY: [u8; 6] = [0x02, 0x00, 0x5e, 0x00, 0x53, 0xff];

/// Some drivers bring their counters up to date only once a second.
const COUNTERS_LAG: Duration = Duration::from_millis(1500);

/// Sends one round of packets for a card that nobody has, and watches the counters of the interfaces.
pub async fn trial(node: Option<Ipv4Addr>, wake: &WakeConfig) -> Trial {
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let targets = packet::targets(&interfaces::usable(), node, wake);
    let mut expected: Vec<String> = targets.iter().filter_map(|target| leaves_by(*target)).collect();
    sort_by(&mut expected, Ord::cmp);
    expected.dedup();
    let before = sent_packets();
    let sent = match Mac::new(NOBODY) {
        Ok(nobody) => packet::send(&targets, &packet::bytes(nobody, None)).map_err(|error| error.to_string()),
        Err(bad) => Err(bad.to_string()),
    };
    let Some(before) = before else { return Trial { interfaces: expected, sent, rose: None } };
    let until = tokio::time::Instant::now() + COUNTERS_LAG;
    loop {
        let now = sent_packets().unwrap_or_default();
        let rose: Vec<String> = expected.iter().filter(|name| now.get(*name) > before.get(*name)).cloned().collect();
        if sent.is_err() || rose.len() == expected.len() || tokio::time::Instant::now() >= until {
            return Trial { interfaces: expected, sent, rose: Some(rose) };
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The interface that a datagram to this target leaves by: that of the address it is bound to, or that the routing
/// table chooses. Connecting a UDP socket sends nothing.
fn leaves_by(target: packet::Target) -> Option<String> {
    let from = if target.from.is_unspecified() { chosen_source(target.to).ok()? } else { target.from };
    interfaces::all().into_iter().find(|interface| interface.address == from).map(|interface| interface.name)
}

fn chosen_source(to: SocketAddrV4) -> std::io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    socket.connect(to)?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
    }
}

fn sent_packets() -> Option<BTreeMap<String, u64>> {
    std::fs::read_to_string("/proc/net/dev").ok().map(|text| counters(&text))
}

/// The sent packets of each interface, from the text of `/proc/net/dev`.
fn counters(text: &str) -> BTreeMap<String, u64> {
    /// Behind the eight columns of what was received comes the number of sent bytes, then that of sent packets.
    const SENT_PACKETS: usize = 9;
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        Some((name.trim().to_owned(), numbers.split_whitespace().nth(SENT_PACKETS)?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// How a wake URL answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WakeUrlAnswer {
    /// `Err`: what went wrong; holds no secret.
    pub result: Result<(), String>,
    /// Seconds by which its server's clock is ahead of ours, where it told its time.
    pub ahead: Option<i64>,
}

/// Calls the wake URL of a node once, which wakes it. `None`: it has none.
///
/// # Errors
/// When no TLS roots can be loaded.
pub async fn call_wake_url(node: &NodeConfig, mac: Option<Mac>, ip: Option<IpAddr>) -> anyhow::Result<Option<WakeUrlAnswer>> {
    let Some(wake_url) = &node.wake.url else { return Ok(None) };
    let fill = url::Fill { node: node.name.clone(), mac, ip };
    let called = url::call(wake_url, &fill, 0).await;
    Ok(Some(WakeUrlAnswer { result: called.result, ahead: called.ahead }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_of_each_interface_are_read() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                    lo:  100       5    0    0    0     0          0         0      100       7    0    0    0     0       0          0\n  \
                    eth0:9999      50    0    0    0     0          0         0      200      11    0    0    0     0       0          0\n";
        assert_eq!(counters(text), [("lo".to_owned(), 7), ("eth0".to_owned(), 11)].into());
        assert_eq!(counters("garbage: 1 2\n\u{0}:"), BTreeMap::new());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_packet_over_loopback_is_seen_leaving_and_names_no_card() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let wake = WakeConfig { broadcast: vec![Ipv4Addr::LOCALHOST], ports: vec![port], ..WakeConfig::default() };
        let trial = trial(None, &wake).await;
        assert_eq!(trial, Trial { interfaces: vec!["lo".into()], sent: Ok(1), rose: Some(vec!["lo".into()]) });
        let mut datagram = [0; 200];
        assert_eq!(receiver.recv(&mut datagram).unwrap(), 102);
        assert_eq!(datagram[6..12], NOBODY);
    }
}
