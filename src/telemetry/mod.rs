//! What the operator sees of us: log lines, metrics, and the journal.

mod ink;
pub mod journal;
mod log;
pub mod metrics;

pub use ink::{flush, rest};
pub use log::start;
