//! `fallback` of the node file: which nodes may serve when none fits, or which models stand in for a model.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::config::Fallback;
use crate::config::document::Document;
use crate::values::ModelKey;

/// For a model those that are asked instead of it, in this order.
pub type StandIns = Vec<(String, Vec<String>)>;

/// From when on another model stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackWait {
    /// After this wait.
    pub wait: Duration,
    /// Whether the wait for a sleeping node counts.
    pub asleep: bool,
}

/// More than these are no help but a long wait.
const MOST: usize = 5;

/// A word for the sizes, or an object with models; both cannot be said at once, and an object leaves the word at its default.
pub(super) fn read<'a>(document: &mut Document<'a>, at: &'a RawValue) -> (Fallback, StandIns) {
    if !at.get().starts_with('{') {
        return (document.parsed(at, "fallback", word).unwrap_or_default(), Vec::new());
    }
    let mut all: StandIns = Vec::new();
    for (model, at) in document.members(at, "`fallback`") {
        // As requests are looked up: `llama3`, `Llama3:latest` and `library/llama3` are one model.
        let same = |other: &String| ModelKey::of(other) == ModelKey::of(&model);
        if all.iter().any(|(before, _)| same(before)) {
            document
                .fault(at, &format!("`fallback` has {model} twice, perhaps in two spellings: put all its stand-ins in one list"));
        }
        let mut others: Vec<String> = Vec::new();
        for at in document.one_or_list(at, "models in `fallback`") {
            let Some(other) = document.text(at, "fallback") else { continue };
            if other.is_empty() || model.trim().is_empty() {
                document.fault(at, "`fallback` needs names of models, such as {\"llama3:70b\": [\"llama3:8b\"]}");
            } else if same(&other) || others.iter().any(|before| ModelKey::of(before) == ModelKey::of(&other)) {
                document.fault(at, "a model stands in for itself, or is named twice: remove it");
            } else {
                others.push(other);
            }
        }
        if others.len() > MOST {
            document.fault(at, &format!("`fallback` names more than {MOST} models for one: keep the best"));
        }
        all.push((model, others));
    }
    (Fallback::default(), all)
}

fn word(text: &str) -> Result<Fallback, String> {
    match text.to_ascii_lowercase().replace('-', "_").as_str() {
        "any" => Ok(Fallback::Any),
        "have_model" => Ok(Fallback::HaveModel),
        "none" => Ok(Fallback::None),
        _ => Err("must be any, have_model or none, or name models: {\"llama3:70b\": [\"openai/gpt-4o-mini\"]}".to_owned()),
    }
}
