//! The journal on the disk: read at the start, written when it changed, and at the end.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use super::{BETWEEN_WRITES, SETTLE};
use crate::storage;
use crate::telemetry::journal::{Event, Journal, LARGEST, Start};

const FILE: &str = "journal.jsonl";

/// The journal as it was left, with this start as its newest entry. A damaged file is set aside; what can be read of it
/// is kept.
pub(super) async fn load(dir: Option<&Path>) -> Journal {
    let journal = match dir.map(Path::to_owned) {
        Some(dir) => tokio::task::spawn_blocking(move || read(&dir)).await.unwrap_or_default(),
        None => Journal::default(),
    };
    let down_since = journal.kept_until();
    journal.note(None, Event::Start(Start { version: env!("CARGO_PKG_VERSION").into(), down_since }));
    journal
}

fn read(dir: &Path) -> Journal {
    let path = dir.join(FILE);
    let (journal, why) = match storage::read(&path, LARGEST as u64) {
        Ok(text) => Journal::restored(&text, SystemTime::now()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Journal::default(),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => (Journal::default(), Some(error.to_string())),
        Err(error) => {
            tracing::warn!("{} cannot be read, so earlier records are not shown: {error}", path.display());
            return Journal::default();
        }
    };
    if let Some(why) = why {
        // Not within the log line: that is not made when nobody reads warnings.
        let note = storage::set_aside(&path, &why);
        tracing::warn!("{note}");
    }
    journal
}

/// Writes the journal when it has changed; never ends.
pub(super) async fn keep(journal: Journal, dir: PathBuf) -> anyhow::Result<()> {
    let mut revisions = journal.revisions();
    loop {
        revisions.changed().await.context("the journal is gone")?;
        tokio::time::sleep(SETTLE).await;
        revisions.mark_unchanged();
        save(&dir, &journal).await;
        tokio::time::sleep(BETWEEN_WRITES).await;
    }
}

/// A full or read-only disk costs the memory of it, not the service.
pub(super) async fn save(dir: &Path, journal: &Journal) {
    let (path, journal) = (dir.join(FILE), journal.clone());
    let written = tokio::task::spawn_blocking(move || storage::write(&path, &journal.text())).await.context("saving");
    if let Err(error) = written.and_then(|result| Ok(result?)) {
        tracing::warn!(dir = %dir.display(), %error, "the journal cannot be saved; it is kept in memory");
    }
}
