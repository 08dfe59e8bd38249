//! The network laboratory: the real binary on a real (virtual) network with a host that really goes silent.
//!
//! Each test builds its own Linux network namespaces: a bridge, a `pi` that runs the proxy and its clients, and GPU hosts with their own
//! hardware addresses. A sleeping host drops every frame at its card and its Ollama is stopped; a tap records what
//! arrives and wakes the host on a magic packet. It needs root, `ip` and `nft`; without them every test says so and
//! passes, except with `CI=true`.
//!
//! Logs of each test lie in `target/lab/TEST/` and are printed when it fails. Most tests only wait: run them with more
//! threads than cores (`cargo test --test lab -- --test-threads 8`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod calls;
#[path = "host/frame.rs"]
#[allow(dead_code, reason = "the host program reads frames, the tests only look at them")]
mod frame;
mod network;
mod plan;
mod program;
mod proxy;
mod service;
mod sleeper;
#[path = "client/words.rs"]
mod words;

mod cluster;
mod distribution;
mod dormant;
mod ending;
mod falling_asleep;
mod first_use;
mod four;
mod listing;
mod networks;
mod never_wakes;
mod refusals;
mod self_check;
mod several_addresses;
mod several_hosts;
mod silence;
mod wake_url;
mod waking;
