//! Controllers and workers as the real programs: registration, heartbeats, what bad input and strangers get.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[path = "../shared/chat.rs"]
mod chat;
mod house;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

mod internal;
mod registration;
