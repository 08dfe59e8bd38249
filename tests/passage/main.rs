//! The way of a request through the proxy, seen from both ends: what the client said against what the node heard, and
//! back. Nodes are scripted byte by byte; nothing here sleeps to hope for the best, except where silence is asserted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod bytes;
mod client;
mod departure;
mod headers;
mod node;
mod proxy;
mod uploads;
mod wire;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod program;
