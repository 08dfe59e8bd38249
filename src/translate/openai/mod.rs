//! OpenAI's dialect, from both ends: as a client speaks it, and as a provider answers it.

pub(crate) mod ask;
pub(crate) mod reader;
pub(crate) mod request;
pub(crate) mod writer;
