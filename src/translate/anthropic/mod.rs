//! Anthropic's Messages, from both ends: as a client speaks them, and as the provider answers them.

pub(crate) mod ask;
pub(crate) mod reader;
pub(crate) mod request;
mod schema;
pub(crate) mod writer;
