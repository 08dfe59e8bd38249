//! Cloud providers behind the proxy, over real sockets: what the client gets, what the provider heard, and what no node
//! and no reader of logs ever learns. The providers are stand-ins that refuse what the real ones refuse.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]
#![allow(clippy::format_push_string, clippy::format_collect, clippy::large_stack_arrays, reason = "a test writes HTTP by hand")]
#![allow(missing_docs, unreachable_pub, reason = "tests")]

mod choice;
mod counted;
mod failures;
mod keys;
mod learnt;
mod lists;
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
#[path = "../passage/client.rs"]
mod client;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../passage/node.rs"]
mod node;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod program;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../passage/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../passage/wire.rs"]
mod wire;
