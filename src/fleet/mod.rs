//! The nodes: what is known of each, its power, and the one task per node that keeps it.

pub mod power;

mod neighbours;
mod wake;
