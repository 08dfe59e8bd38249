//! Patterns that say who or what a rule is about: address ranges and globs.

use std::net::IpAddr;

/// A range of IP addresses such as `192.168.1.0/24`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// Whether the address lies in the range. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let _ = (self.network, self.bits, address);
        false
    }
}

/// A pattern with `*` for any run of characters; compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0 == text
    }
}
