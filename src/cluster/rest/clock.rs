//! How long this machine slept, told by two clocks: one that stands still while the system sleeps, and one that goes on.

use std::time::Duration;

/// Two clocks drift, and the one on the wall is set now and then; a sleep shorter than this is none.
const LEAST: Duration = Duration::from_secs(2);

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Counts only while the system runs.
    pub ran: Duration,
    /// Counts also while it sleeps.
    pub passed: Duration,
}

impl Reading {
    /// Both clocks now.
    #[cfg(target_os = "linux")]
    pub fn now() -> Self {
        use rustix::time::{ClockId, Timespec, clock_gettime};
        let time = |clock| {
            let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
            Duration::new(u64::try_from(tv_sec).unwrap_or_default(), u32::try_from(tv_nsec).unwrap_or_default())
        };
        Self { ran: time(ClockId::Monotonic), passed: time(ClockId::Boottime) }
    }

    /// Both clocks now: elsewhere the one on the wall goes on. It may be set, which then looks like a sleep.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Self {
        use std::sync::OnceLock;
        use std::time::{Instant, SystemTime, UNIX_EPOCH};
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let ran = BEGAN.get_or_init(Instant::now).elapsed();
        Self { ran, passed: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// How long the system slept between two readings, if it did. A process that was frozen with its system awake did not sleep.
    pub fn slept_until(self, later: Self) -> Option<Duration> {
        let (ran, passed) = (later.ran.saturating_sub(self.ran), later.passed.saturating_sub(self.passed));
        passed.checked_sub(ran).filter(|slept| *slept >= LEAST)
    }
}

/// Notices sleeps that nobody announced, whenever it is looked at.
#[derive(Debug)]
pub struct SleepWatch(Reading);

impl Default for SleepWatch {
    fn default() -> Self {
        Self(Reading::now())
    }
}

impl SleepWatch {
    /// How long the system slept since this was last asked, if it did.
    pub fn slept(&mut self) -> Option<Duration> {
        let now = Reading::now();
        std::mem::replace(&mut self.0, now).slept_until(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ran: u64, passed: u64) -> Reading {
        Reading { ran: Duration::from_secs(ran), passed: Duration::from_secs(passed) }
    }

    #[test]
    fn only_a_gap_between_the_clocks_is_a_sleep() {
        assert_eq!(at(10, 10).slept_until(at(70, 3670)), Some(Duration::from_secs(3600)));
        assert_eq!(at(10, 10).slept_until(at(70, 71)), None);
        assert_eq!(at(10, 500).slept_until(at(9000, 9490)), None);
        assert_eq!(at(10, 500).slept_until(at(20, 100)), None, "a clock that was set back");
    }

    #[test]
    fn a_machine_that_runs_has_not_slept() {
        assert_eq!(SleepWatch::default().slept(), None);
    }
}
