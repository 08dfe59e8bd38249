//! Tells the owner.
