//! Controllers and workers: a worker runs beside an Ollama, registers with every controller and tells how it is; a
//! controller makes a node of it and watches that it goes on telling.
//!
//! What a controller knows of its workers is soft state: each controller has its own, a worker tells it anew whenever it
//! is asked who it is. So controllers need no store in common and may come and go.
//!
//! What is refused: an address that is not the caller's own, a caller without the key, and, without a key, every caller
//! from another machine.

mod access;
mod announcer;
mod controller;
mod door;
pub mod hold;
mod link;
mod machine;
mod message;
mod name;
mod registry;
pub mod rest;
mod watchman;
mod worker;

pub use access::Access;
pub use announcer::{Announcer, Condition};
pub use controller::Controller;
pub use door::Door;
pub use message::{Heartbeat, Interface, PowerWord, Refusal, Registration, Slots, Status};
pub use registry::{Changes, Registry};
pub use watchman::Watchman;
pub use worker::Worker;
