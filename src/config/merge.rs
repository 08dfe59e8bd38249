//! Flags, environment, `.env` and node file become one checked [`Config`], or all their faults at once.

use std::fmt;
use std::path::Path;

use crate::config::{Config, Env, Listen, Log, ServeArgs};

/// Every fault of the settings; each names the setting, the value and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Merges and checks everything that `serve` needs.
///
/// # Errors
/// All faults of all layers.
pub fn load(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<Config, Faults> {
    let _ = (cli, env, working_dir);
    Err(Faults(Vec::new()))
}

/// Only where to listen and how to log, for commands that use no nodes (`healthcheck`, `demo`).
///
/// # Errors
/// All faults of these settings; others are not looked at.
pub fn load_entrance(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<(Listen, Log), Faults> {
    let _ = (cli, env, working_dir);
    Err(Faults(Vec::new()))
}
