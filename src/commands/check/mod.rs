//! `check`: looks for faults in settings, network and nodes, and says the way out of each.

use super::{settings, working_dir};
use crate::app::Failure;
use crate::config::{self, CheckArgs, Env};

pub(super) fn run(args: &CheckArgs, env: &Env) -> Result<(), Failure> {
    let _config = config::load(&args.serve, env, &working_dir()).map_err(|faults| settings(&faults))?;
    Ok(())
}
