//! Many machines: workers that register, and what they do for the machine on which they run.

pub mod hold;
pub mod rest;
