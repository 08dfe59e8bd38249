//! A simulated Ollama server to try things out against: no GPU, no model files, answers of the right shape.
//!
//! ```text
//! cargo run --example simulated_ollama -- --listen 127.0.0.1:11434 --load 2s --first-token 50ms --token-gap 20ms
//! ```
//!
//! It prints `listening on ADDRESS` once it accepts connections, and ends on SIGTERM or Ctrl-C.

use std::time::Duration;

use clap::Parser;
use ollama_proxy::simulator::{Ollama, Settings, SimulatedModel};
use tokio::net::TcpListener;

/// A simulated Ollama server.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:11434")]
    listen: String,
    /// How long a model takes to load
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    load: Duration,
    /// From the start of a generation to its first token
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    first_token: Duration,
    /// Between two tokens
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    token_gap: Duration,
    /// How many tokens an answer has
    #[arg(long, default_value_t = 20)]
    tokens: usize,
    /// The word in every token, to tell this server's answers from another's
    #[arg(long, default_value = "token")]
    word: String,
    /// A model on its disk, with its size: `llama3.3:70b=70.6B`; may be repeated. Default: a small one and an embedder
    #[arg(long = "model", value_parser = model)]
    models: Vec<SimulatedModel>,
    /// How many generations one loaded model runs at a time
    #[arg(long, default_value_t = 1)]
    parallel: usize,
    /// What /api/version says
    #[arg(long, default_value = "0.12.6")]
    version: String,
    /// Serve the control routes under /sim/ (for tests)
    #[arg(long)]
    control: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let usual = Settings::default();
    let settings = Settings {
        models: if arguments.models.is_empty() { usual.models.clone() } else { arguments.models },
        load: arguments.load,
        first_token: arguments.first_token,
        token_gap: arguments.token_gap,
        tokens: arguments.tokens,
        word: arguments.word,
        parallel: arguments.parallel,
        version: arguments.version,
        control: arguments.control,
        ..usual
    };
    let listener = TcpListener::bind(&arguments.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    Ollama::new(settings).serve(listener, ended()).await;
    Ok(())
}

/// A model that chats, from `NAME=SIZE`.
fn model(text: &str) -> Result<SimulatedModel, String> {
    let (name, size) = text.split_once('=').ok_or("must be NAME=SIZE, such as llama3.3:70b=70.6B")?;
    Ok(SimulatedModel::chat(name, size, 2_000_000_000))
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
