//! Who may do what: a test for each row of SECURITY.md, over real sockets. Nodes, wake services and providers are scripted
//! byte by byte; what they hear is what counts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod greedy;
mod house;
mod keys;
mod open;
mod sessions;
mod table;
mod upstream;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/scripted.rs"]
mod scripted;

use scripted::{client, node, program, proxy, wire};
