//! Machines that are held awake while they work, and put to sleep when they do not: by the proxy, and by their worker. And
//! machines behind one name.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]
#![cfg(target_os = "linux")]

mod by_hand;
mod clocks;
mod holds;
mod house;
mod logind;
mod names;
mod overhead;
mod rests;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;
mod waste;
