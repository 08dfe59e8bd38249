//! Finding and reading the files that settings come from: `.env` and the node file.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::config::layers::Given;

/// Finds the node file: as given, else under its usual names here and in the data directory.
///
/// # Errors
/// When a file was named that is nowhere; the usual name may be absent, old `.env` files carry it regardless.
pub(super) fn find(given: &Given, working_dir: &Path, data_dir: Option<&Path>) -> Result<Option<PathBuf>, String> {
    let usual = given.text == "node_config.json";
    let mut candidates = vec![working_dir.join(&given.text)];
    if usual {
        candidates.push(working_dir.join("config/node_config.json"));
    }
    candidates.extend(data_dir.map(|dir| dir.join(&given.text)));
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(Some(path.clone())),
        None if usual => Ok(None),
        None => {
            let sought: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
            Err(format!("is no file (sought {}): correct the path or leave the setting out", sought.join(", ")))
        }
    }
}

/// A folder where the node file is sought: Docker makes one of a mount whose file is missing.
pub(super) fn folder_instead(given: &Given, working_dir: &Path, data_dir: Option<&Path>) -> Option<PathBuf> {
    let places = [Some(working_dir), data_dir];
    places.into_iter().flatten().map(|dir| dir.join(&given.text)).find(|path| path.is_dir())
}

/// Reads the text of a file that must be readable when it is there. `None`: it is not, or a directory (which Docker makes of a
/// missing mount).
pub(super) fn read_text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(why)
            if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) =>
        {
            Ok(None)
        }
        Err(why) => Err(why),
    }
}
