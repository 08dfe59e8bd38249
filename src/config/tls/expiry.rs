//! When a certificate ends, and how near that is. Reads just as much of its DER as it takes to get there (RFC 5280 §4.1).

use std::time::{Duration, SystemTime};

use chrono::{NaiveDate, Utc};

/// A certificate that is renewed by a program is renewed a month before its end: two weeks before, that has failed for long.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The moment from which on clients refuse a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(pub SystemTime);

/// How near it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExpiryStage {
    /// More than two weeks away.
    Far,
    /// Within two weeks.
    Soon,
    /// Over.
    Past,
}

impl Expiry {
    /// Of a certificate as it travels; `None`: it is none that we can read.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (signed, _) = element(certificate, SEQUENCE)?;
        let (to_be_signed, _) = element(signed, SEQUENCE)?;
        let rest = element(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
        // Serial number, algorithm, issuer.
        let rest = (0..3).try_fold(rest, |rest, _| any_element(rest).map(|(_, _, rest)| rest))?;
        let (validity, _) = element(rest, SEQUENCE)?;
        let (_, _, rest) = any_element(validity)?;
        let (kind, text, _) = any_element(rest)?;
        time(kind, std::str::from_utf8(text).ok()?).map(Self)
    }

    /// How near it is by now.
    pub fn stage(self, now: SystemTime) -> ExpiryStage {
        match self.0.duration_since(now) {
            Ok(left) if left > SOON => ExpiryStage::Far,
            Ok(left) if !left.is_zero() => ExpiryStage::Soon,
            _ => ExpiryStage::Past,
        }
    }

    /// What the owner should know about it.
    pub fn words(self, now: SystemTime) -> String {
        let at = humantime::format_rfc3339_seconds(self.0);
        let days = self.0.duration_since(now).unwrap_or_default().as_secs() / (24 * 3600);
        match self.stage(now) {
            ExpiryStage::Far => format!("the certificate of --tls-cert is valid until {at}"),
            ExpiryStage::Soon => format!("the certificate of --tls-cert ends on {at}, in {days} days: renew it"),
            ExpiryStage::Past => format!("the certificate of --tls-cert ended on {at}, and clients refuse it: renew it"),
        }
    }
}

/// The content of an element of this kind, and what follows it.
fn element(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    any_element(der).filter(|(found, _, _)| *found == kind).map(|(_, content, rest)| (content, rest))
}

/// The kind and the content of the first element, and what follows it.
fn any_element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Longer ones are no certificate.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`; years of two digits are those from 1950 on.
fn time(kind: u8, text: &str) -> Option<SystemTime> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let (year, rest) = match (kind, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i32 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<u32>().ok();
    let day = NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)?;
    let moment = day.and_hms_opt(part(4)?, part(6)?, part(8)?)?.and_local_timezone(Utc).single()?;
    // Before 1970 or beyond what the system's clock knows: over, or without end.
    let seconds = u64::try_from(moment.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["proxy.lan".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1999, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 11, 21);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_a_time() {
        for (year, end) in [(2026, "2026-11-21T00:00:00Z"), (2049, "2049-11-21T00:00:00Z"), (2051, "2051-11-21T00:00:00Z")] {
            assert_eq!(Expiry::of(&certificate(year)), Some(Expiry(at(end))));
        }
        assert_eq!(time(UTC_TIME, "991231235959Z"), Some(at("1999-12-31T23:59:59Z")));
        assert_eq!(time(GENERALIZED_TIME, "99991231235959Z"), Some(at("9999-12-31T23:59:59Z")));
        assert_eq!(time(UTC_TIME, "600101000000Z"), Some(SystemTime::UNIX_EPOCH));
        for bad in ["", "Z", "261121000000", "261321000000Z", "26112100000Z", "26112100000éZ", "+61121000000Z"] {
            assert_eq!(time(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn two_weeks_before_the_end_it_is_told_and_at_the_end_again() {
        let expiry = Expiry(at("2026-11-21T00:00:00Z"));
        let told = |before: Duration| (expiry.stage(expiry.0 - before), expiry.words(expiry.0 - before));
        assert_eq!(told(15 * DAY).0, ExpiryStage::Far);
        assert_eq!(told(5 * DAY).0, ExpiryStage::Soon);
        assert!(told(5 * DAY).1.contains("ends on 2026-11-21T00:00:00Z, in 5 days"), "{}", told(5 * DAY).1);
        assert_eq!(told(Duration::ZERO).0, ExpiryStage::Past);
        assert!(expiry.words(expiry.0 + DAY).contains("refuse it"));
        assert!(ExpiryStage::Far < ExpiryStage::Soon && ExpiryStage::Soon < ExpiryStage::Past);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Expiry::of(&bytes);
        }

        #[test]
        fn no_certificate_that_is_cut_or_changed_breaks_the_reader(at in 0usize..120, byte: u8) {
            let mut bytes = certificate(2026);
            let _ = Expiry::of(&bytes[..at]);
            bytes[at] = byte;
            let _ = Expiry::of(&bytes);
        }
    }
}
