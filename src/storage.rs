//! Files of the data directory: written whole or not at all, readable by their owner only, set aside when damaged.
//!
//! A loss of power in the middle of a write leaves the old file or the new one. All calls block on the disk: make them
//! where blocking is allowed, and write only when something changed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Damaged files beyond this many replace the last one: a failing card must not fill itself with them.
const DAMAGED_KEPT: u32 = 9;

/// Something about a file that its owner should read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a whole file of at most `largest` bytes.
///
/// # Errors
/// What the file system says; `InvalidData` when it is larger, and so none of ours.
pub fn read(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > largest {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large to be ours"));
    }
    fs::read(path)
}

/// Renames a damaged file out of the way, for its owner to look at.
pub fn set_aside(path: &Path, why: &dyn fmt::Display) -> Note {
    let aside = free_name(path);
    match fs::rename(path, &aside) {
        Ok(()) => Note(format!("{} is damaged and was set aside as {}: {why}", path.display(), aside.display())),
        Err(error) => Note(format!("{} is damaged ({why}) and cannot be set aside: {error}", path.display())),
    }
}

fn free_name(path: &Path) -> PathBuf {
    let named = |n: u32| beside(path, &format!(".damaged-{n}"));
    (1..DAMAGED_KEPT).map(named).find(|path| fs::symlink_metadata(path).is_err()).unwrap_or_else(|| named(DAMAGED_KEPT))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Writes a file: whole or not at all, readable by its owner only. Its directory must exist.
///
/// # Errors
/// What the file system says; the old file stays then.
pub fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let unfinished = beside(path, ".new");
    let written = write_synced(&unfinished, text).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // Half a file is of no use; the fault that is reported is the first one.
        fs::remove_file(&unfinished).ok();
    }
    written?;
    path.parent().map_or(Ok(()), sync_dir)
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
