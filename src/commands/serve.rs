//! `serve`: the proxy itself.

use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{runtime, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Config, Env, Faults, ServeArgs};
use crate::telemetry;
use crate::values::boxed;

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    until_ended(config::load(args, env, &working_dir()), runtime())
}

/// Serves by settings that were read, as `controller` and `worker` do too.
pub(super) fn until_ended(config: Result<Config, Faults>, runtime: Result<Runtime, Failure>) -> Result<(), Failure> {
    let config = config.map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    runtime?.block_on(async {
        let listeners = app::bind(&config.listen)?;
        app::serve(config, listeners, ended_by_signal()).await
    })
}

/// Turns true on SIGTERM or Ctrl-C.
pub(super) fn ended_by_signal() -> watch::Receiver<bool> {
    let (end, ended) = watch::channel(false);
    tokio::spawn(boxed(async move {
        signal().await;
        tracing::info!("asked to end: no new requests, running answers get 30 s");
        let _ = end.send(true);
        // The sender lives on, so that receivers never see it closed.
        end.closed().await;
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
