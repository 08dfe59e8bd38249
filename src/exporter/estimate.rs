//! Bytes where no system tells them: so much per second and open connection, as dashboards of old expect it. Series made
//! from this are marked.

use std::time::Duration;

use tokio::time::Instant;

use super::Look;
use super::states::Counts;
use super::tally::Bytes;

/// Each way: half of the 10 KiB per second that the first exporter assumed.
const PER_SECOND: f64 = 5.0 * 1024.0;

/// Of a longer time without a look nothing is known.
const LONGEST: Duration = Duration::from_secs(60);

/// The sum so far, and the look that it goes on from.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    bytes: f64,
    last: Option<(Instant, u64)>,
}

impl Estimate {
    /// Between two looks there were as many connections as at the one with fewer.
    pub(super) fn look(&mut self, counts: Counts, now: Instant) -> Look {
        let open = counts.get("ESTABLISHED");
        if let Some((then, before)) = self.last.replace((now, open)) {
            let connections = f64::from(u32::try_from(open.min(before)).unwrap_or(u32::MAX));
            self.bytes += connections * now.saturating_duration_since(then).min(LONGEST).as_secs_f64() * PER_SECOND;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of what is not negative; saturates")]
        let each_way = self.bytes as u64;
        Look { counts, bytes: Bytes { to_ollama: each_way, from_ollama: each_way }, estimated: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_time_make_the_estimate_and_it_never_goes_back() {
        let mut counts = Counts::default();
        let (mut estimate, start) = (Estimate::default(), Instant::now());
        let mut look = |counts, seconds| estimate.look(counts, start + Duration::from_secs(seconds)).bytes.to_ollama;
        assert_eq!(look(counts, 0), 0);
        counts.add("ESTABLISHED");
        counts.add("ESTABLISHED");
        assert_eq!(look(counts, 10), 0, "none was open at the look before");
        assert_eq!(look(counts, 20), 2 * 10 * 5120);
        assert_eq!(look(Counts::default(), 30), 2 * 10 * 5120);
        assert!(estimate.look(counts, start).estimated);
    }
}
