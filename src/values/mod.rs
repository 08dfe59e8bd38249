//! The nouns every other room speaks in. Pure: no I/O, no clock.

mod agent;
mod dialect;
mod fault;
mod mac;
mod model;
mod names;
mod strategy;

pub use agent::agent_family;
pub use dialect::Dialect;
pub use fault::{Fault, Kind, Retry, Whose};
pub use mac::{BadMac, Mac, SecureOn};
pub use model::{ModelKey, ModelName, ModelSize};
pub use names::NodeName;
pub use strategy::{BadStrategy, Strategy};
