//! What one node is known to hold and to have answered: its list of models, its version, its status.
//!
//! An immutable value, cheap to clone; the node's keeper, its only writer, replaces it whole.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{times, versions};
use crate::values::{ModelKey, ModelSize};

/// When a node gave an answer, by both clocks: the steady one judges freshness, the wall's survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// By the clock that never jumps.
    pub at: Instant,
    /// By the clock on the wall.
    pub wall: SystemTime,
}

impl Stamp {
    /// How long ago that was; zero for a stamp that lies ahead.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    /// The stamp of a moment on the wall clock, seen from `self` as now. Moments that lie ahead count as now; on
    /// platforms whose steady clock began later, the oldest moment it knows stands in.
    pub(super) fn back_to(&self, wall: SystemTime) -> Self {
        let wall = wall.min(self.wall);
        let mut back = self.wall.duration_since(wall).unwrap_or_default();
        loop {
            match self.at.checked_sub(back) {
                Some(at) => return Self { at, wall },
                None => back /= 2,
            }
        }
    }
}

/// An answer of a node, in the node's own bytes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body as it came.
    pub body: Bytes,
    /// When it was read.
    pub read: Stamp,
}

/// One entry of a node's list. Fields a node left out are empty or zero: versions of Ollama differ in what they send.
#[derive(Clone, Debug)]
pub struct Model {
    /// The name with its tag, as the node spells it.
    pub name: String,
    /// The manifest's digest, which changes whenever the model does. Empty if the node sent none.
    pub digest: String,
    /// Bytes on disk.
    pub size: u64,
    /// `details.parameter_size`, such as `8.0B`; free text for cloud stubs.
    pub parameter_size: String,
    /// The same, read.
    pub parameters: Option<ModelSize>,
    /// The time of the last change as the node wrote it, with its own offset.
    pub modified_at: String,
    /// The same in seconds since 1970; 0 if it cannot be read.
    pub modified_unix: i64,
    /// Whether this is a stub of a model that runs elsewhere and needs no memory here.
    pub is_remote: bool,
    /// The whole entry in the node's own bytes.
    pub raw: Box<RawValue>,
    key: ModelKey,
}

impl Model {
    fn read(raw: &RawValue) -> Option<Self> {
        let entry: Value = serde_json::from_str(raw.get()).ok()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        let name = [&entry["name"], &entry["model"]].into_iter().find(|value| filled(value)).map(text)?;
        let modified_at = text(&entry["modified_at"]);
        let parameter_size = text(&entry["details"]["parameter_size"]);
        Some(Self {
            digest: text(&entry["digest"]),
            size: entry["size"].as_u64().unwrap_or(0),
            parameters: ModelSize::from_parameter_size(&parameter_size),
            parameter_size,
            modified_unix: times::read(&modified_at).map_or(0, |moment| moment.seconds),
            modified_at,
            is_remote: filled(&entry["remote_host"]) || filled(&entry["remote_model"]),
            raw: raw.to_owned(),
            key: ModelKey::of(&name),
            name,
        })
    }

    /// Equal for names that Ollama takes for the same.
    pub fn key(&self) -> &ModelKey {
        &self.key
    }
}

/// An answer that does not hold what its route promises; what was known before stays better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadAnswer(pub(super) &'static str);

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadAnswer {}

#[derive(Debug)]
struct List {
    models: Vec<Model>,
    by_key: HashMap<ModelKey, usize>,
    answer: Answer,
}

/// What one node is known to hold. *Known* once its list was read.
#[derive(Clone, Debug, Default)]
pub struct Holding {
    list: Option<Arc<List>>,
    version: Option<Answer>,
    status: Option<Answer>,
}

impl Holding {
    /// Of a node that was never read.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether the list was ever read. Until then nothing may be said about any model, least of all "not found".
    pub fn is_known(&self) -> bool {
        self.list.is_some()
    }

