//! What the operator sees of us: log lines, metrics, and the journal.

pub mod journal;
mod log;
pub mod metrics;

pub use log::start;
