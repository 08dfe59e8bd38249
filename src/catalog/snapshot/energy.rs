//! How long a node was awake and asleep, as it is kept over a restart. What it means is the business of whoever books it.

use serde::{Deserialize, Serialize};

/// Seconds by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seconds {
    /// The machine was up.
    pub awake: f64,
    /// It slept, or was off.
    pub asleep: f64,
    /// No evidence tells.
    pub unknown: f64,
}

impl Seconds {
    /// All of them.
    pub fn total(self) -> f64 {
        self.awake + self.asleep + self.unknown
    }
}

/// What is kept of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptLedger {
    /// What was settled.
    pub settled: Seconds,
    /// What the next contact will settle.
    pub doubtful: f64,
    /// How often something was settled; a change of it is worth a write.
    pub turns: u64,
}
