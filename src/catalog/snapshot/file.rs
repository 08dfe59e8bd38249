//! `state.json` on the disk. A damaged file is set aside, never an end.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::super::times;
use super::{FORMAT, Snapshot};
use crate::storage::{self, Note};

pub(super) const FILE: &str = "state.json";
/// Far above what lists and held shows can take; larger is not ours.
pub(super) const LARGEST: u64 = 256 * 1024 * 1024;

/// Reads the state file of a data directory. A missing file is an empty snapshot; one that cannot be read, or whose
/// content is not ours, too, with a note. Times that lie ahead of `now` count as now.
pub fn load(dir: &Path, now: SystemTime) -> (Snapshot, Option<Note>) {
    let path = dir.join(FILE);
    let text = match storage::read(&path, LARGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Snapshot::default(), None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return (Snapshot::default(), Some(storage::set_aside(&path, &error)));
        }
        Err(error) => {
            let note = format!("{} cannot be read, so what was learnt is not known: {error}", path.display());
            return (Snapshot::default(), Some(Note(note)));
        }
    };
    match serde_json::from_slice::<Snapshot>(&text) {
        Ok(snapshot) if snapshot.version != FORMAT => {
            let why = format!("its format is {}, this program reads {FORMAT}", snapshot.version);
            (Snapshot::default(), Some(storage::set_aside(&path, &why)))
        }
        Ok(mut snapshot) => {
            snapshot.nodes.values_mut().for_each(|node| node.clamp(times::unix(now)));
            (snapshot, None)
        }
        Err(error) => (Snapshot::default(), Some(storage::set_aside(&path, &error))),
    }
}

/// Writes the state file: whole or not at all, readable by its owner only. The directory must exist.
///
/// # Errors
/// What the file system says; the old file stays then.
pub fn save(dir: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let text = serde_json::to_vec(snapshot).map_err(io::Error::other)?;
    storage::write(&dir.join(FILE), &text)
}
