//! What lies on the disk of the simulated server: models and blobs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::names;
use super::settings::SimulatedModel;

use crate::values::sort_by;

#[derive(Debug, Default)]
struct Disk {
    models: Vec<SimulatedModel>,
    /// Bytes of each blob; the contents are not kept.
    blobs: HashMap<String, u64>,
}

/// The disk.
#[derive(Debug)]
pub(super) struct Shelf(Mutex<Disk>);

impl Shelf {
    pub(super) fn new(models: Vec<SimulatedModel>) -> Self {
        Self(Mutex::new(Disk { models, blobs: HashMap::new() }))
    }

    /// All models, the newest first and then by name.
    pub(super) fn models(&self) -> Vec<SimulatedModel> {
        let mut models = self.lock().models.clone();
        sort_by(&mut models, |a, b| b.modified.timestamp().cmp(&a.modified.timestamp()).then_with(|| a.name.cmp(&b.name)));
        models
    }

    /// The model of this name, in any of its spellings and without regard to case.
    pub(super) fn find(&self, name: &str) -> Option<SimulatedModel> {
        let wanted = names::longest(name)?;
        self.lock().models.iter().find(|m| is(m, &wanted)).cloned()
    }

    /// Puts a model in, in place of one with the same name.
    pub(super) fn put(&self, model: SimulatedModel) {
        let Some(wanted) = names::longest(&model.name) else { return };
        let mut disk = self.lock();
        disk.models.retain(|m| !is(m, &wanted));
        disk.models.push(model);
    }

    pub(super) fn remove(&self, model: &SimulatedModel) {
        self.lock().models.retain(|m| m.name != model.name);
    }

    pub(super) fn has_blob(&self, digest: &str) -> bool {
        self.lock().blobs.contains_key(digest)
    }

    pub(super) fn put_blob(&self, digest: &str, size: u64) {
        self.lock().blobs.insert(digest.to_owned(), size);
    }

    pub(super) fn blob_size(&self, digest: &str) -> Option<u64> {
        self.lock().blobs.get(digest).copied()
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is(model: &SimulatedModel, longest: &str) -> bool {
    names::longest(&model.name).is_some_and(|name| name.eq_ignore_ascii_case(longest))
}
