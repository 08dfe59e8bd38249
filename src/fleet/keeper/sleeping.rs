//! Putting the node to sleep because a person wants it: unload its models, then the means. The one way in which this proxy
//! ends somebody's use of a machine, so it is refused while there is work.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::calls::Caller;
use super::{Done, Keeper};
use crate::config::NodeKind;
use crate::fleet::power::{Event, Power};
use crate::fleet::sleep::{self, NoSleep};
use crate::upstream::Trouble;

/// What an unload, and the look at what is loaded, may take.
const UNLOAD: Duration = Duration::from_secs(5);

/// More models than this are not loaded at once anywhere.
const MODELS: usize = 16;

/// What a person who wants it to sleep is told.
pub(in crate::fleet) type Told = oneshot::Sender<Result<(), NoSleep>>;

impl Keeper {
    pub(super) fn put_to_sleep(&mut self, tell: Told) {
        if let Some(refusal) = self.refuses_sleep() {
            let _ = tell.send(Err(refusal));
            return;
        }
        if matches!(self.view.power, Power::Asleep | Power::Suspending { .. }) && self.sleeping.is_empty() {
            let _ = tell.send(Ok(()));
            return;
        }
        self.sleeping.push(tell);
        if self.sleeping.len() == 1 {
            let (caller, config) = (self.caller(), self.node.config());
            // A worker does that itself, and knows better what runs.
            let ours = config.kind == NodeKind::Ollama && config.sleep.worker.is_none();
            self.begin_job(async move { Done::Unloaded(if ours { unload(&caller).await } else { Ok(()) }) });
        }
    }

    fn refuses_sleep(&self) -> Option<NoSleep> {
        let config = self.node.config();
        if config.always_on {
            return Some(NoSleep::AlwaysOn);
        }
        if !sleep::any_means(&config.sleep) {
            return Some(NoSleep::NoMeans);
        }
        let busy = self.node.active();
        (busy > 0 || self.view.power.in_progress()).then_some(NoSleep::Busy(busy.max(1)))
    }

    /// NVIDIA's driver may lose the GPU when it sleeps with a model in it, so they were unloaded first. Work that came
    /// meanwhile goes before the wish.
    pub(super) fn unloaded(&mut self, result: Result<(), Trouble>) {
        match result {
            // It sleeps already, or its Ollama is off: the means may still be needed for the latter.
            Err(trouble @ (Trouble::Unreachable(_) | Trouble::NoAnswer | Trouble::NoAddress(_))) => {
                self.observe(Event::NoAnswer, Some(trouble.to_string()));
                return self.slept(Ok(()));
            }
            Err(trouble) => tracing::debug!(node = %self.node.name(), %trouble, "its models could not be unloaded"),
            Ok(()) => {}
        }
        if let Some(refusal) = self.refuses_sleep() {
            return self.told_of_sleep(&Err(refusal));
        }
        self.observe(Event::GoesToSleep, None);
        let sleep = self.node.config().sleep.clone();
        self.begin_job(async move { Done::Slept(sleep::act(&sleep).await) });
    }

    pub(super) fn slept(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {
                // A word of its worker that crossed our wish is older than this.
                if self.view.power == Power::Awake {
                    self.observe(Event::GoesToSleep, None);
                }
                self.told_of_sleep(&Ok(()));
            }
            Err(why) => {
                tracing::warn!(node = %self.node.name(), why, "it could not be put to sleep");
                if matches!(self.view.power, Power::Suspending { .. }) {
                    self.observe(Event::Stays, None);
                }
                self.told_of_sleep(&Err(NoSleep::Failed(why)));
            }
        }
    }

    fn told_of_sleep(&mut self, result: &Result<(), NoSleep>) {
        self.publish();
        for tell in self.sleeping.drain(..) {
            let _ = tell.send(result.clone());
        }
    }
}

/// Has the node put down what it has loaded; what it does not put down in time does not hold up the sleep.
async fn unload(caller: &Caller) -> Result<(), Trouble> {
    let loaded = caller.get("/api/ps", UNLOAD).await?;
    let loaded: serde_json::Value = serde_json::from_slice(&loaded.body).unwrap_or_default();
    let models = loaded["models"].as_array().map(Vec::as_slice).unwrap_or_default();
    for name in models.iter().take(MODELS).filter_map(|model| model["name"].as_str()) {
        let body = serde_json::json!({ "model": name, "keep_alive": 0 }).to_string();
        caller.post("/api/generate", Bytes::from(body), UNLOAD).await?;
    }
    Ok(())
}
