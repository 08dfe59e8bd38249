//! `healthcheck`: for containers without curl. Asks the proxy on this machine; never a node.

use super::running::Running;
use super::{runtime, say, settings, working_dir};
use crate::app::Failure;
use crate::config::{self, Env, ServeArgs};

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    let listen = config::load_running(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    let running = Running::at(None, &listen);
    match runtime()?.block_on(running.get("/health")) {
        Ok(reply) if reply.status.is_success() => {
            say(&format!("{}\n", String::from_utf8_lossy(&reply.body)));
            Ok(())
        }
        Ok(reply) => Err(Failure::Other(anyhow::anyhow!("{running}/health answered {}", reply.status))),
        Err(trouble) => Err(Failure::Other(anyhow::anyhow!("{}: is it started?", running.silence(&trouble)))),
    }
}
