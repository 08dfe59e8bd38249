//! The journal on the disk: read at the start, written when it changed, and at the end.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use super::{BETWEEN_WRITES, SETTLE};
use crate::storage;
use crate::telemetry::journal::{Event, Journal, LARGEST, Start};

const FILE: &str = "journal.jsonl";

/// The journal as it was left, with this start as its newest entry. A damaged file is set aside; the one before it,
/// or what can be read, is kept.
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
    let restore = |text: &[u8], sealed: bool| Journal::restored(text, sealed, SystemTime::now());
    let (loaded, mut notes) = storage::load(&path, LARGEST as u64, restore);
    let (journal, unreadable) = loaded.unwrap_or_default();
    if unreadable > 0 {
        notes.push(storage::set_aside(&path, &format!("{unreadable} of its lines cannot be read")));
    }
    for note in notes {
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
    let written = tokio::task::spawn_blocking(move || storage::write(&path, || Ok(journal.text()))).await.context("saving");
    if let Err(error) = written.and_then(|result| Ok(result?)) {
        tracing::warn!(dir = %dir.display(), %error, "the journal cannot be saved; it is kept in memory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::journal::Turn;

    #[test]
    fn a_journal_cut_off_at_any_byte_gives_way_to_the_one_before_it() {
        let dir = std::env::temp_dir().join(format!("ollama-proxy-records-{}", std::process::id()));
        let path = dir.join(FILE);
        std::fs::create_dir_all(&dir).unwrap();
        let journal = Journal::default();
        journal.note(Some("node1"), Event::State(Turn::new("awake", "asleep", None)));
        let before = storage::sealed(journal.text());
        journal.note(Some("node1"), Event::State(Turn::new("asleep", "waking", None)));
        let last = storage::sealed(journal.text());
        for end in 0..=last.len() {
            std::fs::write(&path, &last[..end]).unwrap();
            std::fs::write(dir.join("journal.jsonl.old"), &before).unwrap();
            let whole = end == last.len();
            assert_eq!(read(&dir).since(0).len(), if whole { 2 } else { 1 }, "cut at {end}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