    /// How long ago the list was read; `None` if never.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.list_answer().map(|answer| answer.read.age(now))
    }

    /// The listed models in the node's order.
    pub fn models(&self) -> &[Model] {
        self.list.as_deref().map_or(&[], |list| &list.models)
    }

    /// Each listed digest once: a list may name one under thousands of names, and whatever is kept for each takes its own memory.
    pub fn digests(&self) -> BTreeSet<&str> {
        self.models().iter().map(|model| model.digest.as_str()).collect()
    }

    /// The listed model that Ollama takes this name for.
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.find_by(&ModelKey::of(name))
    }

    /// The same for a name that is looked for in many lists.
    pub fn find_by(&self, key: &ModelKey) -> Option<&Model> {
        let list = self.list.as_deref()?;
        list.by_key.get(key).map(|at| &list.models[*at])
    }

    /// Whether both know, or both do not know, which names are listed, and these are the same.
    pub fn lists_the_same_names(&self, other: &Self) -> bool {
        match (self.list.as_deref(), other.list.as_deref()) {
            (Some(mine), Some(theirs)) => {
                mine.by_key.len() == theirs.by_key.len() && mine.by_key.keys().all(|key| theirs.by_key.contains_key(key))
            }
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        }
    }

    /// With a new list, the body of `/api/tags`. Entries without a name are left out.
    ///
    /// # Errors
    /// If the body is no JSON object with `models` as an array or `null`.
    pub fn with_list(&self, body: Bytes, read: Stamp) -> Result<Self, BadAnswer> {
        #[derive(Deserialize)]
        struct Body<'a> {
            // `default` is refused: an answer without the key is some other server's and says nothing about models.
            #[serde(borrow, deserialize_with = "Deserialize::deserialize")]
            models: Option<Vec<&'a RawValue>>,
        }
        let entries = serde_json::from_slice::<Body<'_>>(&body).map_err(|_| BadAnswer("no list of models in it"))?.models;
        let models: Vec<Model> = entries.unwrap_or_default().into_iter().filter_map(Model::read).collect();
        let mut by_key = HashMap::with_capacity(models.len());
        for (at, model) in models.iter().enumerate() {
            by_key.entry(model.key.clone()).or_insert(at);
        }
        let list = List { models, by_key, answer: Answer { body, read } };
        Ok(Self { list: Some(Arc::new(list)), ..self.clone() })
    }

    /// With a new answer of `/api/version`.
    ///
    /// # Errors
    /// If it holds no dotted number, which clients could not read either.
    pub fn with_version(&self, body: Bytes, read: Stamp) -> Result<Self, BadAnswer> {
        versions::read(&body).ok_or(BadAnswer("no version of dotted numbers in it"))?;
        Ok(Self { version: Some(Answer { body, read }), ..self.clone() })
    }

    /// With a new answer of `/api/status`.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn with_status(&self, body: Bytes, read: Stamp) -> Result<Self, BadAnswer> {
        check_object(&body)?;
        Ok(Self { status: Some(Answer { body, read }), ..self.clone() })
    }

    /// Without its list, as if it had never been read; version and status stay.
    pub fn without_list(&self) -> Self {
        Self { list: None, ..self.clone() }
    }

    /// The answer of `/api/tags`, if ever read.
    pub fn list_answer(&self) -> Option<&Answer> {
        self.list.as_deref().map(|list| &list.answer)
    }

    /// The answer of `/api/version`, if ever read.
    pub fn version_answer(&self) -> Option<&Answer> {
        self.version.as_ref()
    }

    /// The answer of `/api/status`, if ever read.
    pub fn status_answer(&self) -> Option<&Answer> {
        self.status.as_ref()
    }
}

/// Refuses what is not one JSON object in UTF-8, so that it can be served and kept as it stands.
pub(super) fn check_object(body: &[u8]) -> Result<(), BadAnswer> {
    const BAD: BadAnswer = BadAnswer("not a JSON object");
    let text = std::str::from_utf8(body).map_err(|_| BAD)?;
    let value: &RawValue = serde_json::from_str(text).map_err(|_| BAD)?;
    if value.get().starts_with('{') { Ok(()) } else { Err(BAD) }
}

#[cfg(test)]
mod tests;
