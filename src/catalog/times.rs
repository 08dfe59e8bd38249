//! RFC 3339 times as Ollama writes them: read to compare and to count seconds, printed as Go prints them.

use std::time::{Duration, SystemTime};

use chrono::DateTime;

/// A point in time that can be compared, also far beyond the year 2262 where nanoseconds no longer fit 64 bits
/// (`keep_alive: -1` expires in 2319).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    /// Seconds since 1970, negative before.
    pub(super) seconds: i64,
    nanos: u32,
}

/// Reads a time with `Z` or an offset; `None` for anything else.
pub(super) fn read(text: &str) -> Option<Moment> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Moment { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() })
}

/// Prints a time in UTC with as many digits of the second as it has and no zeros at the end. Times before 1970 are
/// printed as 1970: only `now` is ever printed.
pub(super) fn print(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let whole = i64::try_from(since.as_secs()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default();
    let digits = format!("{:09}", since.subsec_nanos());
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("{}{point}{digits}Z", whole.format("%Y-%m-%dT%H:%M:%S"))
}

/// Whole seconds since 1970; 0 before.
pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_does_not_change_the_moment() {
        let utc = read("2026-11-20T15:21:05.831901355Z").unwrap();
        assert_eq!(utc.seconds, 1_795_188_065);
        assert_eq!(read("2026-11-20T16:21:05.831901355+01:00"), Some(utc));
        assert_eq!(read("2026-11-20T09:51:05.831901355-05:30"), Some(utc));
    }

    #[test]
    fn moments_compare_within_a_second_and_beyond_the_year_2262() {
        assert!(read("2026-11-20T15:21:05.2Z") > read("2026-11-20T15:21:05.12Z"));
        assert!(read("2319-03-01T00:00:00Z") > read("2026-11-20T15:21:05Z"));
        assert!(read("0001-01-01T00:00:00Z").unwrap().seconds < 0);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-11-20", "2026-13-20T00:00:00Z", "2026-11-20T15:21:05"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_printed_as_go_prints_it() {
        let at = |nanos| print(SystemTime::UNIX_EPOCH + Duration::new(1_795_188_645, nanos));
        assert_eq!(at(451_699_555), "2026-11-20T15:30:45.451699555Z");
        assert_eq!(at(451_000_000), "2026-11-20T15:30:45.451Z");
        assert_eq!(at(40), "2026-11-20T15:30:45.00000004Z");
        assert_eq!(at(0), "2026-11-20T15:30:45Z");
    }

    #[test]
    fn times_beyond_reason_do_not_panic() {
        assert_eq!(print(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), "1970-01-01T00:00:00Z");
        assert_eq!(unix(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), 0);
        print(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 4096));
    }
}
