//! The messages of the kernel's socket diagnosis (sock_diag(7)): the question for all sockets of a port, and what comes back.
//! The same message tells a socket's final figures when it is destroyed.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "spoken on Linux, tested everywhere"))]

use super::tally::{Bytes, Socket};
use crate::netlink::{self, Part};

/// `NETLINK_SOCK_DIAG`.
pub(super) const PROTOCOL: i32 = 4;
/// The groups that hear of each destroyed TCP socket, `SKNLGRP_INET_TCP_DESTROY` and its twin for IPv6.
pub(super) const DESTROYED: u32 = 1 | 1 << 2;
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// Where in a whole message the local port stands.
pub(super) const LOCAL_PORT: u32 = 20;

const BY_FAMILY: u16 = 20;
const QUESTION: usize = 56;
const ANSWER: usize = 72;

/// Asks for all TCP sockets of a family with this local port (`inet_diag_req_v2`).
pub(super) fn question(family: u8, port: u16) -> Vec<u8> {
    const TCP: u8 = 6;
    const WITH_INFO: u8 = 1 << 1;
    // All but TIME_WAIT (6), LISTEN (10) and both kinds of half-open ones (3, 12), which carry no figures.
    const STATES: u32 = 0x0fff & !(1 << 6 | 1 << 10 | 1 << 3);
    let mut body = vec![family, TCP, WITH_INFO, 0];
    body.extend(STATES.to_ne_bytes());
    body.extend(port.to_be_bytes());
    body.resize(QUESTION, 0);
    netlink::question(BY_FAMILY, &body)
}

/// Reads the messages of one datagram.
pub(super) fn parse(bytes: &[u8], found: &mut Vec<Socket>) -> Part {
    netlink::messages(bytes, |kind, body| {
        if kind == BY_FAMILY {
            found.extend(socket(body));
        }
    })
}

/// `struct inet_diag_msg` with its attributes. One without figures, as a kernel without `tcp_diag` sends, is none.
fn socket(message: &[u8]) -> Option<Socket> {
    const INFO: u16 = 2;
    let port = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let cookie = u64::from_ne_bytes(message.get(44..52)?.try_into().ok()?);
    let (_, info) = netlink::attributes(message.get(ANSWER..)?).find(|(kind, _)| *kind == INFO)?;
    Some(Socket { cookie, local_port: port(4)?, remote_port: port(6)?, bytes: figures(info)? })
}

/// `tcpi_bytes_acked` and `tcpi_bytes_received` of `struct tcp_info`, there since Linux 4.1.
fn figures(info: &[u8]) -> Option<Bytes> {
    let number = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    Some(Bytes { from_ollama: number(120)?, to_ollama: number(128)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::example::{damaged, message};

    fn answer() -> Vec<u8> {
        let mut body = vec![0; ANSWER];
        body[4..6].copy_from_slice(&11434u16.to_be_bytes());
        body[6..8].copy_from_slice(&50_000u16.to_be_bytes());
        body[44..52].copy_from_slice(&77u64.to_ne_bytes());
        let mut info = vec![0; 136];
        info[120..128].copy_from_slice(&5_000_000_000u64.to_ne_bytes());
        info[128..136].copy_from_slice(&300u64.to_ne_bytes());
        message(BY_FAMILY, body, &[(17, &[6]), (2, &info)])
    }

    #[test]
    fn a_socket_is_read_with_its_figures() {
        let mut found = vec![];
        assert_eq!(parse(&[answer(), answer()].concat(), &mut found), Part::More);
        let bytes = Bytes { to_ollama: 300, from_ollama: 5_000_000_000 };
        assert_eq!(found, [Socket { cookie: 77, local_port: 11434, remote_port: 50_000, bytes }; 2]);
    }

    #[test]
    fn damaged_messages_are_given_up_without_a_panic() {
        for bytes in damaged(&answer()) {
            parse(&bytes, &mut vec![]);
        }
    }
}
