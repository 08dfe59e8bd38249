//! Ollama's own dialect, from both ends: as a client speaks it, and as a node answers it.

pub(crate) mod ask;
pub(crate) mod reader;
pub(crate) mod request;
pub(crate) mod writer;
