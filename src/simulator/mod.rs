//! A simulated GPU PC that runs an Ollama-like server: for `ollama-proxy demo`, for examples and for tests.
//!
//! Its answers have the shape, headers and order of a real server's, its models load, queue and leave memory by Ollama's
//! rules, and the text it generates is always the same: `token 1 token 2 …`.

mod account;
mod blobs;
mod body;
mod compatible;
mod connection;
mod control;
mod counters;
mod embeddings;
mod engine;
mod faults;
mod generation;
mod inference;
mod library;
mod metadata;
mod names;
mod native;
mod ollama;
mod power;
mod queue;
mod reply;
mod request;
mod routes;
mod settings;
mod shelf;
mod transcription;
mod voice;

pub use counters::Counters;
pub use faults::Failure;
pub use ollama::Ollama;
pub use power::{PcEvent, PcSettings, SimulatedPc};
pub use settings::{Settings, SimulatedModel};
