//! Stand-ins of cloud providers to try things out against: OpenAI with Azure, and Anthropic, by their public references. They
//! refuse what the real ones refuse, and what they say depends on words in the request, such as `call the tool`.
//!
//! ```text
//! cargo run --example simulated_cloud -- --key anything-long
//! ```
//!
//! It prints where both listen and ends on SIGTERM or Ctrl-C. `GET /sim/counters` tells what was asked and dropped,
//! `GET /sim/heard` the last requests.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a stand-in for tests may panic")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "shared with tests")]

mod anthropic;
mod openai;
mod schema;
mod server;
mod sight;

use clap::Parser;
use server::Server;

/// Simulated cloud providers.
#[derive(Parser)]
struct Arguments {
    /// Where OpenAI and Azure listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0")]
    openai: String,
    /// Where Anthropic listens
    #[arg(long, default_value = "127.0.0.1:0")]
    anthropic: String,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let openai = Server::at(&arguments.openai, openai::answer).await;
    let anthropic = Server::at(&arguments.anthropic, anthropic::answer).await;
    println!("openai listening on http://{} with the key {}", openai.address, openai::KEY);
    println!("azure listening on http://{} with the key {}", openai.address, openai::AZURE_KEY);
    println!("anthropic listening on http://{} with the key {}", anthropic.address, anthropic::KEY);
    ended().await;
}

/// Ready at SIGTERM or Ctrl-C.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
