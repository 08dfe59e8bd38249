//! `state.json` on the disk.
//!
//! A loss of power in the middle of a write leaves the old file or the new one. A damaged file is set aside, never an
//! end. The calls block on the disk: make them where blocking is allowed, and save only when something changed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::super::times;
use super::{FORMAT, Snapshot};

pub(super) const FILE: &str = "state.json";
pub(super) const UNFINISHED: &str = "state.json.new";
/// Damaged files beyond this many replace the last one: a failing card must not fill itself with them.
const DAMAGED_KEPT: u32 = 9;
/// Far above what lists and held shows can take; larger is not ours.
pub(super) const LARGEST: u64 = 256 * 1024 * 1024;

/// Something about the state file that its owner should read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the state file of a data directory. A missing file is an empty snapshot; one that cannot be read, or whose
/// content is not ours, too, with a note. Times that lie ahead of `now` count as now.
pub fn load(dir: &Path, now: SystemTime) -> (Snapshot, Option<Note>) {
    let path = dir.join(FILE);
    let text = match read_bounded(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (Snapshot::default(), None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return (Snapshot::default(), Some(set_aside(dir, &error))),
        Err(error) => {
            let note = format!("{} cannot be read, so what was learnt is not known: {error}", path.display());
            return (Snapshot::default(), Some(Note(note)));
        }
    };
    match serde_json::from_slice::<Snapshot>(&text) {
        Ok(snapshot) if snapshot.version != FORMAT => {
            let why = format!("its format is {}, this program reads {FORMAT}", snapshot.version);
            (Snapshot::default(), Some(set_aside(dir, &why)))
        }
        Ok(mut snapshot) => {
            snapshot.nodes.values_mut().for_each(|node| node.clamp(times::unix(now)));
            (snapshot, None)
        }
        Err(error) => (Snapshot::default(), Some(set_aside(dir, &error))),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large to be ours"));
    }
    fs::read(path)
}

fn set_aside(dir: &Path, why: &dyn fmt::Display) -> Note {
    let (path, aside) = (dir.join(FILE), free_name(dir));
    match fs::rename(&path, &aside) {
        Ok(()) => Note(format!("{} is damaged and was set aside as {}: {why}", path.display(), aside.display())),
        Err(error) => Note(format!("{} is damaged ({why}) and cannot be set aside: {error}", path.display())),
    }
}

fn free_name(dir: &Path) -> PathBuf {
    let named = |n: u32| dir.join(format!("{FILE}.damaged-{n}"));
    (1..DAMAGED_KEPT).map(named).find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| named(DAMAGED_KEPT))
}

/// Writes the state file: whole or not at all, readable by its owner only. The directory must exist.
///
/// # Errors
/// What the file system says; the old file stays then.
pub fn save(dir: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let text = serde_json::to_vec(snapshot).map_err(io::Error::other)?;
    let unfinished = dir.join(UNFINISHED);
    let written = write_synced(&unfinished, &text).and_then(|()| fs::rename(&unfinished, dir.join(FILE)));
    if written.is_err() {
        // Half a file is of no use; the fault that is reported is the first one.
        fs::remove_file(&unfinished).ok();
    }
    written?;
    sync_dir(dir)
}

fn write_synced(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(text)?;
    file.sync_all()
}

/// A new file, never one that is there: that might be readable by others, or a link to elsewhere.
fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the rename itself last; only Unix opens directories.
fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
