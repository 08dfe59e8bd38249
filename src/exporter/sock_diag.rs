//! The messages of the kernel's socket diagnosis (sock_diag(7)): the question for all sockets of a port, and what comes back.
//! The same message tells a socket's final figures when it is destroyed.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "spoken on Linux, tested everywhere"))]

use super::tally::{Bytes, Socket};

/// `NETLINK_SOCK_DIAG`.
pub(super) const PROTOCOL: i32 = 4;
/// The groups that hear of each destroyed TCP socket, `SKNLGRP_INET_TCP_DESTROY` and its twin for IPv6.
pub(super) const DESTROYED: u32 = 1 | 1 << 2;
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// Where in a whole message the local port stands.
pub(super) const LOCAL_PORT: u32 = 20;

const BY_FAMILY: u16 = 20;
const HEADER: usize = 16;
const QUESTION: usize = 56;
const ANSWER: usize = 72;

/// Asks for all TCP sockets of a family with this local port (`inet_diag_req_v2`).
pub(super) fn question(family: u8, port: u16) -> Vec<u8> {
    const REQUEST_AND_DUMP: u16 = 0x301;
    const TCP: u8 = 6;
    const WITH_INFO: u8 = 1 << 1;
    // All but TIME_WAIT (6), LISTEN (10) and both kinds of half-open ones (3, 12), which carry no figures.
    const STATES: u32 = 0x0fff & !(1 << 6 | 1 << 10 | 1 << 3);
    let length = u32::try_from(HEADER + QUESTION).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend([family, TCP, WITH_INFO, 0]);
    bytes.extend(STATES.to_ne_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.resize(HEADER + QUESTION, 0);
    bytes
}

/// What one datagram held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// More follows.
    More,
    /// The dump is over.
    Done,
    /// The kernel refuses.
    Refused,
}

/// Reads the messages of one datagram.
pub(super) fn parse(mut bytes: &[u8], found: &mut Vec<Socket>) -> Part {
    const DONE: u16 = 3;
    const ERROR: u16 = 2;
    while bytes.len() >= HEADER {
        let length = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if kind == DONE {
            return Part::Done;
        }
        if kind == ERROR || length < HEADER || length > bytes.len() {
            return Part::Refused;
        }
        if kind == BY_FAMILY {
            found.extend(socket(&bytes[HEADER..length]));
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Part::More
}

/// `struct inet_diag_msg` with its attributes. One without figures, as a kernel without `tcp_diag` sends, is none.
fn socket(message: &[u8]) -> Option<Socket> {
    const INFO: u16 = 2;
    let port = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let cookie = u64::from_ne_bytes(message.get(44..52)?.try_into().ok()?);
    let mut rest = message.get(ANSWER..)?;
    while rest.len() >= 4 {
        let length = u16::from_ne_bytes([rest[0], rest[1]]) as usize;
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..length)?;
        if kind == INFO {
            return Some(Socket { cookie, local_port: port(4)?, remote_port: port(6)?, bytes: figures(value)? });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// `tcpi_bytes_acked` and `tcpi_bytes_received` of `struct tcp_info`, there since Linux 4.1.
fn figures(info: &[u8]) -> Option<Bytes> {
    let number = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(Bytes { from_ollama: number(120)?, to_ollama: number(128)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let mut body = vec![0; ANSWER];
        body[4..6].copy_from_slice(&11434u16.to_be_bytes());
        body[6..8].copy_from_slice(&50_000u16.to_be_bytes());
        body[44..52].copy_from_slice(&77u64.to_ne_bytes());
        let mut info = vec![0; 136];
        info[120..128].copy_from_slice(&5_000_000_000u64.to_ne_bytes());
        info[128..136].copy_from_slice(&300u64.to_ne_bytes());
        for (kind, value) in [(17u16, vec![6]), (2, info)] {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(BY_FAMILY.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message
    }

    #[test]
    fn a_socket_is_read_with_its_figures() {
        let mut found = vec![];
        assert_eq!(parse(&[message(), message()].concat(), &mut found), Part::More);
        let bytes = Bytes { to_ollama: 300, from_ollama: 5_000_000_000 };
        assert_eq!(found, [Socket { cookie: 77, local_port: 11434, remote_port: 50_000, bytes }; 2]);
    }

    #[test]
    fn damaged_messages_are_given_up_without_a_panic() {
        let whole = message();
        for end in 0..whole.len() {
            parse(&whole[..end], &mut vec![]);
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            parse(&damaged, &mut vec![]);
        }
    }
}
