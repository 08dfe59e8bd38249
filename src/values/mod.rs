//! The nouns every other room speaks in. Pure: no I/O, no clock.

mod agent;
mod allowance;
mod client;
mod dialect;
mod fault;
mod mac;
mod model;
mod names;
mod strategy;
mod url;

pub use agent::agent_family;
pub use allowance::{Allowance, Allowances};
pub use client::ClientId;
pub use dialect::Dialect;
pub use fault::{Fault, Kind, Retry, Whose};
pub use mac::{BadMac, Mac, SecureOn};
pub use model::{ModelKey, ModelName, ModelSize};
pub use names::NodeName;
pub use strategy::{BadStrategy, Strategy};
pub use url::{decoded, encoded_part, server_of, url};
