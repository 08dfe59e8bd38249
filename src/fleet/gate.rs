//! Lets one of many pass: what a thousand requests a second have to tell a keeper is worth waking it ten times.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Between two that pass.
const APART: Duration = Duration::from_millis(100);

/// Remembers when the last one passed.
#[derive(Debug)]
pub(super) struct Gate {
    born: Instant,
    /// Milliseconds from `born`, plus one; 0: none yet.
    last: AtomicU64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { born: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Gate {
    /// Whether this one passes. The first always does.
    pub(super) fn passes(&self) -> bool {
        let now = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || u128::from(now.saturating_sub(last)) >= APART.as_millis();
        due && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_passes_and_then_one_every_tenth_of_a_second() {
        let gate = Gate::default();
        let mut passed = Vec::new();
        for at in 0..250 {
            if gate.passes() {
                passed.push(at);
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(passed, [0, 100, 200]);
    }
}
