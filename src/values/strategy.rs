//! By what a node is chosen among equally good ones.

use std::fmt;
use std::str::FromStr;

/// How requests are shared out among nodes that could serve equally well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// In turn.
    #[default]
    RoundRobin,
    /// The node with the fewest requests running.
    LeastConnections,
    /// In turn, as often as `weight` says, spread evenly.
    WeightedRoundRobin,
    /// The node with the smallest part of its capacity taken.
    LeastLoaded,
    /// The node that draws the least (`power.idle_watts`), then the least loaded.
    LeastEnergy,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 5] =
        [Self::RoundRobin, Self::LeastConnections, Self::WeightedRoundRobin, Self::LeastLoaded, Self::LeastEnergy];

    /// The word in settings and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::LeastLoaded => "least_loaded",
            Self::LeastEnergy => "least_energy",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that names no strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStrategy;

impl fmt::Display for BadStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write round_robin, least_connections, weighted_round_robin, least_loaded or least_energy")
    }
}

impl std::error::Error for BadStrategy {}

impl FromStr for Strategy {
    type Err = BadStrategy;

    /// `-` and `_`, large and small letters are the same.
    fn from_str(text: &str) -> Result<Self, BadStrategy> {
        let word = text.trim().to_ascii_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|strategy| strategy.word() == word).ok_or(BadStrategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_read_whatever_its_case_and_hyphens() {
        for strategy in Strategy::ALL {
            let word = strategy.word();
            for text in [word.to_owned(), word.replace('_', "-"), word.to_uppercase(), format!(" {word} ")] {
                assert_eq!(text.parse(), Ok(strategy), "{text}");
            }
        }
        assert_eq!(Strategy::default(), Strategy::RoundRobin);
    }

    #[test]
    fn another_word_is_refused_with_the_words_that_are_known() {
        for text in ["", "random", "roundrobin", "least"] {
            let refused = text.parse::<Strategy>().unwrap_err().to_string();
            assert!(Strategy::ALL.iter().all(|strategy| refused.contains(strategy.word())), "{text}");
        }
    }
}
