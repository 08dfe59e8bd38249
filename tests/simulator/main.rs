//! The simulated PC against literal texts of a real Ollama server, spoken to through raw sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the verdict")]

mod disk;
mod engine;
mod faults;
mod metadata;
mod power;
mod streams;
mod wire;
