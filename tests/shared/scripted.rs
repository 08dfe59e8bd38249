//! The proxy between a client and a node that are both scripted byte by byte: the rig of `tests/passage`, for other suites.
//! They bring its parts into their root, where the parts look for each other.

#[path = "../passage/client.rs"]
pub mod client;
#[path = "../passage/node.rs"]
pub mod node;
#[path = "program.rs"]
pub mod program;
#[path = "../passage/proxy.rs"]
pub mod proxy;
#[path = "../passage/wire.rs"]
pub mod wire;
