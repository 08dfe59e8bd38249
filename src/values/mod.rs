//! The nouns every other room speaks in. Pure: no I/O, no clock.

mod agent;
mod allowance;
mod client;
mod dialect;
mod fault;
mod future;
mod mac;
mod model;
mod names;
mod order;
mod strategy;
mod url;

pub use agent::agent_family;
pub use allowance::{Allowance, Allowances};
pub use client::ClientId;
pub use dialect::Dialect;
pub use fault::{Fault, Kind, Retry, Whose};
pub use future::{BoxFuture, boxed};
pub use mac::{BadMac, Mac, SecureOn};
pub use model::{ModelKey, ModelName, ModelSize};
pub use names::NodeName;
pub use order::{sort_by, sort_by_key};
pub use strategy::{BadStrategy, Strategy};
pub use url::{decoded, encoded_part, server_of, url};
