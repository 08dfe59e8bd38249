//! When a node is kept awake without traffic.

use std::time::Duration;

/// The opt-in of `--keep-awake`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepAwake {
    /// Nodes sleep when they like (default).
    Off,
    /// For this long after the last inference request.
    After(Duration),
}
