//! Which command is run: `controller` and `worker` have names and defaults of their own for some settings of `serve`.

use crate::config::settings::{Setting, setting};

static CONTROLLER_HOST: Setting = setting(
    "host",
    &["CONTROLLER_HOST"],
    "",
    "Address to listen on; HOST counts when this is not set; every address if left out",
);
static CONTROLLER_PORT: Setting =
    setting("port", &["CONTROLLER_PORT"], "8000", "Ports to listen on; PORT counts when this is not set").list(",");
static CONTROLLER_UPSTREAMS: Setting =
    setting("ollama-url", &["OLLAMA_URL"], "", "Nodes without a worker, beside those that register; none if left out").list(",");
static CONTROLLER_STRATEGY: Setting = setting(
    "strategy",
    &["SCHEDULING_STRATEGY"],
    "least_loaded",
    "How equal nodes take turns: round_robin, least_connections, weighted_round_robin …",
);
static WORKER_PORT: Setting =
    setting("port", &["LISTEN_PORT"], "8001", "Port to listen on; PORT counts when this is not set").list(",");
static WORKER_CLASS: Setting = setting(
    "always-on",
    &["ALWAYS_ON"],
    "false",
    "This machine never sleeps: controllers check it regularly and drop it when it falls silent",
)
.switch();

/// Whose flags are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// `serve`, and whatever has the same flags.
    #[default]
    Serve,
    /// `controller`.
    Controller,
    /// `worker`.
    Worker,
}

impl Role {
    /// What this command has in the place of a setting: its names go first, its default alone counts.
    pub(super) fn own(self, of: &Setting) -> Option<&'static Setting> {
        let own: &[&'static Setting] = match self {
            Self::Serve => &[],
            Self::Controller => &[&CONTROLLER_HOST, &CONTROLLER_PORT, &CONTROLLER_UPSTREAMS, &CONTROLLER_STRATEGY],
            Self::Worker => &[&WORKER_PORT, &WORKER_CLASS],
        };
        own.iter().copied().find(|own| own.flag == of.flag)
    }

    /// The setting as this command has it.
    pub(super) fn shows(self, setting: &'static Setting) -> &'static Setting {
        self.own(setting).unwrap_or(setting)
    }
}
