//! Parameters that models turned out not to take, so that each is refused once and not with every request: models of
//! providers, and of servers at home that speak OpenAI's dialect.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Models; beyond them everything is learnt anew.
const MOST: usize = 256;

/// Of one provider, or of the nodes, whose models go by both names.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<String, Vec<&'static str>>>);

impl Refusals {
    /// What a model does not take.
    pub fn of(&self, model: &str) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned().unwrap_or_default()
    }

    /// It does not take this either.
    pub fn learn(&self, model: &str, key: &'static str) {
        let mut models = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if models.len() >= MOST && !models.contains_key(model) {
            models.clear();
        }
        let keys = models.entry(model.to_owned()).or_default();
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learnt_is_kept_per_model_and_bounded() {
        let refusals = Refusals::default();
        for key in ["temperature", "top_p", "temperature"] {
            refusals.learn("o4", key);
        }
        assert_eq!((refusals.of("o4"), refusals.of("gpt")), (vec!["temperature", "top_p"], vec![]));
        (0..2 * MOST).for_each(|number| refusals.learn(&number.to_string(), "stop"));
        assert!(refusals.0.lock().unwrap().len() <= MOST);
    }
}
