//! Patterns that say who or what a rule is about: address ranges and globs.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

mod key_source;
mod keys;
mod rules;

pub use key_source::KeySource;
pub use keys::{KeyDigest, KeyRules, load_key};
pub use rules::AccessConfig;
pub(super) use rules::rules;

/// A range of IP addresses such as `192.168.1.0/24`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCidr(&'static str);

impl fmt::Display for BadCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadCidr {}

impl Cidr {
    /// Whether the address lies in the range. An IPv4 address mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.bits) == self.network
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    /// An address, or an address with a number of leading bits behind `/`; bits behind those are ignored.
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        const FORM: BadCidr = BadCidr("expected an address such as 192.168.1.7 or a range such as 192.168.1.0/24 or fd00::/8");
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().map_err(|_| FORM)?,
            Some(_) => return Err(FORM),
        };
        if bits > width {
            return Err(BadCidr("an IPv4 range has at most 32 bits behind the `/`, an IPv6 range at most 128"));
        }
        let canonical = address.to_canonical();
        if canonical.is_ipv4() != address.is_ipv4() && bits >= 96 {
            return Ok(Self { network: masked(canonical, bits - 96), bits: bits - 96 });
        }
        Ok(Self { network: masked(address, bits), bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

/// A pattern with `*` for any run of characters; compared without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Takes a pattern; every text is one.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_lowercase())
    }

    /// Whether the whole text matches. Linear in the text: a request's header cannot make it slow.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let Some((first, others)) = self.0.split_once('*') else { return text == self.0 };
        let (middle, last) = others.rsplit_once('*').unwrap_or(("", others));
        let Some(rest) = text.strip_prefix(first) else { return false };
        let Some(mut rest) = rest.strip_suffix(last) else { return false };
        for part in middle.split('*') {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

impl FromStr for Glob {
    type Err = Infallible;

    fn from_str(pattern: &str) -> Result<Self, Infallible> {
        Ok(Self::new(pattern))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inside(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_holds_its_addresses_and_no_others() {
        for (range, address, expected) in [
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.8", false),
            ("192.168.1.0/24", "192.168.1.255", true),
            ("192.168.1.0/24", "192.168.2.0", false),
            ("192.168.1.77/24", "192.168.1.1", true),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "8.8.8.8", false),
            ("fd00::/8", "fdab::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::1", "::1", true),
            ("192.168.1.0/24", "::ffff:192.168.1.5", true),
            ("::ffff:192.168.1.0/120", "192.168.1.5", true),
            ("::ffff:192.168.1.0/120", "192.168.2.5", false),
        ] {
            assert_eq!(inside(range, address), expected, "{address} in {range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "lan", "192.168.1", "192.168.1.0/33", "::/129", "192.168.1.0/", "192.168.1.0/+8", "fe80::1%eth0", "1.2.3.4/255"]
        {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_glob_matches_the_whole_text_without_case() {
        for (pattern, text, expected) in [
            ("/api/*", "/api/chat", true),
            ("/api/*", "/v1/api/chat", false),
            ("*uptime*", "UptimeRobot/2.0", true),
            ("Home*Assistant", "homeassistant", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), expected, "{text} by {pattern}");
        }
    }

    fn naive(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_the_definition(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), naive(&p, &t));
        }

        #[test]
        fn an_ipv4_range_agrees_with_the_definition(network: u32, bits in 0u8..=32, address: u32) {
            let range: Cidr = format!("{}/{bits}", std::net::Ipv4Addr::from_bits(network)).parse().unwrap();
            let equal = (0..u32::from(bits)).all(|n| (network >> (31 - n)) & 1 == (address >> (31 - n)) & 1);
            prop_assert_eq!(range.contains(IpAddr::V4(address.into())), equal);
        }

        #[test]
        fn an_address_is_in_its_own_range(address: u128, bits in 0u8..=128) {
            let address = IpAddr::V6(Ipv6Addr::from_bits(address));
            let range: Cidr = format!("{address}/{bits}").parse().unwrap();
            prop_assert!(range.contains(address) || matches!(address.to_canonical(), IpAddr::V4(_)));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,30}") {
            let _ = text.parse::<Cidr>();
        }
    }
}
