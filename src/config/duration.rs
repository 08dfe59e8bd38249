//! Durations and sizes as people write them.

use std::time::Duration;

/// Longest time that any setting may name. Beyond it lie typing errors (`10M` is ten months) and clocks that overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// What a bare number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The unit of every setting but one.
    Seconds,
    /// The unit of `--wake-interval`, as its forerunner had it.
    Minutes,
}

/// A time: a bare number in `unit` (decimals allowed), or `90s`, `10m`, `1h 30m`.
///
/// # Errors
/// A sentence that says what would be right.
pub(super) fn duration(text: &str, unit: Unit) -> Result<Duration, String> {
    let text = text.trim();
    let time = match (number(text), unit) {
        (Some(count), Unit::Seconds) => Duration::try_from_secs_f64(count).ok(),
        (Some(count), Unit::Minutes) => Duration::try_from_secs_f64(count * 60.0).ok(),
        (None, _) if text.contains('M') => return Err("is no time: `M` would be months; write `10m` for ten minutes".to_owned()),
        (None, _) => humantime::parse_duration(text).ok(),
    };
    let bare = if unit == Unit::Seconds { "10 (seconds)" } else { "10 (minutes)" };
    let time = time.ok_or_else(|| format!("is no time: write {bare}, 90s, 10m or 1h"))?;
    if time > LONGEST { Err("is longer than a year".to_owned()) } else { Ok(time) }
}

/// A time that must pass: zero would make every attempt fail at once.
///
/// # Errors
/// As [`duration`], and for zero.
pub(super) fn positive(text: &str, unit: Unit) -> Result<Duration, String> {
    match duration(text, unit)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        time => Ok(time),
    }
}

/// A time, or `None` for `0`, `off` or `none`.
///
/// # Errors
/// As [`duration`].
pub(super) fn duration_or_off(text: &str, unit: Unit) -> Result<Option<Duration>, String> {
    if is_off(text) {
        return Ok(None);
    }
    duration(text, unit).map(|time| Some(time).filter(|time| !time.is_zero())).map_err(|why| format!("{why}, or `off`"))
}

/// Whether a text switches something off.
pub(super) fn is_off(text: &str) -> bool {
    ["off", "none", "never", "no", "false"].iter().any(|word| text.trim().eq_ignore_ascii_case(word))
}

/// Only digits with at most one point: neither `inf`, `1e9` nor a sign.
fn number(text: &str) -> Option<f64> {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse().ok()).flatten()
}

/// A number of bytes: bare, or with `KiB`, `MiB`, `GiB` (also `K`, `M`, `G`), or decimal `KB`, `MB`, `GB`. Never zero.
///
/// # Errors
/// A sentence that says what would be right.
pub(super) fn size(text: &str) -> Result<usize, String> {
    const FORM: &str = "is no size: write 64MiB, 512KiB or a number of bytes";
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let scale: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(FORM.to_owned()),
    };
    if digits == 0 {
        return Err(FORM.to_owned());
    }
    match count.parse::<usize>().ok().and_then(|count| count.checked_mul(scale)) {
        None => Err("is larger than this machine can count".to_owned()),
        Some(0) => Err("must be more than 0".to_owned()),
        Some(bytes) => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bare_number_has_the_settings_own_unit() {
        assert_eq!(duration("10", Unit::Seconds).unwrap(), Duration::from_secs(10));
        assert_eq!(duration("10", Unit::Minutes).unwrap(), Duration::from_secs(600));
        assert_eq!(duration(" 0.5 ", Unit::Minutes).unwrap(), Duration::from_secs(30));
    }

    #[test]
    fn a_time_with_a_unit_means_the_same_everywhere() {
        for unit in [Unit::Seconds, Unit::Minutes] {
            assert_eq!(duration("90s", unit).unwrap(), Duration::from_secs(90));
            assert_eq!(duration("1h 30m", unit).unwrap(), Duration::from_secs(5400));
            assert_eq!(duration("300ms", unit).unwrap(), Duration::from_millis(300));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "-1", "ten", "inf", "NaN", "1e3", "10M", "10 parsecs", "1.2.3", ".", "400d", "99999999999999999999"] {
            assert!(duration(text, Unit::Seconds).is_err(), "{text}");
        }
        assert!(positive("0", Unit::Seconds).is_err());
        assert!(positive("1ms", Unit::Seconds).is_ok());
    }

    #[test]
    fn zero_and_off_switch_off() {
        for text in ["0", "0s", "off", "None", "never", "false"] {
            assert_eq!(duration_or_off(text, Unit::Minutes), Ok(None), "{text}");
        }
        assert_eq!(duration_or_off("5", Unit::Minutes), Ok(Some(Duration::from_secs(300))));
        assert!(duration_or_off("soon", Unit::Minutes).unwrap_err().contains("`off`"));
    }

    #[test]
    fn a_size_has_binary_and_decimal_units() {
        for (text, bytes) in
            [("1", 1), ("64MiB", 64 << 20), ("512 kib", 512 << 10), ("2G", 2 << 30), ("5KB", 5_000), ("7B", 7), ("3m", 3 << 20)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "MiB", "1.5MiB", "64 bananas", "99999999999999GiB", "0KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_humantime_prints_is_read_back(seconds in 0u64..31_000_000, millis in 0u32..1000) {
            let time = Duration::from_secs(seconds) + Duration::from_millis(millis.into());
            prop_assert_eq!(duration(&humantime::format_duration(time).to_string(), Unit::Seconds), Ok(time));
        }

        #[test]
        fn no_text_breaks_the_parsers(text in ".{0,30}") {
            let _ = (duration(&text, Unit::Minutes), size(&text));
        }

        #[test]
        fn every_accepted_time_can_be_added_to_a_clock(text in "[0-9.]{1,24}[a-z]{0,6}") {
            if let Ok(time) = duration(&text, Unit::Minutes) {
                prop_assert!(time <= LONGEST);
            }
        }
    }
}
