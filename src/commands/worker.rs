//! `worker`: the proxy before the Ollama of its own machine, which registers itself with controllers.

use super::serve::ended_by_signal;
use super::{settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Env, WorkerArgs};
use crate::telemetry;

/// One thread: its one Ollama needs no more, and a second costs each request its wake-ups and the machine its memory.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::Other(error.into()))
}

pub(super) fn run(args: &WorkerArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load_worker(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    runtime()?.block_on(async {
        let listeners = app::bind(&config.listen)?;
        app::serve(config, listeners, ended_by_signal()).await
    })
}
