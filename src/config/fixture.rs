//! A place on disk with settings, for tests that go through `load`.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{Config, Env, Faults, NodeConfig, ServeArgs, load};

/// A working directory with a data directory of its own, so that no test writes anywhere else.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) args: ServeArgs,
    pub(super) env: Env,
}

impl Place {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ollama-proxy-merge-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let env = Env::from([("STATE_DIRECTORY".to_owned(), dir.join("state").display().to_string())]);
        Self { dir, args: ServeArgs::default(), env }
    }

    pub(super) fn flag(mut self, flag: &str, value: &str) -> Self {
        self.args = self.args.clone().with(flag, value);
        self
    }

    pub(super) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn file(self, path: &str, text: &str) -> Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(super) fn load(&self) -> Result<Config, Faults> {
        load(&self.args, &self.env, &self.dir)
    }

    pub(super) fn config(&self) -> Config {
        self.load().unwrap_or_else(|faults| panic!("{faults}"))
    }

    pub(super) fn faults(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A place with one remote node, where nothing is to complain about.
pub(super) fn remote() -> Place {
    Place::new().flag("ollama-url", "http://192.168.1.20:11434")
}

pub(super) fn node<'a>(config: &'a Config, name: &str) -> &'a NodeConfig {
    config.nodes.iter().find(|node| node.name.as_str() == name).unwrap_or_else(|| panic!("{name} in {:?}", config.nodes))
}

pub(super) fn origin(config: &Config, setting: &str) -> (String, String) {
    let row = config.origins.iter().find(|row| row.setting == setting).unwrap_or_else(|| panic!("{setting}"));
    (row.value.clone(), row.origin.clone())
}

pub(super) fn addresses(config: &Config) -> Vec<String> {
    config.nodes.iter().map(|node| format!("{}={}", node.name, node.hosts[0])).collect()
}
