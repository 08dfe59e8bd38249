//! Who a client is, for limits and turns.

use std::net::{IpAddr, Ipv6Addr};

/// One client. Clients with a key are told apart by it, all others by their address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientId {
    /// An IPv4 address, or the first 64 bits of an IPv6 one: one machine takes as many of the rest as it likes.
    Address(IpAddr),
    /// The number of the key, which no other one ever has.
    Key(u32),
}

impl ClientId {
    /// A client that is known by its address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(address: &str) -> ClientId {
        ClientId::of_address(address.parse().unwrap())
    }

    #[test]
    fn a_machine_is_one_client_whatever_of_its_ipv6_addresses_it_takes() {
        assert_eq!(id("2001:db8:1:2::1"), id("2001:db8:1:2:ffff::9"));
        assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:1:3::1"));
        assert_ne!(id("192.168.1.7"), id("192.168.1.8"));
    }

    #[test]
    fn an_ipv4_address_is_the_same_client_on_a_listener_for_both() {
        assert_eq!(id("::ffff:192.168.1.7"), id("192.168.1.7"));
    }
}
