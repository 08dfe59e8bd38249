//! Hardware addresses and the SecureOn password that may follow one in a magic packet.

use std::fmt;
use std::str::FromStr;

/// A unicast Ethernet address of six bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

/// Why a text is not an address or password that can wake a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMac(&'static str);

impl fmt::Display for BadMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadMac {}

impl Mac {
    /// Refuses addresses that no single network card has: all zero, and multicast (which includes all `ff`).
    pub fn new(bytes: [u8; 6]) -> Result<Self, BadMac> {
        if bytes == [0; 6] {
            Err(BadMac("all zero is no card's address"))
        } else if bytes[0] & 1 == 1 {
            Err(BadMac("this is a multicast or broadcast address, not one card's"))
        } else {
            Ok(Self(bytes))
        }
    }

    /// The six bytes in order of transmission.
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    /// `aa:bb:cc:dd:ee:ff`, the form that WolGoWeb accepts too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|byte| format!("{byte:02x}"));
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = BadMac;

    /// Accepts `aa:bb:cc:dd:ee:ff`, `aa-bb-…`, `aabb.ccdd.eeff` and twelve bare digits.
    fn from_str(text: &str) -> Result<Self, BadMac> {
        const FORM: BadMac = BadMac("expected six pairs of hex digits such as a8:a1:59:01:02:03");
        let text = text.trim();
        let separated_well = match text.len() {
            12 => true,
            14 => text.split('.').map(str::len).eq([4, 4, 4]),
            17 => [':', '-'].iter().any(|s| text.split(*s).map(str::len).eq([2; 6])),
            _ => false,
        };
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
        if !separated_well {
            return Err(FORM);
        }
        let bytes: [u8; 6] = hex(&digits).and_then(|b| b.try_into().ok()).ok_or(FORM)?;
        Self::new(bytes)
    }
}

/// The password some network cards ask for behind the magic packet: four or six bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct SecureOn(Vec<u8>);

impl SecureOn {
    /// The bytes to append to the packet.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecureOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureOn(…)")
    }
}

impl FromStr for SecureOn {
    type Err = BadMac;

    /// Six bytes as `aa:bb:cc:dd:ee:ff`, or four as `192.168.1.1`: the two forms of `etherwake -p`.
    fn from_str(text: &str) -> Result<Self, BadMac> {
        let text = text.trim();
        if let Ok(dotted) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self(dotted.octets().to_vec()));
        }
        let pairs = text.split(':').all(|pair| pair.len() == 2);
        hex(&text.replace(':', ""))
            .filter(|bytes| pairs && bytes.len() == 6)
            .map(Self)
            .ok_or(BadMac("expected six bytes such as 01:02:03:04:05:06, or four such as 192.168.1.1"))
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) || digits.len() % 2 != 0 {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_the_four_usual_spellings_and_printed_in_one() {
        for text in ["A8:A1:59:01:02:03", "a8-a1-59-01-02-03", "a8a1.5901.0203", "a8a159010203"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "a8:a1:59:01:02:03");
        }
    }

    #[test]
    fn a_mac_that_no_card_can_have_is_refused() {
        for text in [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "a8:a1:59:01:02",
            "a8:a1:59:01:02:0g",
            "",
            "+8:a1:59:01:02:03",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secure_on_password_has_four_or_six_bytes() {
        assert_eq!("192.168.1.1".parse::<SecureOn>().unwrap().bytes(), [192, 168, 1, 1]);
        assert_eq!("01:02:03:04:05:06".parse::<SecureOn>().unwrap().bytes(), [1, 2, 3, 4, 5, 6]);
        assert!("01:02:03".parse::<SecureOn>().is_err());
    }
}
