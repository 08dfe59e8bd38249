//! Bodies, headers and replies: HTTP as this program uses it, with no knowledge of Ollama's routes.

mod bell;
pub mod body;
mod ended;
mod guarded;
pub mod headers;
pub mod outward;
pub mod reply;

pub use bell::Quietly;
pub use body::{Body, BoxError, Budget, Buffered};
pub use ended::ended_by;
pub use guarded::guarded;
