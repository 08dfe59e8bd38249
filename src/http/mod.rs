//! Bodies, headers and replies: HTTP as this program uses it, with no knowledge of Ollama's routes.

pub mod body;
pub mod headers;
pub mod reply;

pub use body::{Body, BoxError, Budget, Buffered};
