//! The energy account of one node: how long it was awake, asleep, or nobody knows. Pure: times come from the caller.
//!
//! Nobody looks at a sleeper to see whether it sleeps, so the account is closed backwards: a contact tells how the time
//! since the contact before it is to be booked. Time that no evidence has settled yet is *doubtful* and counts as unknown;
//! what was counted as awake or asleep is never taken back, so that counters only grow.
//!
//! Times are seconds on one axis that no set of the clock bends; zero is the start of the keeper, and the last contact of
//! an earlier run lies before it. The time between two runs of the program belongs to nobody and is not counted.

pub use crate::catalog::{KeptLedger, Seconds};
use crate::config::PowerConfig;

/// Without use, a machine goes to sleep after this time, unless its owner says otherwise.
pub const SLEEPS_AFTER: f64 = 30.0 * 60.0;

/// What a sleeping PC draws when its owner does not say: 1 to 5 W are usual.
const SLEEP_WATTS: f64 = 3.0;

const JOULES_PER_KWH: f64 = 3.6e6;

/// How the time that passes is to be booked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing tells.
    #[default]
    Unknown,
    /// It answered, and is supposed to be up until it has been left alone for long enough.
    Supposed,
    /// It is up: it boots, or refuses connections.
    Up,
    /// It does not answer.
    Asleep,
}

/// The account.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ledger {
    settled: Seconds,
    /// Supposed to be up and left alone for so long that it may have slept: the next contact tells.
    doubtful: f64,
    /// Until when all is booked.
    at: f64,
    standing: Standing,
    contact: Option<f64>,
    sleeps_after: f64,
    /// How often something was settled.
    turns: u64,
}

impl Ledger {
    /// An account that goes on from what was kept. `contact`: the last one before this start, so zero or less.
    pub(super) fn resumed(kept: KeptLedger, contact: Option<f64>, power: &PowerConfig) -> Self {
        let sound = |seconds: f64| if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        let Seconds { awake, asleep, unknown } = kept.settled;
        Self {
            settled: Seconds { awake: sound(awake), asleep: sound(asleep), unknown: sound(unknown) },
            doubtful: sound(kept.doubtful),
            at: 0.0,
            standing: if contact.is_some() { Standing::Supposed } else { Standing::Unknown },
            contact: contact.map(|contact| contact.min(0.0)),
            sleeps_after: sleeps_after(power),
            turns: kept.turns,
        }
    }

    /// Its owner has another word on it from now on.
    pub(super) fn draws(&mut self, power: &PowerConfig) {
        self.sleeps_after = sleeps_after(power);
    }

    /// Books the time until `now`, given the last contact.
    pub(super) fn book(&mut self, now: f64, contact: Option<f64>) {
        let now = now.max(self.at);
        if contact.is_some_and(|new| self.contact.is_none_or(|old| new > old)) {
            self.contact = contact.map(|contact| contact.min(now));
            // It answers after all, so it had not fallen asleep.
            self.settled.awake += std::mem::take(&mut self.doubtful);
        }
        let passed = now - self.at;
        match self.standing {
            Standing::Unknown => self.settled.unknown += passed,
            Standing::Up => self.settled.awake += passed,
            Standing::Asleep => self.settled.asleep += passed,
            Standing::Supposed => {
                let tired = self.contact.map_or(self.at, |contact| contact + self.sleeps_after);
                let awake = (tired.min(now) - self.at).clamp(0.0, passed);
                self.settled.awake += awake;
                self.doubtful += passed - awake;
            }
        }
        self.at = now;
    }

    /// From now on it stands so.
    pub(super) fn stands(&mut self, standing: Standing, now: f64, contact: Option<f64>) {
        self.book(now, contact);
        if self.standing != standing {
            self.turns += 1;
            self.standing = standing;
        }
        if matches!(standing, Standing::Unknown) {
            self.settled.unknown += std::mem::take(&mut self.doubtful);
        }
    }

    /// A contact found it asleep: what was doubtful it has slept. Returns since when, unless that is not known.
    pub(super) fn found_asleep(&mut self, now: f64, contact: Option<f64>) -> Option<f64> {
        self.book(now, contact);
        self.settled.asleep += std::mem::take(&mut self.doubtful);
        self.turns += 1;
        let supposed = std::mem::replace(&mut self.standing, Standing::Asleep) == Standing::Supposed;
        let tired = self.contact.filter(|_| supposed)? + self.sleeps_after;
        (tired < now).then_some(tired)
    }

    /// The account as it stands at this moment; what is doubtful counts as unknown.
    pub(super) fn seconds(mut self, now: f64, contact: Option<f64>) -> Seconds {
        self.book(now, contact);
        Seconds { unknown: self.settled.unknown + self.doubtful, ..self.settled }
    }

    /// What is to be kept over a restart.
    pub(super) fn kept(mut self, now: f64, contact: Option<f64>) -> KeptLedger {
        self.book(now, contact);
        KeptLedger { settled: self.settled, doubtful: self.doubtful, turns: self.turns }
    }
}

fn sleeps_after(power: &PowerConfig) -> f64 {
    power.sleeps_after.map_or(SLEEPS_AFTER, |after| after.as_secs_f64())
}

/// What an account is worth in energy, as an estimate. `None` where the owner has not said what the machine draws.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// What it drew, at its idle draw while it was up.
    pub used_joules: f64,
    /// What its sleep saved against its being always on.
    pub saved_joules: f64,
}

impl Energy {
    /// By the watts that the owner states.
    pub fn of(seconds: Seconds, power: &PowerConfig) -> Option<Self> {
        let idle = power.idle_watts?;
        let sleep = power.sleep_watts.unwrap_or(SLEEP_WATTS).min(idle);
        let used_joules = seconds.awake * idle + seconds.asleep * sleep;
        Some(Self { used_joules, saved_joules: seconds.asleep * (idle - sleep) })
    }

    /// What it drew, in kilowatt-hours.
    pub fn used_kwh(self) -> f64 {
        self.used_joules / JOULES_PER_KWH
    }

    /// What was saved, in kilowatt-hours.
    pub fn saved_kwh(self) -> f64 {
        self.saved_joules / JOULES_PER_KWH
    }
}

#[cfg(test)]
mod tests;
