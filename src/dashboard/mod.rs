//! What people look at. Nothing here ever contacts a node, and looking wakes none.

pub mod pages;
