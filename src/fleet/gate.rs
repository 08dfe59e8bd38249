//! Lets one of many pass: what a thousand requests a second have to tell a keeper is worth waking it ten times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Between two that pass.
const APART: Duration = Duration::from_millis(100);

/// Remembers when the last one passed: milliseconds since the birth of its owner, plus one; 0: none yet.
#[derive(Debug, Default)]
pub(super) struct Gate(AtomicU64);

impl Gate {
    /// Whether this one passes. The first always does.
    pub(super) fn passes(&self, since_birth: Duration) -> bool {
        let now = u64::try_from(since_birth.as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let last = self.0.load(Ordering::Relaxed);
        let due = last == 0 || u128::from(now.saturating_sub(last)) >= APART.as_millis();
        due && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_then_one_every_tenth_of_a_second() {
        let gate = Gate::default();
        let passed: Vec<u64> = (0..250).filter(|at| gate.passes(Duration::from_millis(*at))).collect();
        assert_eq!(passed, [0, 100, 200]);
    }
}
