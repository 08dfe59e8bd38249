//! `controller`: the proxy, with nodes that register themselves.

use super::serve::until_ended;
use super::working_dir;
use crate::app::Failure;
use crate::config::{self, ControllerArgs, Env};
use crate::server::Threads;

pub(super) fn run(args: &ControllerArgs, env: &Env) -> Result<(), Failure> {
    until_ended(config::load_controller(args, env, &working_dir()), Threads::start)
}
