//! Which models a node most likely has in its memory, judged by what it has served and by what its worker says. Pure.
//!
//! Asking the node would cost a call per choice; what it served within Ollama's own five minutes is a good guess, and
//! a wrong guess costs one load. A worker's word tells also of what others have used there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::values::ModelName;

/// Ollama keeps a model for five minutes after its last use.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// More models than this at once hardly fit any card (Ollama's own limit per GPU).
const MODELS: usize = 3;

/// What was used so recently may still be loading, and is on no list of what is loaded yet.
const SETTLES: Duration = Duration::from_secs(15);

/// The name by which a loaded model is known.
pub(super) fn canonical(name: &str) -> String {
    ModelName::parse(name).map_or_else(|| name.to_owned(), |name| name.canonical())
}

/// What one node has loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Warm {
    /// What it has served, the most recently used last.
    used: Vec<(Runner, Instant)>,
    /// What its worker said is loaded, by canonical names, and when.
    told: Option<(Vec<Arc<str>>, Instant)>,
}

/// A loaded model: its canonical name and the options that belong to its runner, such as `num_ctx`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runner {
    pub(super) model: Arc<str>,
    /// `None` as a question: any options will do.
    pub(super) options: Option<Arc<str>>,
}

impl Warm {
    /// It serves, or loads, this one now. The same model with other options is thrown out by that.
    pub(super) fn uses(&mut self, runner: &Runner, now: Instant) {
        if let Some((_, used)) = self.used.last_mut().filter(|(known, _)| known == runner) {
            *used = now;
            return;
        }
        self.used.retain(|(known, _)| known.model != runner.model);
        if self.used.len() >= MODELS {
            self.used.remove(0);
        }
        self.used.push((runner.clone(), now));
    }

    /// Nothing is known any more: it failed.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Its worker says what is loaded. What it does not name has gone, unless it is used at this moment or was just now.
    pub(super) fn told(&mut self, models: Vec<Arc<str>>, works: bool, now: Instant) {
        let settles = |used: Instant| now.saturating_duration_since(used) < SETTLES;
        self.used.retain(|(known, used)| works || settles(*used) || models.contains(&known.model));
        self.told = Some((models, now));
    }

    /// Whether the model is loaded so that this ask needs no new load. With which options others have loaded it, no worker
    /// can tell; that it is loaded at all is the better guess.
    pub(super) fn has(&self, runner: &Runner, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < KEPT;
        match self.used.iter().find(|(known, used)| known.model == runner.model && recent(*used)) {
            Some((known, _)) => runner.options.is_none() || known.options == runner.options,
            None => self.told.as_ref().is_some_and(|(models, at)| recent(*at) && models.contains(&runner.model)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(model: &str, options: &str) -> Runner {
        Runner { model: model.into(), options: Some(options.into()) }
    }

    #[tokio::test(start_paused = true)]
    async fn another_context_length_is_not_warm_and_throws_the_first_out() {
        let (mut warm, now) = (Warm::default(), Instant::now());
        warm.uses(&runner("a", "{}"), now);
        assert!(warm.has(&runner("a", "{}"), now) && !warm.has(&runner("a", "{\"num_ctx\":8192}"), now));
        warm.uses(&runner("a", "{\"num_ctx\":8192}"), now);
        assert!(!warm.has(&runner("a", "{}"), now));
        assert!(warm.has(&Runner { model: "a".into(), options: None }, now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_cools_down_five_minutes_after_its_last_use() {
        let (mut warm, now) = (Warm::default(), Instant::now());
        warm.uses(&runner("a", "{}"), now);
        assert!(warm.has(&runner("a", "{}"), now + KEPT - Duration::from_secs(1)));
        assert!(!warm.has(&runner("a", "{}"), now + KEPT));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_worker_names_is_loaded_whoever_used_it_and_what_it_does_not_name_has_gone() {
        let (mut warm, now) = (Warm::default(), Instant::now());
        warm.told(vec!["a".into(), "b".into()], false, now);
        assert!(warm.has(&runner("a", "{}"), now) && warm.has(&runner("b", "{}"), now) && !warm.has(&runner("c", "{}"), now));
        assert!(!warm.has(&runner("a", "{}"), now + KEPT), "an old word");
        // Its own use tells more: with which options.
        warm.uses(&runner("a", "{}"), now);
        assert!(!warm.has(&runner("a", "{\"num_ctx\":8192}"), now) && warm.has(&runner("a", "{}"), now));
        let just_now = now + SETTLES / 2;
        warm.told(Vec::new(), false, just_now);
        assert!(warm.has(&runner("a", "{}"), just_now), "it may be loading");
        assert!(!warm.has(&runner("b", "{}"), just_now));
        warm.told(Vec::new(), true, now + SETTLES);
        assert!(warm.has(&runner("a", "{}"), now + SETTLES), "it works for somebody");
        warm.told(Vec::new(), false, now + SETTLES);
        assert!(!warm.has(&runner("a", "{}"), now + SETTLES));
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_models_the_last_used_are_believed() {
        let (mut warm, now) = (Warm::default(), Instant::now());
        for name in ["a", "b", "c", "a", "d"] {
            warm.uses(&runner(name, "{}"), now);
        }
        let loaded: Vec<&str> = ["a", "b", "c", "d"].into_iter().filter(|name| warm.has(&runner(name, "{}"), now)).collect();
        assert_eq!(loaded, ["a", "c", "d"]);
        warm.forget();
        assert!(!warm.has(&runner("d", "{}"), now));
    }
}
