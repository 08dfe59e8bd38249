//! Which models a node most likely has in its memory, judged by what it has served. Pure.
//!
//! Asking the node would cost a call per choice; what it served within Ollama's own five minutes is a good guess, and
//! a wrong guess costs one load.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Ollama keeps a model for five minutes after its last use.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// More models than this at once hardly fit any card (Ollama's own limit per GPU).
const MODELS: usize = 3;

/// What one node has loaded, the most recently used last.
#[derive(Clone, Debug, Default)]
pub(super) struct Warm(Vec<(Runner, Instant)>);

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
        if let Some((_, used)) = self.0.last_mut().filter(|(known, _)| known == runner) {
            *used = now;
            return;
        }
        self.0.retain(|(known, _)| known.model != runner.model);
        if self.0.len() >= MODELS {
            self.0.remove(0);
        }
        self.0.push((runner.clone(), now));
    }

    /// Nothing is known any more: it failed.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Whether the model is loaded so that this ask needs no new load.
    pub(super) fn has(&self, runner: &Runner, now: Instant) -> bool {
        self.0.iter().any(|(known, used)| {
            known.model == runner.model
                && (runner.options.is_none() || known.options == runner.options)
                && now.saturating_duration_since(*used) < KEPT
        })
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
