//! What each node is known to hold and to have answered: lists, versions and shows, the answers composed from them
//! while nodes sleep, and the snapshot that carries them over a restart.
//!
//! Everything here is a value or a pure composition of values; only `snapshot` touches the disk and nothing here ever
//! asks a node. A node's keeper replaces its [`Holding`] whole.

mod answers;
mod holding;
mod index;
mod ps;
mod shows;
mod snapshot;
mod times;
mod versions;
mod words;

pub use answers::{Cached, Listed, Lookup, View, listed, model_v1, models_v1, show, status, tags, version};
pub use holding::{Answer, BadAnswer, Holding, Model, Stamp};
pub use index::Index;
pub use ps::ps_merged;
pub use shows::{Shows, Wanted};
pub use snapshot::{Kept, KeptLedger, NodeSnapshot, RawJson, Seconds, Snapshot, load, save};
pub use words::{not_found_text, unload_answer};
