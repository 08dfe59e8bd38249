//! What a keeper publishes of its node: an immutable value that anybody may read at any time.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::account::Account;
use super::power::{Means, Power};
use crate::catalog::Holding;
use crate::config::NodeConfig;
use crate::values::{Mac, sort_by};

/// What is known of a node at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// How it stands.
    pub power: Power,
    /// Since when it stands so, by the clock on the wall.
    pub since: SystemTime,
    /// What can be done when it sleeps.
    pub means: Means,
    /// What it holds and has answered.
    pub holding: Holding,
    /// Keys of loads that are under way in its keeper; asks for them wait.
    pub loading: Vec<String>,
    /// The MAC that packets are made for.
    pub mac: Option<KnownMac>,
    /// Its last good address.
    pub address: Option<IpAddr>,
    /// Seconds that its last wakes took, oldest first, at most 20.
    pub wake_history: Vec<f64>,
    /// What was last observed against it, in words.
    pub trouble: Option<String>,
    /// What hinders waking it, in words for its owner.
    pub hindrance: Option<String>,
    /// What its owner should know, such as Windows' two-minute sleep.
    pub advice: Option<String>,
    /// When it was last woken by us.
    pub woken: Option<Instant>,
    /// Who asked for the wake under way, or the last one, in words.
    pub asked_by: Option<String>,
    /// How long it was awake and asleep.
    pub energy: Account,
}

/// A MAC and where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMac {
    /// The address.
    pub mac: Mac,
    /// Its source.
    pub source: MacSource,
}

/// Where a MAC came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacSource {
    /// The settings.
    Set,
    /// The neighbour table, after an answer of the node.
    Learnt,
}

impl MacSource {
    /// The word in JSON and pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Learnt => "learnt",
        }
    }
}

impl View {
    /// How long a wake usually takes: the median of the last ones.
    pub fn usual_wake(&self) -> Option<Duration> {
        let mut seconds = self.wake_history.clone();
        sort_by(&mut seconds, f64::total_cmp);
        seconds.get(seconds.len() / 2).map(|median| Duration::from_secs_f64(median.clamp(0.0, 3600.0)))
    }

    /// Where it probably is: its last good address, or the one it was given as a number. Asks no name server.
    pub fn presumed_address(&self, config: &NodeConfig) -> Option<IpAddr> {
        self.address.or_else(|| config.hosts.first()?.host.parse().ok())
    }

    /// When the campaign under way began.
    pub fn waking_since(&self) -> Option<Instant> {
        match &self.power {
            Power::Waking(campaign) => Some(campaign.since),
            _ => None,
        }
    }
}
