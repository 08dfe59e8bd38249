//! `controller`: the proxy, with nodes that register themselves.

use super::serve::ended_by_signal;
use super::{runtime, settings, working_dir};
use crate::app::{self, Failure};
use crate::config::{self, ControllerArgs, Env};
use crate::telemetry;

pub(super) fn run(args: &ControllerArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load_controller(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    telemetry::start(config.log.json, config.log.level.into());
    runtime()?.block_on(async {
        let listeners = app::bind(&config.listen)?;
        app::serve(config, listeners, ended_by_signal()).await
    })
}
