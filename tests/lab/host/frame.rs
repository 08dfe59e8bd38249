//! One Ethernet frame as the tap at a sleeping host's network card saw it. Read by the host program and by the tests.

use serde::{Deserialize, Serialize};

/// What arrived at the card, whether or not the host behind it was awake.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Hardware address of the sender.
    pub from: String,
    /// Hardware address it was sent to.
    pub to: String,
    /// What the frame carries.
    pub kind: Kind,
    /// The same in words, for a person who reads a failed test.
    pub what: String,
    /// A TCP segment that begins a connection.
    pub syn: bool,
    /// Holds a magic packet for this host's card.
    pub magic: bool,
}

/// The protocol inside a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Address resolution.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Anything else.
    Other,
}

impl Frame {
    /// Reads the bytes of a frame received by the card with address `own`; `None` for what that card sent itself
    /// and for the loopback interface, which an unbound tap sees too.
    pub fn read(bytes: &[u8], own: [u8; 6], at: u64) -> Option<Self> {
        let (to, from) = (bytes.get(0..6)?, bytes.get(6..12)?);
        if from == own || from == [0; 6] {
            return None;
        }
        let kind = match bytes.get(12..14)? {
            [0x08, 0x06] => Kind::Arp,
            [0x08, 0x00] => Kind::Ipv4,
            [0x86, 0xdd] => Kind::Ipv6,
            _ => Kind::Other,
        };
        let (what, syn) = match kind {
            Kind::Ipv4 => ipv4(&bytes[14..]),
            Kind::Arp => (arp(&bytes[14..]), false),
            Kind::Ipv6 | Kind::Other => (format!("{} bytes", bytes.len()), false),
        };
        Some(Self { at, from: mac(from), to: mac(to), kind, what, syn, magic: holds_magic(bytes, own) })
    }
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn address(bytes: &[u8]) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(".")
}

fn holds_magic(frame: &[u8], own: [u8; 6]) -> bool {
    let mut pattern = vec![0xff; 6];
    for _ in 0..16 {
        pattern.extend(own);
    }
    frame.windows(pattern.len()).any(|window| window == pattern)
}

fn arp(packet: &[u8]) -> String {
    match (packet.get(6..8), packet.get(14..18), packet.get(24..28)) {
        (Some([0, 1]), Some(asker), Some(wanted)) => format!("who has {} asks {}", address(wanted), address(asker)),
        (Some([0, 2]), Some(owner), _) => format!("{} answers", address(owner)),
        _ => "unreadable ARP".into(),
    }
}

/// The packet in words, and whether it begins a TCP connection.
fn ipv4(packet: &[u8]) -> (String, bool) {
    let header = usize::from(packet.first().copied().unwrap_or_default() & 0x0f) * 4;
    let (Some(from), Some(to), Some(protocol)) = (packet.get(12..16), packet.get(16..20), packet.get(9)) else {
        return ("unreadable IPv4".into(), false);
    };
    let (from, to, inner) = (address(from), address(to), packet.get(header..).unwrap_or_default());
    let number = |at: usize| inner.get(at..at + 2).map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]));
    match protocol {
        6 => {
            let flags = inner.get(13).copied().unwrap_or_default();
            (format!("TCP {from}:{} > {to}:{} [{}]", number(0), number(2), flag_names(flags)), flags & 0x12 == 0x02)
        }
        17 => (format!("UDP {from}:{} > {to}:{}, {} bytes", number(0), number(2), number(4).saturating_sub(8)), false),
        1 => (format!("ICMP {from} > {to}"), false),
        other => (format!("protocol {other} {from} > {to}"), false),
    }
}

fn flag_names(flags: u8) -> String {
    [(0x02, 'S'), (0x10, 'A'), (0x08, 'P'), (0x01, 'F'), (0x04, 'R')]
        .into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| name)
        .collect()
}
