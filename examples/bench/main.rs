//! The bench: `cargo run --release --example bench` prints one table of what it costs to pass through us, and through others.
//!
//! It builds our release binary, starts a fake upstream and each contender on loopback, and measures in short rounds in which
//! the contenders alternate, so that a busy moment of the machine hits them all. Ratios are taken within rounds; what is shown
//! is the median. It ends with code 1 when a bar is missed. nginx and HAProxy are taken from Debian's packages and FastAPI from
//! PyPI, all under `target/bench`; who cannot be had is left out with the reason.

#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod backend;
mod bare;
mod contenders;
mod fetch;
mod load;
mod process;
mod recipes;
mod rows;
mod streams;
mod table;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;

use contenders::{Kitchen, Who};
use process::{Program, free_address, listening, most_open};
use rows::{Bench, Scene};

#[derive(Parser)]
struct Arguments {
    /// About a minute instead of eight, and less exact
    #[arg(long)]
    quick: bool,
    /// Only these rows; repeat it
    #[arg(long, value_enum)]
    only: Vec<Scene>,
    /// Another binary than the one that is built from here
    #[arg(long)]
    binary: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// The parts that run as processes of their own.
#[derive(Clone, Copy, Subcommand)]
enum Part {
    /// The fake upstream
    Backend { at: SocketAddr },
    /// The bare hyper pass-through
    Bare {
        at: SocketAddr,
        upstream: SocketAddr,
        #[arg(long)]
        fresh: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut builder = match arguments.part {
        // As many workers as ours has at most.
        Some(Part::Bare { .. }) => tokio::runtime::Builder::new_multi_thread(),
        Some(Part::Backend { .. }) | None => tokio::runtime::Builder::new_current_thread(),
    };
    builder.worker_threads(2).enable_all().build()?.block_on(async {
        match arguments.part {
            Some(Part::Backend { at }) => backend::serve(TcpListener::bind(at).await?).await.map(|()| ExitCode::SUCCESS),
            Some(Part::Bare { at, upstream, fresh }) => {
                bare::serve(TcpListener::bind(at).await?, upstream, fresh).await.map(|()| ExitCode::SUCCESS)
            }
            None => compare(&arguments).await,
        }
    })
}

async fn compare(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let dir = target.join("bench");
    std::fs::create_dir_all(&dir)?;
    let ours = match &arguments.binary {
        Some(binary) => binary.canonicalize()?,
        None => build(root, &target)?,
    };
    let open = most_open();
    let upstream = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    let _upstream = Program::start(command.args(["backend", &upstream.to_string()]), &dir.join("upstream.log"))?;
    listening(upstream, Duration::from_secs(5)).await?;
    let kitchen = Kitchen { upstream, dir, ours, open };
    let mut bench = Bench::new(kitchen, arguments.quick);
    for who in Who::ALL {
        bench.invite(who).await;
    }
    bench.idle_memory();
    for scene in if arguments.only.is_empty() { Scene::ALL.to_vec() } else { arguments.only.clone() } {
        bench.play(scene).await;
    }
    let sheet = bench.judged();
    println!("{}\n{}\n{}", sheet.text(), sheet.markdown(), sheet.verdict());
    Ok(if sheet.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds the release binary, as a user would.
fn build(root: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO")).args(["build", "--release", "--bin", "ollama-proxy"]).current_dir(root).status();
    anyhow::ensure!(built.context("cargo is not here")?.success(), "the release binary does not build");
    Ok(target.join("release/ollama-proxy"))
}
