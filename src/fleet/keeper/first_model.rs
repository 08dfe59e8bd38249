//! The model that its owner wants to be there from the first day (`--default-model`): pulled onto the first fitting node
//! that is awake anyway, once for all nodes. Nobody is woken for it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Method;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::calls::Caller;
use super::{Done, Keeper};
use crate::catalog::Listed;
use crate::config::NodeConfig;
use crate::translate::LineFramer;
use crate::values::ModelKey;

/// After a pull that failed the next one waits for this long: it goes on where that one stopped.
const AGAIN: Duration = Duration::from_secs(600);

/// So many pulls may fail: a name that does not exist fails each time.
const TRIES: u32 = 3;

/// Ollama tells its progress several times a second; verifying many gigabytes takes minutes without a word.
const SILENCE: Duration = Duration::from_secs(900);

/// The longest line of progress.
const LINE: usize = 64 * 1024;

/// A model, and which nodes are meant for its size.
pub struct FirstModel {
    /// Its name.
    pub name: String,
    /// Whether a node fits.
    pub fits: Box<dyn Fn(&NodeConfig) -> bool + Send + Sync>,
}

/// What became of it, for all keepers. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub(in crate::fleet) struct Wish(Arc<Inner>);

#[derive(Default)]
struct Inner {
    model: OnceLock<FirstModel>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nobody has it yet, after so many failures.
    #[default]
    Open,
    Failed {
        tries: u32,
        until: Instant,
    },
    UnderWay {
        tries: u32,
    },
    Fulfilled,
}

impl State {
    /// What follows when a keeper would pull now: it may where that is `UnderWay`.
    fn begun(self, now: Instant) -> Self {
        match self {
            Self::Open => Self::UnderWay { tries: 0 },
            Self::Failed { tries, until } if tries < TRIES && until <= now => Self::UnderWay { tries },
            other => other,
        }
    }

    fn failed(self, now: Instant) -> Self {
        match self {
            Self::UnderWay { tries } => Self::Failed { tries: tries + 1, until: now + AGAIN },
            other => other,
        }
    }
}

impl Wish {
    pub(in crate::fleet) fn make(&self, model: FirstModel) {
        // Wished once, at the start.
        self.0.model.set(model).ok();
    }

    fn change(&self, change: impl FnOnce(State) -> State) -> State {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = change(*state);
        *state
    }

    /// `None`: another keeper is at it, or it is settled.
    fn take(&self) -> Option<Turn> {
        let mut mine = false;
        self.change(|state| {
            let next = state.begun(Instant::now());
            mine = next != state;
            next
        });
        mine.then(|| Turn { wish: self.clone(), fulfilled: false })
    }
}

/// Who pulls. Given up on drop, unless it was fulfilled: the keeper may end in the middle.
pub(super) struct Turn {
    wish: Wish,
    fulfilled: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let fulfilled = self.fulfilled;
        self.wish.change(|state| if fulfilled { State::Fulfilled } else { state.failed(Instant::now()) });
    }
}

impl Keeper {
    /// Its list was read just now, so it is awake. Waits until all lists are known: another node may have the model.
    pub(super) fn pull_first_model(&mut self) {
        let Some(model) = self.wish.0.model.get() else { return };
        let fits = self.node.is_ollama() && (model.fits)(self.node.config());
        if !fits || !self.node.may_be_asked() || self.node.is_retired() {
            return;
        }
        if self.holders.listed(&model.name) != Listed::No || !self.holders.slots(&ModelKey::of(&model.name)).is_empty() {
            return;
        }
        let Some(turn) = self.wish.take() else { return };
        tracing::info!(node = %self.node.name(), model = model.name, "no node has the default model: it is pulled here");
        let (caller, name) = (self.caller(), model.name.clone());
        self.begin_job(async move { Done::Pulled(pulled(&caller, &name, turn).await) });
    }

    pub(super) fn have_first_model(&mut self, result: Result<(), String>) {
        let Some(model) = self.wish.0.model.get() else { return };
        match result {
            Ok(()) => {
                tracing::info!(node = %self.node.name(), model = model.name, "the default model is there");
                self.read_lists();
            }
            Err(why) => {
                let minutes = AGAIN.as_secs() / 60;
                tracing::warn!(node = %self.node.name(), model = model.name, why, "the default model could not be pulled; tried again when a node is awake after {minutes} minutes, {TRIES} times in all");
            }
        }
    }
}

/// One line of Ollama's progress.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    status: String,
    error: Option<String>,
    total: u64,
    completed: u64,
}

async fn pulled(caller: &Caller, name: &str, mut turn: Turn) -> Result<(), String> {
    let body = Bytes::from(serde_json::json!({ "model": name }).to_string());
    let answer = caller.begin(Method::POST, "/api/pull", body).await.map_err(|trouble| trouble.to_string())?;
    let status = answer.status();
    let (mut rest, mut lines) = (answer.into_body(), LineFramer::new(LINE));
    let mut progress = Progress::default();
    loop {
        let frame = timeout(SILENCE, rest.frame()).await.map_err(|_| "it fell silent".to_owned())?;
        let Some(frame) = frame.transpose().map_err(|trouble| trouble.to_string())? else { break };
        let Some(data) = frame.data_ref() else { continue };
        caller.heard();
        lines.feed(data, &mut |line| progress.tell(caller, name, line)).map_err(|_| "its answer is no progress".to_owned())?;
    }
    lines.finish(&mut |line| progress.tell(caller, name, line)).map_err(|_| "its answer is no progress".to_owned())?;
    match progress.error {
        Some(error) => Err(error),
        None if !progress.succeeded => Err(format!("its answer ({status}) ended without success")),
        None => {
            turn.fulfilled = true;
            Ok(())
        }
    }
}

/// What the lines have told so far, and what of it the log has.
#[derive(Default)]
struct Progress {
    status: String,
    tenth: u64,
    error: Option<String>,
    succeeded: bool,
}

impl Progress {
    /// One line of the log for each step, and for each tenth of a large one.
    fn tell(&mut self, caller: &Caller, model: &str, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else { return };
        self.succeeded |= line.status == "success";
        let tenth = (line.completed * 10).checked_div(line.total).unwrap_or(0);
        if line.error.is_none() && (line.status != self.status || tenth > self.tenth) {
            tracing::info!(node = %caller.name(), model, status = line.status, percent = (line.total > 0).then_some(tenth * 10), "pull");
            (self.status, self.tenth) = (line.status, tenth);
        }
        self.error = line.error.or(self.error.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_keeper_pulls_at_a_time_and_after_three_failures_nobody() {
        let wish = Wish::default();
        for _ in 0..TRIES {
            let turn = wish.take().unwrap();
            assert!(wish.take().is_none(), "another is at it");
            drop(turn);
            assert!(wish.take().is_none(), "too soon");
            tokio::time::advance(AGAIN).await;
        }
        assert!(wish.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_fulfilled_stays_so() {
        let wish = Wish::default();
        let mut turn = wish.take().unwrap();
        turn.fulfilled = true;
        drop(turn);
        tokio::time::advance(AGAIN).await;
        assert!(wish.take().is_none());
    }
}
