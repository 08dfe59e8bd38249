//! Clients of nodes: connect (where evidence is seen), exchange one request, make our own small calls; and of services
//! outside, by the same codec.
//!
//! The connection is driven inside the caller's own task: no connection task, no channel between it and the body.
//! There is no pool toward sleepers: a fresh connect costs 0.3 ms, a stale connection hangs for minutes.

mod call;
mod dial;
mod exchange;
mod framing;
mod head;
mod idle;
mod in_order;
pub mod outward;
mod reading;
mod socket;
mod trouble;
mod upload;
mod wire;

#[cfg(test)]
mod reading_tests;

pub use call::{Call, Reply, begin_over, call, call_over};
pub use dial::{Link, connect, resolve};
pub use exchange::{AnswerBody, Ready, exchange};
pub use head::RequestHead;
pub use idle::Idle;
pub use in_order::{Way, connect_in_order};
pub use reading::Reading;
pub use socket::Socket;
pub use trouble::Trouble;
pub use upload::Upload;
