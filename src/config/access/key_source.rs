//! The key file, to read it again while running: the file anew, all other layers as they were.

use std::fmt;
use std::path::{Path, PathBuf};

use super::keys;
use crate::config::layers::Layers;
use crate::config::{Env, Faults, KeyRules, NodeSource, ServeArgs, merge, settings};

/// What was read of the other layers at the start.
#[derive(Clone)]
pub struct KeySource {
    args: ServeArgs,
    env: Env,
    dotenv: Env,
    working_dir: PathBuf,
    file: PathBuf,
}

impl KeySource {
    /// From the layers that the nodes were read from; `None`: there is no key file.
    pub fn of(source: &NodeSource) -> Option<Self> {
        let NodeSource { args, env, dotenv, working_dir, .. } = source.clone();
        let mut layers = Layers::new(&args, &env);
        layers.dotenv.clone_from(&dotenv);
        let file = layers.read_optional(&settings::API_KEY_FILE, |text| Ok(working_dir.join(text)))?;
        Some(Self { args, env, dotenv, working_dir, file })
    }

    /// The key file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All keys, those of the flags among them.
    ///
    /// # Errors
    /// All faults of the file; that it has gone is one.
    pub fn read(&self) -> Result<Vec<KeyRules>, Faults> {
        let mut layers = Layers::new(&self.args, &self.env);
        layers.dotenv.clone_from(&self.dotenv);
        let keys = keys::keys(&mut layers, &self.working_dir);
        merge::checked(keys, layers.faults)
    }
}

impl fmt::Debug for KeySource {
    /// Without the environment, which holds other people's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::KeySource;
    use crate::config::fixture::remote;

    #[test]
    fn the_file_is_read_anew_and_the_keys_of_the_flags_stay() {
        let text = r#"{"keys": [{"name": "kids", "key": "${KIDS}"}]}"#;
        let place = remote().file("keys.json", text).env("KIDS", "a-key-for-the-kids").flag("admin-key", "the-key-of-the-owner");
        let place = place.flag("api-key-file", "keys.json");
        let source = KeySource::of(&place.config().source).unwrap();
        let names = || source.read().map(|keys| keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>());
        assert_eq!(names().unwrap(), ["admin", "kids"]);
        std::fs::write(source.file(), r#"{"keys": [{"name": "guest", "key": "another-key-for-guests"}]}"#).unwrap();
        assert_eq!(names().unwrap(), ["admin", "guest"]);
        std::fs::write(source.file(), "{").unwrap();
        assert!(names().is_err());
        std::fs::remove_file(source.file()).unwrap();
        assert!(names().unwrap_err().to_string().contains("is no file"));
    }

    #[test]
    fn without_a_key_file_there_is_nothing_to_read() {
        assert!(KeySource::of(&remote().flag("api-key", "some-key-of-somebody").config().source).is_none());
    }
}
