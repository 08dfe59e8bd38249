//! The kernel's neighbour table, read by netlink: which MAC answered for an address just now.
//!
//! `/proc/net/arp` would do without a socket, but it does not tell a fresh entry from a stale one, and a stale one may
//! be of the machine that had the address before.

use std::net::IpAddr;

use crate::netlink::{self, Part};
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
    use std::io::Read;
    const ROUTE: i32 = 0;
    let mut socket = netlink::socket(ROUTE)?;
    socket.set_read_timeout(Some(std::time::Duration::from_millis(100)))?;
    socket.send(&netlink::question(GET_NEIGHBOURS, &[0; NEIGHBOUR]))?;
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
const NEIGHBOUR: usize = 12;

/// Reads the messages of one datagram; `true` when the dump is over.
fn parse(bytes: &[u8], found: &mut Vec<Neighbour>) -> bool {
    let part = netlink::messages(bytes, |kind, body| {
        if kind == NEW_NEIGHBOUR {
            found.extend(neighbour(body));
        }
    });
    part != Part::More
}

/// `struct ndmsg` with its attributes.
fn neighbour(message: &[u8]) -> Option<Neighbour> {
    const REACHABLE: u16 = 0x02;
    const DESTINATION: u16 = 1;
    const LINK_ADDRESS: u16 = 2;
    let state = u16::from_ne_bytes([*message.get(8)?, *message.get(9)?]);
    let (mut address, mut mac) = (None, None);
    for (kind, value) in netlink::attributes(message.get(NEIGHBOUR..)?) {
        match kind {
            DESTINATION => address = ip(value),
            LINK_ADDRESS => mac = value.try_into().ok(),
            _ => {}
        }
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
    use crate::netlink::example::{damaged, message};

    fn entry(state: u16) -> Vec<u8> {
        let mut body = vec![0; NEIGHBOUR];
        body[8..10].copy_from_slice(&state.to_ne_bytes());
        message(NEW_NEIGHBOUR, body, &[(1, &[10, 0, 0, 5]), (2, &[2, 0, 0, 0, 0, 9])])
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
        for bytes in damaged(&entry(0x02)) {
            parse(&bytes, &mut vec![]);
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
