//! `worker`: the proxy before the Ollama of its own machine, which registers itself with controllers.

use super::serve::until_ended;
use super::working_dir;
use crate::app::Failure;
use crate::config::{self, Env, WorkerArgs};
use crate::server::Threads;

/// On one thread: its one Ollama needs no more, and a second costs each request its wake-ups and the machine its memory.
pub(super) fn run(args: &WorkerArgs, env: &Env) -> Result<(), Failure> {
    until_ended(config::load_worker(args, env, &working_dir()), Threads::alone)
}
