//! The way of a request through the proxy, seen from both ends: what the client said against what the node heard, and
//! back. Nodes are scripted byte by byte; nothing here sleeps to hope for the best, except where silence is asserted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]
#![allow(clippy::format_push_string, clippy::format_collect, reason = "a test writes HTTP by hand")]
#![allow(clippy::unused_async, clippy::large_stack_arrays, reason = "a test reads the same whether a step waits or not")]

mod after_first_byte;
mod before_first_byte;
mod bytes;
mod catalog;
mod client;
mod connections;
mod departure;
mod end;
mod events;
mod first_model;
mod headers;
#[cfg(target_os = "linux")]
mod idle;
mod keep_awake;
mod node;
mod notices;
mod own_endpoints;
mod proxy;
#[cfg(target_os = "linux")]
mod readers;
mod records;
mod several_nodes;
mod sleepers;
mod uploads;
mod wire;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod program;
