//! The energy account of a node by the clock of this process. The pure part is `energy`.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::energy::{KeptLedger, Ledger, Seconds, Standing};
use super::power::Power;
use crate::catalog::NodeSnapshot;
use crate::config::{NodeConfig, PowerConfig};

/// A ledger with the moment that is zero on its axis.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    ledger: Ledger,
    origin: Instant,
    /// The last contact before this start, in Unix seconds.
    seen_before: Option<u64>,
}

impl Account {
    /// Goes on from what was kept.
    pub(super) fn resumed(known: &NodeSnapshot, power: &PowerConfig) -> Self {
        let ago = |seen: u64| {
            let then = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seen))?;
            // A contact that lies ahead of the clock was just now.
            Some(-SystemTime::now().duration_since(then).unwrap_or_default().as_secs_f64())
        };
        let ledger = Ledger::resumed(known.energy, known.last_seen.and_then(ago), power);
        Self { ledger, origin: Instant::now(), seen_before: known.last_seen }
    }

    /// Goes on under other settings; `power` is how the new keeper finds it.
    pub(super) fn handed_on(mut self, contact: Option<Instant>, power: &Power, config: &NodeConfig) -> Self {
        match power {
            Power::Unknown => {
                self.stands(Standing::Unknown, contact);
                self.seen_before = None;
            }
            Power::Asleep if !config.always_on => self.stands(Standing::Asleep, contact),
            _ => {
                let (now, contact) = self.times(contact);
                self.ledger.book(now, contact);
            }
        }
        self.ledger.draws(&config.power);
        self
    }

    /// When it last answered before this start, in Unix seconds.
    pub(super) fn seen_before(&self) -> Option<u64> {
        self.seen_before
    }

    /// From now on it stands so; `contact` is the last one.
    pub(super) fn stands(&mut self, standing: Standing, contact: Option<Instant>) {
        let (now, contact) = self.times(contact);
        self.ledger.stands(standing, now, contact);
    }

    /// A contact found it asleep. Returns for how many seconds, unless that is not known.
    pub(super) fn found_asleep(&mut self, contact: Option<Instant>) -> Option<f64> {
        let (now, contact) = self.times(contact);
        self.ledger.found_asleep(now, contact).map(|since| now - since)
    }

    /// How it stands at this moment.
    pub(super) fn seconds(&self, contact: Option<Instant>) -> Seconds {
        let (now, contact) = self.times(contact);
        self.ledger.seconds(now, contact)
    }

    /// What is to be kept over a restart.
    pub(super) fn kept(&self, contact: Option<Instant>) -> KeptLedger {
        let (now, contact) = self.times(contact);
        self.ledger.kept(now, contact)
    }

    fn times(&self, contact: Option<Instant>) -> (f64, Option<f64>) {
        let since = |at: Instant| at.saturating_duration_since(self.origin).as_secs_f64();
        (since(Instant::now()), contact.map(since))
    }
}
