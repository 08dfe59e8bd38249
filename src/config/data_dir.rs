//! Where state is kept. Touches the disk: an implied directory counts only once we could write into it; one that is there and
//! takes no writes (a full disk, a card that turned read-only) is read all the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Env;
use crate::config::layers::Given;

/// The directory that was chosen.
pub(super) struct DataDir {
    /// `None` when it is not there and cannot be made, or none could be thought of.
    pub(super) path: Option<PathBuf>,
    /// What the operator should know about it.
    pub(super) note: Option<String>,
    /// Which rule chose it.
    pub(super) origin: String,
}

/// Takes the first of: the setting, `$STATE_DIRECTORY`, a writable `/data`, `$XDG_STATE_HOME/ollama-proxy`,
/// `~/.local/state/ollama-proxy`. One that was named is not replaced by another when it is not writable: state in an
/// unexpected place is worse than none.
pub(super) fn choose(given: Option<&Given>, env: &Env, working_dir: &Path) -> DataDir {
    let (wanted, origin) = match given {
        Some(given) => (Some(PathBuf::from(&given.text)), given.origin.clone()),
        None => implied(env, Path::new("/data")),
    };
    let Some(wanted) = wanted else {
        let note = "no data directory: set --data-dir (DATA_DIR); until then nothing is remembered over a restart".to_owned();
        return DataDir { path: None, note: Some(note), origin };
    };
    let path = working_dir.join(wanted);
    match writable(&path) {
        Ok(()) => DataDir { path: Some(path), note: None, origin },
        Err(why) if path.is_dir() => {
            let note = format!(
                "data directory {} ({origin}) is not writable ({why}): what it holds is used, but nothing new is remembered over a \
                 restart until it takes writes again; free it, or set --data-dir (DATA_DIR)",
                path.display()
            );
            DataDir { path: Some(path), note: Some(note), origin }
        }
        Err(why) => {
            let note = format!(
                "data directory {} ({origin}) is not writable ({why}): nothing is remembered over a restart; set --data-dir (DATA_DIR)",
                path.display()
            );
            DataDir { path: None, note: Some(note), origin }
        }
    }
}

fn implied(env: &Env, volume: &Path) -> (Option<PathBuf>, String) {
    let variable = |name: &str| env.get(name).filter(|value| !value.is_empty());
    // systemd separates several directories by colons.
    if let Some(state) = variable("STATE_DIRECTORY").and_then(|dirs| dirs.split(':').next()) {
        return (Some(PathBuf::from(state)), "environment STATE_DIRECTORY".to_owned());
    }
    if volume.is_dir() && writable(volume).is_ok() {
        return (Some(volume.to_owned()), "default".to_owned());
    }
    // Relative paths in XDG variables are to be ignored, says their specification.
    if let Some(state) = variable("XDG_STATE_HOME").filter(|path| Path::new(path).is_absolute()) {
        return (Some(Path::new(state).join("ollama-proxy")), "environment XDG_STATE_HOME".to_owned());
    }
    let home = variable("HOME").map(|home| Path::new(home).join(".local/state/ollama-proxy"));
    (home, "default".to_owned())
}

/// Creates the directory where needed and tries to write: permissions alone say nothing on read-only and network mounts.
fn writable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let probe = dir.join(format!(".write-test-{}", std::process::id()));
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ollama-proxy-data-dir-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_implied_directory_follows_the_order_of_the_rules() {
        let volume = scratch("volume");
        let none = volume.join("missing");
        let all = env(&[("STATE_DIRECTORY", "/s:/t"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(implied(&all, &volume).0, Some("/s".into()));
        let homes = env(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]);
        assert_eq!(implied(&homes, &volume).0, Some(volume.clone()));
        assert_eq!(implied(&homes, &none).0, Some("/x/ollama-proxy".into()));
        let relative = env(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]);
        assert_eq!(implied(&relative, &none).0, Some("/h/.local/state/ollama-proxy".into()));
        assert_eq!(implied(&Env::new(), &none).0, None);
        assert!(!none.exists(), "a volume that is not there is not created");
        fs::remove_dir_all(volume).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_note_and_no_fault() {
        let dir = scratch("blocked");
        fs::write(dir.join("file"), b"").unwrap();
        let given = Given { text: "file/state".to_owned(), origin: "flag".to_owned() };
        let chosen = choose(Some(&given), &Env::new(), &dir);
        assert_eq!(chosen.path, None);
        assert!(chosen.note.unwrap().contains("not writable"));
        fs::remove_dir_all(dir).unwrap();
    }

    /// Not even root may make files there.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_that_takes_no_writes_is_read_all_the_same() {
        let given = Given { text: "/proc".to_owned(), origin: "flag".to_owned() };
        let chosen = choose(Some(&given), &Env::new(), Path::new("/"));
        assert_eq!(chosen.path, Some("/proc".into()));
        assert!(chosen.note.unwrap().contains("what it holds is used"));
    }

    #[test]
    fn a_named_directory_is_made_and_left_empty() {
        let dir = scratch("named");
        let given = Given { text: "state/deep".to_owned(), origin: "flag".to_owned() };
        let chosen = choose(Some(&given), &Env::new(), &dir);
        assert_eq!(chosen.path, Some(dir.join("state/deep")));
        assert_eq!(fs::read_dir(dir.join("state/deep")).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
