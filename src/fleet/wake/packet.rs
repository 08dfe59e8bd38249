//! Magic packets: where they go (pure), and sending them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use socket2::{Domain, Protocol, Socket, Type};
use wake_on_lan::MagicPacket;

use super::interfaces::Interface;
use crate::config::WakeConfig;
use crate::values::{Mac, SecureOn};

/// The discard and echo ports, where wake tools send and some routers forward.
const PORTS: [u16; 2] = [9, 7];

/// One datagram to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Our address to bind to: it chooses the interface. Unspecified: the routing table chooses.
    pub(crate) from: Ipv4Addr,
    /// Where to.
    pub(crate) to: SocketAddrV4,
}

/// Where the packets of one round go.
///
/// Without overrides: the subnet broadcast of each interface on the node's subnet, 255.255.255.255 bound to each other
/// interface (unbound it follows the default route only, and fails without one), and the node's last address itself.
/// `wake.broadcast` and `wake.ports` replace all of these.
pub(crate) fn targets(interfaces: &[Interface], node: Option<Ipv4Addr>, wake: &WakeConfig) -> Vec<Target> {
    let ports: &[u16] = if wake.ports.is_empty() { &PORTS } else { &wake.ports };
    let mut places: Vec<(Ipv4Addr, Ipv4Addr)> = Vec::new();
    if wake.broadcast.is_empty() {
        for interface in interfaces {
            let near = node.is_some_and(|address| interface.reaches(address));
            let to = if near { interface.broadcast() } else { Ipv4Addr::BROADCAST };
            places.push((interface.address, to));
        }
        places.extend(node.filter(|address| !address.is_loopback()).map(|address| (Ipv4Addr::UNSPECIFIED, address)));
    } else {
        places.extend(wake.broadcast.iter().map(|to| (Ipv4Addr::UNSPECIFIED, *to)));
    }
    let both = |(from, to): (Ipv4Addr, Ipv4Addr)| ports.iter().map(move |port| Target { from, to: SocketAddrV4::new(to, *port) });
    places.into_iter().flat_map(both).collect()
}

/// The bytes of a magic packet: six 0xff, the MAC sixteen times, the SecureOn password if there is one.
pub(crate) fn bytes(mac: Mac, secure_on: Option<&SecureOn>) -> Vec<u8> {
    let mut packet = MagicPacket::new(&mac.bytes()).magic_bytes().to_vec();
    packet.extend(secure_on.map(SecureOn::bytes).unwrap_or_default());
    packet
}

/// Sends one round. One target failing stops none of the others.
///
/// Returns how many left, with the first error if none did. It never blocks: UDP is handed to the kernel.
pub(crate) fn send(targets: &[Target], packet: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    let mut first = None;
    for target in targets {
        match send_one(*target, packet) {
            Ok(()) => sent += 1,
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        Some(error) if sent == 0 => Err(error),
        _ => Ok(sent),
    }
}

fn send_one(target: Target, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((target.from, 0)).into())?;
    socket.send_to(packet, &SocketAddr::V4(target.to).into()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: [u8; 4], mask: [u8; 4]) -> Interface {
        Interface { name: name.into(), address: address.into(), mask: mask.into() }
    }

    fn texts(targets: &[Target]) -> Vec<String> {
        targets.iter().map(|target| format!("{}>{}", target.from, target.to)).collect()
    }

    #[test]
    fn packets_go_to_the_nodes_subnet_to_every_other_interface_and_to_the_node_itself() {
        let interfaces =
            [interface("eth0", [10, 0, 0, 2], [255, 255, 255, 0]), interface("wlan0", [192, 168, 1, 2], [255, 255, 255, 0])];
        let wake = WakeConfig { ports: vec![9], ..WakeConfig::default() };
        assert_eq!(
            texts(&targets(&interfaces, Some([10, 0, 0, 50].into()), &wake)),
            ["10.0.0.2>10.0.0.255:9", "192.168.1.2>255.255.255.255:9", "0.0.0.0>10.0.0.50:9"]
        );
    }

    #[test]
    fn set_addresses_and_ports_replace_all_computed_ones() {
        let interfaces = [interface("eth0", [10, 0, 0, 2], [255, 255, 255, 0])];
        let wake = WakeConfig { broadcast: vec![[127, 0, 0, 1].into()], ports: vec![4009], ..WakeConfig::default() };
        assert_eq!(texts(&targets(&interfaces, Some([10, 0, 0, 50].into()), &wake)), ["0.0.0.0>127.0.0.1:4009"]);
    }

    #[test]
    fn both_usual_ports_are_used_by_default() {
        let found = targets(&[], Some([10, 0, 0, 50].into()), &WakeConfig::default());
        assert_eq!(texts(&found), ["0.0.0.0>10.0.0.50:9", "0.0.0.0>10.0.0.50:7"]);
    }

    #[test]
    fn a_packet_is_six_ff_sixteen_macs_and_the_password() {
        let mac: Mac = "a8:a1:59:01:02:03".parse().unwrap();
        let packet = bytes(mac, Some(&"01:02:03:04:05:06".parse().unwrap()));
        assert_eq!(packet.len(), 108);
        assert_eq!(packet[..6], [0xff; 6]);
        assert!(packet[6..102].chunks(6).all(|copy| copy == mac.bytes()));
        assert_eq!(packet[102..], [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_packet_really_leaves_and_arrives() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let std::net::SocketAddr::V4(to) = receiver.local_addr().unwrap() else { panic!() };
        let packet = bytes("a8:a1:59:01:02:03".parse().unwrap(), None);
        assert_eq!(send(&[Target { from: Ipv4Addr::UNSPECIFIED, to }], &packet).unwrap(), 1);
        let mut buffer = [0; 200];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 102);
        assert_eq!(buffer[..102], packet);
    }
}
