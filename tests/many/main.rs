//! Several nodes: which one serves, what follows when one fails, who waits. Nodes are scripted byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod choice;
mod counted;
mod failing;
mod fleet;
mod hosts;
mod mutations;
mod places;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/scripted.rs"]
mod scripted;

use scripted::{client, node, program, proxy, wire};
