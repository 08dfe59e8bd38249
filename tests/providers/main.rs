//! Cloud providers behind the proxy, over real sockets: what the client gets, what the provider heard, and what no node
//! and no reader of logs ever learns. The providers are stand-ins that refuse what the real ones refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]
#![allow(clippy::format_push_string, clippy::format_collect, clippy::large_stack_arrays, reason = "a test writes HTTP by hand")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]

mod choice;
mod counted;
mod failures;
mod fallback;
mod keys;
mod learnt;
mod lists;
mod media;
mod nodes;
mod relayed;
mod rig;
mod translated;

#[path = "../../examples/simulated_cloud/anthropic.rs"]
mod anthropic;
#[path = "../../examples/simulated_cloud/openai.rs"]
mod openai;
#[path = "../../examples/simulated_cloud/schema.rs"]
mod schema;
#[path = "../../examples/simulated_cloud/server.rs"]
mod server;
#[path = "../../examples/simulated_cloud/sight.rs"]
mod sight;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/scripted.rs"]
mod scripted;

use scripted::{client, node, program, proxy, wire};
