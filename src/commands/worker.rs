//! `worker`: the proxy before the Ollama of its own machine, which registers itself with controllers.

use super::serve::ended_by_signal;
use super::{runtime, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, Env, WorkerArgs};
use crate::telemetry;

pub(super) fn run(args: &WorkerArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load_worker(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    runtime()?.block_on(async {
        let listeners = app::bind(&config.listen)?;
        app::serve(config, listeners, ended_by_signal()).await
    })
}
