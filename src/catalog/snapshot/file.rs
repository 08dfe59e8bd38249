//! `state.json` on the disk. A damaged file gives way to the one before it, never an end.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::super::times;
use super::{FORMAT, Snapshot, UNSEALED};
use crate::storage::{self, Note};

pub(super) const FILE: &str = "state.json";
/// Far above what lists and held shows can take; larger is not ours.
pub(super) const LARGEST: u64 = 256 * 1024 * 1024;

/// Reads the state file of a data directory. A missing file is an empty snapshot; one that cannot be read, or whose
/// content is not ours, gives way to the one before it, with a note. Times that lie ahead of `now` count as now.
pub fn load(dir: &Path, now: SystemTime) -> (Snapshot, Option<Note>) {
    let (loaded, notes) = storage::load(&dir.join(FILE), LARGEST, read);
    let mut snapshot = loaded.unwrap_or_default();
    snapshot.nodes.values_mut().for_each(|node| node.clamp(times::unix(now)));
    let told: Vec<String> = notes.iter().map(ToString::to_string).collect();
    (snapshot, (!told.is_empty()).then(|| Note(told.join("; "))))
}

fn read(text: &[u8], sealed: bool) -> Result<Snapshot, String> {
    let snapshot: Snapshot = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match snapshot.version {
        FORMAT if sealed => Ok(snapshot),
        FORMAT => Err("its end with the checksum is missing".to_owned()),
        UNSEALED => Ok(Snapshot { version: FORMAT, ..snapshot }),
        other => Err(format!("its format is {other}, this program reads {UNSEALED} and {FORMAT}")),
    }
}

/// Writes the state file: whole or not at all, readable by its owner only. The directory must exist. `known` is asked when
/// no other write is under way.
///
/// # Errors
/// What the file system says; the old file stays then.
pub fn save(dir: &Path, known: impl FnOnce() -> Snapshot) -> io::Result<()> {
    storage::write(&dir.join(FILE), || serde_json::to_vec(&known()).map_err(io::Error::other))
}
