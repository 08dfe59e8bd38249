//! A simulated GPU PC that runs an Ollama-like server: for `ollama-proxy demo`, for examples and for tests.
//!
//! Its answers have the shape, headers and order of a real server's, its models load, queue and leave memory by Ollama's
//! rules, and the text it generates is always the same: `token 1 token 2 …`.

mod body;
mod connection;
mod control;
mod counters;
mod engine;
mod faults;
mod generation;
mod inference;
mod metadata;
mod names;
mod native;
mod ollama;
mod reply;
mod request;
mod settings;
mod shelf;
mod voice;

pub use counters::Counters;
pub use faults::Failure;
pub use ollama::Ollama;
pub use settings::{Settings, SimulatedModel};
