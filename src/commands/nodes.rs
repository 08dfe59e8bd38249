//! `nodes`: what the running proxy knows of its nodes, as a table. It answers from memory, so looking wakes nothing.

mod table;

use std::io::IsTerminal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::running::Running;
use super::serve::ended_by_signal;
use super::{runtime, say, settings, trust_for, working_dir};
use crate::app::Failure;
use crate::config::{self, Env, NodesArgs};

/// Between two tables of `--watch`.
const AGAIN: Duration = Duration::from_secs(2);

/// On a terminal that does not tell its width (`COLUMNS`).
const WIDTH: usize = 120;

/// Clears the screen and lets the terminal cut long lines instead of wrapping them.
const REDRAW: &str = "\x1b[H\x1b[2J\x1b[?7l";

/// Wraps lines again.
const RESTORE: &str = "\x1b[?7h";

pub(super) fn run(args: &NodesArgs, env: &Env) -> Result<(), Failure> {
    let listen = config::load_running(&args.serve, env, &working_dir()).map_err(|faults| settings(&faults))?;
    trust_for(args.proxy.url.as_ref(), &args.serve, env)?;
    let key = config::load_key(&args.serve, env, &working_dir());
    let running = Running::at(args.proxy.url.as_ref(), &listen).with_key(key.as_ref());
    let terminal = std::io::stdout().is_terminal();
    let width = env.get("COLUMNS").and_then(|columns| columns.trim().parse().ok()).or(terminal.then_some(WIDTH));
    runtime()?.block_on(async {
        if args.watch {
            watch(&running, width, terminal).await
        } else {
            let nodes = running.nodes().await.map_err(|why| Failure::Other(anyhow::anyhow!("{why}")))?;
            say(&table::draw(&nodes, unix_now(), width));
            Ok(())
        }
    })
}

/// Until Ctrl-C, or until nobody reads it. A proxy that is restarted meanwhile comes back into view by itself.
async fn watch(running: &Running, width: Option<usize>, terminal: bool) -> Result<(), Failure> {
    let mut end = ended_by_signal();
    let (redraw, restore) = if terminal { (REDRAW, RESTORE) } else { ("", "") };
    loop {
        let text = match running.nodes().await {
            Ok(nodes) => table::draw(&nodes, unix_now(), width),
            Err(why) => format!("{why}\n"),
        };
        if !say(&format!("{redraw}{text}{restore}\n")) {
            return Ok(());
        }
        tokio::select! {
            _ = end.wait_for(|asked| *asked) => return Ok(()),
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
