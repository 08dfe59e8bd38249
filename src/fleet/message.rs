//! What handles of a node tell its keeper, and why a node is wanted.

use std::net::IpAddr;

use tokio::sync::oneshot;

use super::keeper::Told;
use super::power::Event;
use crate::classify::Preload;
use crate::telemetry::journal::Cause;

/// What requests tell a keeper.
pub(super) enum Message {
    /// Something was observed.
    Evidence { event: Event, words: Option<String>, peer: Option<IpAddr> },
    /// A request needs the node; `heard` is answered when the view says what follows.
    Want { want: Want, heard: oneshot::Sender<()> },
    /// A request met silence: is the node alive? One check serves all who ask.
    CheckLife(oneshot::Sender<bool>),
    /// An inference answer has ended.
    Inferred,
    /// A request that waited for a wake has its first byte.
    FirstByte,
    /// The models it holds have changed.
    Mutated(oneshot::Sender<Result<(), String>>),
    /// Somebody looks at a list that is old or missing.
    ListAsked,
    /// It says that it has not what its list says that it has.
    ListRefuted,
    /// A person wants the lists read now.
    Refresh(oneshot::Sender<Result<(), String>>),
    /// A person wants it to sleep.
    PutToSleep(Told),
}

/// Why a node is wanted.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Who and what for, for the log and the journal.
    pub cause: Cause,
    /// What to load once it is up.
    pub preload: Option<Preload>,
    /// Only joins what is under way; starts nothing.
    pub joins: bool,
    /// What makes it wanted, for the count of wakes.
    pub trigger: Trigger,
}

/// What starts a wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// A request that needs the GPU.
    #[default]
    Request,
    /// A person's explicit wish.
    Manual,
}

impl Trigger {
    pub(super) const ALL: [Self; 2] = [Self::Request, Self::Manual];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Manual => "manual",
        }
    }
}
