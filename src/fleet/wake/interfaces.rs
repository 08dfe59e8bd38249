//! The IPv4 interfaces of this machine over which a magic packet may leave.

use std::net::{IpAddr, Ipv4Addr};

/// One usable IPv4 address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    /// Its name, such as `eth0`.
    pub(crate) name: String,
    /// Our own address on it.
    pub(crate) address: Ipv4Addr,
    /// The network mask.
    pub(crate) mask: Ipv4Addr,
}

impl Interface {
    /// The subnet broadcast, computed: the operating system reports a wrong one for addresses configured without it.
    pub(crate) fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask.to_bits())
    }

    /// Whether the address lies in this interface's network.
    pub(crate) fn reaches(&self, address: Ipv4Addr) -> bool {
        let mask = self.mask.to_bits();
        self.address.to_bits() & mask == address.to_bits() & mask
    }

    /// Whether a broadcast on it can reach another machine.
    pub(crate) fn carries_broadcasts(&self) -> bool {
        let virtual_one = ["docker", "veth", "tun", "br-", "virbr", "wg"].iter().any(|prefix| self.name.starts_with(prefix));
        !self.address.is_loopback() && self.mask.to_bits().count_ones() < 31 && !virtual_one
    }
}

/// All interfaces that are up and carry broadcasts to other machines: no loopback, /31, /32, container or tunnel ones.
pub(crate) fn usable() -> Vec<Interface> {
    let mut all = all();
    all.retain(Interface::carries_broadcasts);
    all
}

/// Every IPv4 address of this machine with its interface.
pub(crate) fn all() -> Vec<Interface> {
    let Ok(all) = if_addrs::get_if_addrs() else { return Vec::new() };
    all.into_iter()
        .filter_map(|interface| match interface.addr {
            if_addrs::IfAddr::V4(v4) => Some(Interface { name: interface.name, address: v4.ip, mask: v4.netmask }),
            if_addrs::IfAddr::V6(_) => None,
        })
        .collect()
}

/// Whether this address is one of this machine's own.
pub(crate) fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|interface| interface.ip() == address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str, mask: &str) -> Interface {
        Interface { name: name.into(), address: address.parse().unwrap(), mask: mask.parse().unwrap() }
    }

    #[test]
    fn the_broadcast_of_a_23_network_is_computed_from_its_mask() {
        let lan = interface("eth0", "10.2.2.7", "255.255.254.0");
        assert_eq!(lan.broadcast(), Ipv4Addr::new(10, 2, 3, 255));
        assert!(lan.reaches(Ipv4Addr::new(10, 2, 3, 9)) && !lan.reaches(Ipv4Addr::new(10, 2, 4, 9)));
    }

    #[test]
    fn container_tunnel_and_point_to_point_interfaces_are_skipped() {
        for (name, address, mask) in [
            ("lo", "127.0.0.1", "255.0.0.0"),
            ("docker0", "172.17.0.1", "255.255.0.0"),
            ("veth12", "10.1.1.1", "255.255.255.0"),
            ("tun0", "10.8.0.1", "255.255.255.0"),
            ("ppp0", "10.9.0.1", "255.255.255.255"),
            ("eth1", "10.9.0.0", "255.255.255.254"),
        ] {
            assert!(!interface(name, address, mask).carries_broadcasts(), "{name}");
        }
        assert!(interface("wlan0", "192.168.1.2", "255.255.255.0").carries_broadcasts());
    }
}
