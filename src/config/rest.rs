//! The settings of a worker's own sleep: after which idle time, and how.

use std::time::Duration;

use crate::config::duration::{self, Unit};
use crate::config::layers::Layers;
use crate::config::settings::{self, Setting, setting};
use crate::config::{KeepAwake, merge};

/// A machine that sleeps at once after each request would wake for each.
const SHORTEST: Duration = Duration::from_secs(1);

pub(super) static SUSPEND_AFTER: Setting = setting(
    "suspend-after",
    &["SUSPEND_AFTER"],
    "off",
    "Put this machine to sleep when nobody has used it for so long, such as 20m",
);
pub(super) static SUSPEND_COMMAND: Setting = setting(
    "suspend-command",
    &["SUSPEND_COMMAND"],
    "",
    "Command that puts this machine to sleep, instead of the system's own (systemctl suspend)",
);

/// Under their heading.
pub(super) static SLEEP: [&Setting; 3] = [&SUSPEND_AFTER, &SUSPEND_COMMAND, &settings::KEEP_AWAKE];

/// How a worker puts its machine to sleep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestConfig {
    /// When nobody has used the machine for so long; `None`: only when a person wants it.
    pub after: Option<Duration>,
    /// The command for it; `None`: the system's own.
    pub command: Option<String>,
    /// When it stays awake all the same.
    pub keep_awake: KeepAwake,
}

pub(super) fn read(layers: &mut Layers<'_>) -> RestConfig {
    let after = |text: &str| match duration::duration_or_off(text, Unit::Seconds)? {
        Some(after) if after < SHORTEST => Err("must be at least 1s, or `off`".to_owned()),
        after => Ok(after),
    };
    RestConfig {
        after: layers.read(&SUSPEND_AFTER, after),
        command: layers.read_optional(&SUSPEND_COMMAND, |text| Ok(text.to_owned())),
        keep_awake: merge::keep_awake(layers),
    }
}
