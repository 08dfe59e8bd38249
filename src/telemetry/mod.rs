//! What the operator sees of us: log lines.

mod log;

pub use log::start;
