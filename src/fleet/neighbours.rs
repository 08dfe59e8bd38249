//! The kernel's neighbour table, read by netlink: which MAC answered for an address just now.
//!
//! `/proc/net/arp` would do without a socket, but it does not tell a fresh entry from a stale one, and a stale one may
//! be of the machine that had the address before.

use std::net::IpAddr;

use crate::values::Mac;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Neighbour {
    address: IpAddr,
    mac: [u8; 6],
    reachable: bool,
}

/// The MAC of a machine that has just answered from `address`.
///
/// `None` when it is not on a network of ours, when the entry is not fresh, or when the MAC is the gateway's: then the
/// machine is behind a router, and a magic packet for the router's MAC wakes nothing.
pub(super) fn mac_of(address: IpAddr) -> Option<Mac> {
    let table = table();
    let entry = table.iter().find(|entry| entry.address == address && entry.reachable)?;
    let gateways = default_gateways();
    let behind_a_router =
        table.iter().any(|other| gateways.contains(&other.address) && other.mac == entry.mac && other.address != address);
    if behind_a_router || gateways.contains(&address) { None } else { Mac::new(entry.mac).ok() }
}

/// The IPv4 addresses of the default gateways; empty where the system does not tell them in `/proc`.
pub(super) fn default_gateways() -> Vec<IpAddr> {
    gateways(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// The addresses of the default gateways, from the text of `/proc/net/route`.
fn gateways(table: &str) -> Vec<IpAddr> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (destination, gateway) = (fields.next()?, fields.next()?);
            let gateway = u32::from_str_radix(gateway, 16).ok()?;
            (destination == "00000000" && gateway != 0).then(|| IpAddr::from(gateway.to_le_bytes()))
        })
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn table() -> Vec<Neighbour> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn table() -> Vec<Neighbour> {
    dump().unwrap_or_default()
}

/// Asks the kernel for all neighbours (rtnetlink(7), `RTM_GETNEIGH` with `NLM_F_DUMP`). Needs no privilege.
#[cfg(target_os = "linux")]
fn dump() -> std::io::Result<Vec<Neighbour>> {
    use socket2::{Domain, Protocol, Socket, Type};
    use std::io::Read;
    const NETLINK: i32 = 16;
    const ROUTE: i32 = 0;
    let mut socket = Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(ROUTE)))?;
    socket.set_read_timeout(Some(std::time::Duration::from_millis(100)))?;
    socket.send(&request())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = socket.read(&mut buffer)?;
        let done = parse(&buffer[..length], &mut found);
        if done || length == 0 {
            return Ok(found);
        }
    }
}

const GET_NEIGHBOURS: u16 = 30;
const NEW_NEIGHBOUR: u16 = 28;
const HEADER: usize = 16;
const NEIGHBOUR: usize = 12;

#[cfg(target_os = "linux")]
fn request() -> Vec<u8> {
    const REQUEST_AND_DUMP: u16 = 0x301;
    let length = u32::try_from(HEADER + NEIGHBOUR).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(GET_NEIGHBOURS.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.resize(HEADER + NEIGHBOUR, 0);
    bytes
}

/// Reads the messages of one datagram; `true` when the dump is over.
fn parse(mut bytes: &[u8], found: &mut Vec<Neighbour>) -> bool {
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    while bytes.len() >= HEADER {
        let length = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if kind == DONE || kind == ERROR || length < HEADER || length > bytes.len() {
            return true;
        }
        if kind == NEW_NEIGHBOUR {
            found.extend(neighbour(&bytes[HEADER..length]));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// `struct ndmsg` with its attributes.
fn neighbour(message: &[u8]) -> Option<Neighbour> {
    const REACHABLE: u16 = 0x02;
    const DESTINATION: u16 = 1;
    const LINK_ADDRESS: u16 = 2;
    let state = u16::from_ne_bytes([*message.get(8)?, *message.get(9)?]);
    let (mut address, mut mac) = (None, None);
    let mut rest = message.get(NEIGHBOUR..)?;
    while rest.len() >= 4 {
        let length = u16::from_ne_bytes([rest[0], rest[1]]) as usize;
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..length)?;
        match kind {
            DESTINATION => address = ip(value),
            LINK_ADDRESS => mac = value.try_into().ok(),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Neighbour { address: address?, mac: mac?, reachable: state & REACHABLE != 0 })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(state: u16) -> Vec<u8> {
        let mut body = vec![0; NEIGHBOUR];
        body[8..10].copy_from_slice(&state.to_ne_bytes());
        for (kind, value) in [(1u16, vec![10, 0, 0, 5]), (2, vec![2, 0, 0, 0, 0, 9])] {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(&value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(NEW_NEIGHBOUR.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message
    }

    #[test]
    fn a_reachable_entry_is_told_from_a_stale_one() {
        let mut found = vec![];
        parse(&[entry(0x02), entry(0x04)].concat(), &mut found);
        let five = |reachable| Neighbour { address: [10, 0, 0, 5].into(), mac: [2, 0, 0, 0, 0, 9], reachable };
        assert_eq!(found, [five(true), five(false)]);
    }

    #[test]
    fn damaged_messages_are_given_up_without_a_panic() {
        let whole = entry(0x02);
        for end in 0..whole.len() {
            parse(&whole[..end], &mut vec![]);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            parse(&damaged, &mut vec![]);
        }
    }

    #[test]
    fn only_default_routes_with_a_gateway_count() {
        let text = "Iface Destination Gateway Flags\neth0 00000000 0100A8C0 0003\neth0 0000A8C0 00000000 0001\n";
        assert_eq!(gateways(text), [IpAddr::from([192, 168, 0, 1])]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_answers_the_dump() {
        assert!(dump().is_ok());
    }
}
