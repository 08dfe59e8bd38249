//! The state on the disk: read at the start, written when something worth keeping has changed, and at the end.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;

use super::{BETWEEN_WRITES, SETTLE, cluster};
use crate::catalog::{self, Snapshot};
use crate::cluster::Registry;
use crate::fleet::Fleet;

/// When a disk takes no writes, this long until the next attempt that no change asks for.
const AGAIN: Duration = Duration::from_secs(60);

/// What was known when the program ended last.
pub(super) async fn load(dir: Option<&Path>) -> Snapshot {
    let Some(dir) = dir.map(Path::to_owned) else { return Snapshot::default() };
    let (snapshot, note) = tokio::task::spawn_blocking(move || catalog::load(&dir, SystemTime::now())).await.unwrap_or_default();
    if let Some(note) = note {
        tracing::warn!("{note}");
    }
    snapshot
}

/// Writes the state when something worth keeping has changed, and again when it could not be written; never ends.
pub(super) async fn keep(fleet: Fleet, workers: Option<Registry>, dir: PathBuf, mut saved: Snapshot) -> anyhow::Result<()> {
    let mut wait = None;
    loop {
        match wait {
            None => fleet.changed().await,
            Some(wait) => drop(tokio::time::timeout(wait, fleet.changed()).await),
        }
        tokio::time::sleep(SETTLE).await;
        let snapshot = cluster::snapshot(&fleet, workers.as_ref());
        wait = None;
        if !snapshot.same_knowledge(&saved) {
            if save(&dir, &fleet, workers.clone()).await {
                saved = snapshot;
            } else {
                wait = Some(AGAIN);
            }
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    }
}

/// A full or read-only disk costs the memory of it, not the service. Returns whether it was written.
pub(super) async fn save(dir: &Path, fleet: &Fleet, workers: Option<Registry>) -> bool {
    let (into, fleet) = (dir.to_owned(), fleet.clone());
    let now = move || cluster::snapshot(&fleet, workers.as_ref());
    let written = tokio::task::spawn_blocking(move || catalog::save(&into, now)).await.context("saving");
    let written = written.and_then(|result| Ok(result?));
    if let Err(error) = &written {
        tracing::warn!(dir = %dir.display(), %error, "the state cannot be saved; it is kept in memory");
    }
    written.is_ok()
}
