//! `ollama-proxy` stands where Ollama stood on the network, answers what needs no GPU while the GPU PC sleeps,
//! wakes it when a request needs it, and streams the answer through byte for byte.
//!
//! # The rooms
//!
//! A room looks only down; rooms on one floor do not see each other (`tests/floors.rs` holds this).
//!
//! | floor | rooms |
//! |---|---|
//! | 8 | `main`, [`commands`], [`app`]: the only wiring |
//! | 7 | [`front`]: own endpoints, access, else the proxy |
//! | 6 | [`proxy`]: the way of a request · [`cluster`]: controllers and workers · [`dashboard`]: pages, events and records · [`notify`]: tells the owner |
//! | 5 | [`schedule`]: which node, leases |
//! | 4 | [`fleet`]: nodes, the power machine, keepers, waking |
//! | 3 | [`catalog`]: what nodes hold · [`translate`]: dialects and their streams · [`upstream`]: clients of nodes · [`provider`]: the cloud · [`simulator`]: a PC for demo and tests |
//! | 2 | [`classify`]: request → ask · [`server`]: accept loop, limits, graceful end · [`storage`]: files of the data directory · [`exporter`]: the sockets of a local Ollama |
//! | 1 | [`http`] · [`config`] · [`telemetry`] · [`netlink`]: the form of the kernel's messages |
//! | 0 | [`values`] |
//!
//! # The way of a request
//!
//! One list in one file: `src/proxy/mod.rs`.
//!
//! # What is refused
//!
//! - A dormant sleeper gets no packet that no inference request asked for (`fleet::power` decides, nobody else sends).
//! - `server` knows no Ollama. `classify`, `translate`, `fleet::power`, `schedule` never await, read no clock, never log.
//! - Nothing a request awaits is owned by that request if others could share it: wakes, loads and fills run in a node's keeper.

pub mod app;
pub mod catalog;
pub mod classify;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod dashboard;
pub mod exporter;
pub mod fleet;
pub mod front;
pub mod http;
pub mod netlink;
pub mod notify;
pub mod provider;
pub mod proxy;
pub mod schedule;
pub mod server;
pub mod simulator;
pub mod storage;
pub mod telemetry;
pub mod translate;
pub mod upstream;
pub mod values;
