//! `serve`: the proxy itself.

use tokio::sync::watch;

use super::{had, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Config, Env, Faults, ServeArgs};
use crate::server::Threads;
use crate::telemetry;
use crate::values::boxed;

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    until_ended(config::load(args, env, &working_dir()), Threads::start)
}

/// Serves by settings that were read, as `controller` and `worker` do too.
pub(super) fn until_ended(config: Result<Config, Faults>, threads: fn() -> std::io::Result<Threads>) -> Result<(), Failure> {
    let config = config.map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    had(threads())?.run(async |cores| {
        let listeners = app::bind(&config.listen)?;
        app::serve(config, listeners, ended_by_signal(), cores).await
    })
}

/// How a shell tells that Ctrl-C ended a program.
const CUT_BY_HAND: i32 = 130;

/// Turns true on SIGTERM or Ctrl-C. Whoever presses Ctrl-C a second time does not wait for running answers.
pub(super) fn ended_by_signal() -> watch::Receiver<bool> {
    let (end, ended) = watch::channel(false);
    tokio::spawn(boxed(async move {
        signal().await;
        tracing::info!("asked to end: no new requests, running answers get 30 s; Ctrl-C ends at once");
        let _ = end.send(true);
        // The sender lives on, so that receivers never see it closed.
        tokio::select! {
            () = end.closed() => {}
            Ok(()) = tokio::signal::ctrl_c() => {
                tracing::warn!("ended at once: running answers are cut");
                telemetry::flush();
                std::process::exit(CUT_BY_HAND);
            }
        }
    }));
    ended
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
