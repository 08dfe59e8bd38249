//! What the operator sees of us: log lines and metrics.

mod log;
pub mod metrics;

pub use log::start;
