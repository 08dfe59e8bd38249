//! `notify-test`: sends a test notification by the settings, and says who took it.

use std::time::SystemTime;

use super::{runtime, say, settings, working_dir};
use crate::app::Failure;
use crate::config::{self, Env, ServeArgs};
use crate::http::outward;
use crate::notify::{Alert, Targets};
use crate::telemetry::journal::unix;

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    outward::also_trust(&config.roots.0);
    let targets = Targets::new(&config.notify);
    if targets.is_empty() {
        let text = "nobody is to be told: set --notify-webhook (NOTIFY_WEBHOOK) or --notify-ntfy (NOTIFY_NTFY)";
        return Err(Failure::Settings(text.to_owned()));
    }
    let sent = runtime()?.block_on(targets.send(&Alert::test(unix(SystemTime::now()))));
    let mut failed = 0;
    for (target, result) in sent {
        match result {
            Ok(()) => drop(say(&format!("{target}: sent\n"))),
            Err(why) => {
                say(&format!("{target}: not sent: {why}\n"));
                failed += 1;
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(Failure::Other(anyhow::anyhow!("the test did not reach everybody"))) }
}
