//! Files of the data directory: written whole or not at all, readable by their owner only, set aside when damaged.
//!
//! A loss of power in the middle of a write leaves the old file or the new one. A card that damages a file in place is found
//! out by the checksum in its last line, and the file before it, kept beside it, takes its place. All calls block on the
//! disk: make them where blocking is allowed, and write only when something changed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Damaged files beyond this many replace the last one: a failing card must not fill itself with them.
const DAMAGED_KEPT: u32 = 9;

/// What the name of the file before the last write ends in.
const BEFORE: &str = ".old";

/// The length of the last line: `{"sha256":"…"}` with 64 digits.
const SEAL: usize = 11 + 64 + 3;

/// Something about a file that its owner should read in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a file that [`write()`] made. `read` is told its content and whether a checksum vouches for that; files of earlier
/// versions have none. What is damaged is set aside, and the file before it takes its place.
///
/// A missing file is `None`, also when one before it is there: its owner wants it forgotten.
pub fn load<T>(path: &Path, largest: u64, read: impl Fn(&[u8], bool) -> Result<T, String>) -> (Option<T>, Vec<Note>) {
    let (before, mut notes) = (beside(path, BEFORE), Vec::new());
    for candidate in [path, &before] {
        let text = match read_whole(candidate, largest) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                notes.push(set_aside(candidate, &error));
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, notes),
            Err(error) => {
                notes.push(Note(format!("{} cannot be read, so what was known is not: {error}", candidate.display())));
                return (None, notes);
            }
        };
        match unsealed(&text).and_then(|(content, sealed)| read(content, sealed)) {
            Ok(value) if candidate == path => return (Some(value), notes),
            Ok(value) => {
                notes.push(Note(format!("{} is used instead: what changed last may be missing", before.display())));
                // Otherwise the next loss of power would leave nothing.
                fs::rename(&before, path).ok();
                return (Some(value), notes);
            }
            Err(why) => notes.push(set_aside(candidate, &why)),
        }
    }
    (None, notes)
}

/// A whole file of at most `largest` bytes; `InvalidData` when it is larger, and so none of ours.
fn read_whole(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > largest.saturating_add(SEAL as u64 + 1) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large to be ours"));
    }
    fs::read(path)
}

/// The content with its checksum as the last line.
pub fn sealed(mut content: Vec<u8>) -> Vec<u8> {
    if content.last() != Some(&b'\n') {
        content.push(b'\n');
    }
    let seal = seal(&content);
    content.extend_from_slice(seal.as_bytes());
    content
}

/// The content, and whether a checksum vouches for it.
fn unsealed(text: &[u8]) -> Result<(&[u8], bool), String> {
    let last = text.len().saturating_sub(SEAL);
    let (content, end) = text.split_at(last);
    if !end.starts_with(b"{\"sha256\":\"") {
        return Ok((text, false));
    }
    if seal(content).as_bytes() == end { Ok((content, true)) } else { Err("its checksum is another".to_owned()) }
}

fn seal(content: &[u8]) -> String {
    use std::fmt::Write;
    let digest = ring::digest::digest(&ring::digest::SHA256, content);
    let mut line = String::with_capacity(SEAL);
    line.push_str("{\"sha256\":\"");
    for byte in digest.as_ref() {
        let _ = write!(line, "{byte:02x}");
    }
    line.push_str("\"}\n");
    line
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

/// Writes a file: whole or not at all, sealed, readable by its owner only. Its directory must exist. The file that was
/// there is kept beside it.
///
/// One write at a time, and `make` is asked for the content when its turn has come: however two writes overlap, the newest
/// content is written last.
///
/// # Errors
/// What the file system says; the old file stays then.
pub fn write(path: &Path, make: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = sealed(make()?);
    let unfinished = beside(path, ".new");
    let written = write_synced(&unfinished, &text).and_then(|()| {
        keep_the_one_before(path);
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // Half a file is of no use; the fault that is reported is the first one.
        fs::remove_file(&unfinished).ok();
    }
    written?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// By a second name, so that the file itself is there at every moment. File systems without links keep none before.
fn keep_the_one_before(path: &Path) {
    let before = beside(path, BEFORE);
    fs::remove_file(&before).ok();
    if fs::hard_link(path, &before).is_ok() {
        #[cfg(unix)]
        fs::set_permissions(&before, std::os::unix::fs::PermissionsExt::from_mode(0o600)).ok();
    }
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

#[cfg(test)]
mod tests;
