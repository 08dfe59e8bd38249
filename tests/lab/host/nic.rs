//! The network card of the laboratory's host: a tap that sees every frame, and the deaf state in which nothing else does.

use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};

use crate::Event;
use crate::frame::Frame;

/// Every protocol, in the byte order that packet sockets want.
const ETH_P_ALL: u16 = 3;

const MARK: &[u8] = b"marker of the laboratory";

/// Milliseconds since the Unix epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Opens the tap and hands what it sees to `events` from a thread of its own.
///
/// # Errors
/// Packet sockets need root.
pub fn tap(own: [u8; 6], events: Sender<Event>) -> io::Result<()> {
    let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
    let mut socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_recv_buffer_size(8 << 20)?;
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length) = socket.read(&mut bytes) {
            let seen = match marker(&bytes[..length]) {
                Some(number) => Some(Event::Marker(number)),
                None => Frame::read(&bytes[..length], own, unix_ms()).map(Event::Frame),
            };
            if seen.is_some_and(|event| events.send(event).is_err()) {
                break;
            }
        }
    });
    Ok(())
}

/// Sends a marker over the loopback interface, which the tap sees too: what the tap reports before it came before it.
///
/// # Errors
/// When loopback is down.
pub fn mark(number: u64) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(&[MARK, &number.to_be_bytes()[..]].concat(), "127.0.0.1:9").map(|_| ())
}

fn marker(bytes: &[u8]) -> Option<u64> {
    let payload = bytes.get(bytes.len().checked_sub(MARK.len() + 8)?..)?.strip_prefix(MARK)?;
    payload.try_into().ok().map(u64::from_be_bytes)
}

/// Drops every frame in both directions, as a card does whose host sleeps: no RST, no FIN, no retransmission leaves it.
/// With `answers_arp` address resolution still works (the "ARP offload" of many cards).
///
/// # Errors
/// What `nft` says.
pub fn deafen(interface: &str, answers_arp: bool) -> io::Result<()> {
    let arp = if answers_arp { "ether type arp accept;" } else { "" };
    nft(&format!(
        "table netdev sleep {{
           chain in {{ type filter hook ingress device {interface} priority 0; policy drop; {arp} }}
           chain out {{ type filter hook egress device {interface} priority 0; policy drop; {arp} }}
         }}"
    ))
}

/// Undoes [`deafen`].
///
/// # Errors
/// What `nft` says.
pub fn hear() -> io::Result<()> {
    nft("delete table netdev sleep")
}

fn nft(rules: &str) -> io::Result<()> {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    if child.wait()?.success() { Ok(()) } else { Err(io::Error::other(format!("nft refused: {rules}"))) }
}
