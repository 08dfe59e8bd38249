//! Where the nodes come from, to read them again while running: the node file anew, all other layers as they were.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::layers::Layers;
use crate::config::{Env, Fallback, Faults, NodeConfig, ServeArgs, SizeRules, merge, nodes};

#[cfg(test)]
mod tests;

/// What was read of the other layers at the start.
#[derive(Clone)]
pub struct NodeSource {
    pub(super) args: ServeArgs,
    pub(super) env: Env,
    pub(super) dotenv: Env,
    pub(super) working_dir: PathBuf,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) file: Option<PathBuf>,
    /// How the file stood before it was last read.
    pub(super) stamp: Stamp,
    /// These and no others, whatever is written anywhere.
    pub(super) fixed: Option<Vec<NodeConfig>>,
}

/// How a file stands, as far as a look at it tells; equal when nobody has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<(Option<SystemTime>, u64)>);

impl Stamp {
    /// A look at the file. One that is not there has a stamp, too.
    pub fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| (file.modified().ok(), file.len())))
    }
}

/// What the node file decides.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The nodes, those of `--ollama-url` among them.
    pub nodes: Vec<NodeConfig>,
    /// What it says about the sizes of models.
    pub sizes: SizeRules,
    /// Which nodes may serve when none fits.
    pub fallback: Fallback,
    /// Price of a kilowatt-hour in the owner's currency.
    pub price_per_kwh: Option<f64>,
    /// Things the operator should know that are no faults.
    pub notes: Vec<String>,
}

impl NodeSource {
    /// Nodes that no file changes.
    pub(super) fn fixed(nodes: Vec<NodeConfig>) -> Self {
        let (args, env, dotenv, working_dir) = (ServeArgs::default(), Env::new(), Env::new(), PathBuf::new());
        Self { args, env, dotenv, working_dir, data_dir: None, file: None, stamp: Stamp::default(), fixed: Some(nodes) }
    }

    /// The node file in use; `None`: there is none.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// How the file stood before it was last read.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the file has been written since it was last read.
    pub fn has_changed(&self) -> bool {
        self.file().is_some_and(|path| Stamp::of(path) != self.stamp)
    }

    /// Reads the node file again. Where there was none, one may have come since, and then is the one in use.
    ///
    /// # Errors
    /// All its faults; that it has gone is one.
    pub fn read(&mut self) -> Result<NodeSettings, Faults> {
        if let Some(nodes) = &self.fixed {
            let (sizes, fallback) = (SizeRules::default(), Fallback::default());
            return Ok(NodeSettings { nodes: nodes.clone(), sizes, fallback, price_per_kwh: None, notes: Vec::new() });
        }
        let mut layers = Layers::new(&self.args, &self.env);
        self.stamp = self.file().map(Stamp::of).unwrap_or_default();
        layers.dotenv.clone_from(&self.dotenv);
        let listen = merge::listen(&mut layers);
        let file = match &self.file {
            // Without their file its nodes would only seem to be gone.
            Some(path) if !path.is_file() => {
                let name = merge::shown(path, &self.working_dir);
                return Err(Faults(vec![format!("{name}: is not there any more: put it back, or start anew without it")]));
            }
            Some(path) => merge::read_node_file(&mut layers, path, &self.working_dir),
            None => {
                let file;
                (file, self.file, self.stamp) = merge::find_node_file(&mut layers, &self.working_dir, self.data_dir.as_deref());
                file
            }
        };
        let (sizes, fallback, price_per_kwh) = (file.sizes.clone(), file.fallback, file.price_per_kwh);
        let nodes = nodes::assemble(&mut layers, &listen, file);
        let notes = std::mem::take(&mut layers.notes);
        merge::checked(NodeSettings { nodes, sizes, fallback, price_per_kwh, notes }, layers.faults)
    }
}

impl fmt::Debug for NodeSource {
    /// Without the environment, which holds other people's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSource").field("file", &self.file).finish_non_exhaustive()
    }
}
