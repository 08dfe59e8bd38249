//! Which node serves an ask, and when: the choice, the places of each node, the waiting room, the breakers.
//!
//! `choose`, `strategies`, `breaker`, `size` and `warm` are pure: values in, values out. `desk` is the one lock around
//! all that is remembered between requests; `survey` gathers what is known of the nodes and sends nothing.

pub mod breaker;
pub mod choose;
mod desk;
pub mod explain;
pub mod size;
pub mod strategies;
mod survey;
mod waiting;
mod warm;

pub use desk::{Lease, Rules, Scheduler};
pub use survey::Need;
pub use waiting::Queued;
