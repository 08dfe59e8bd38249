//! What is set for one node.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::config::{HostPort, ModelRange, Secret, address, layers};
use crate::values::{Mac, NodeName, SecureOn};

/// One Ollama server with its host.
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, PartialEq)]
pub struct NodeConfig {
    /// Unique among the nodes.
    pub name: NodeName,
    /// Addresses in the order in which they are tried. Never empty.
    pub hosts: Vec<HostPort>,
    /// Path in front of every upstream path, without trailing slash; usually empty.
    pub path_prefix: String,
    /// Reached by TLS: its addresses were written with `https://`.
    pub tls: bool,
    /// Its host is a name, and every address of that is a node of its own, always on.
    pub discovered: bool,
    /// Checked regularly, never considered asleep (`DESIGN` class "always-on").
    pub always_on: bool,
    /// Takes part at all.
    pub enabled: bool,
    /// Share under weighted strategies.
    pub weight: f64,
    /// Requests at once; `None`: what the node reports, or 4.
    pub capacity: Option<u32>,
    /// Free text of the owner, shown on pages.
    pub description: String,
    /// Memory in gigabytes as the node file states it.
    pub memory_gb: Option<f64>,
    /// Sizes of models (in billions of parameters, both ends included) that this node may serve; empty: all.
    pub model_ranges: Vec<ModelRange>,
    /// Which API it speaks.
    pub kind: NodeKind,
    /// Models the owner says it holds; empty: what it lists itself.
    pub models: Vec<String>,
    /// How to wake it.
    pub wake: WakeConfig,
    /// How to send it to sleep.
    pub sleep: SleepConfig,
    /// What it draws, as the owner states it.
    pub power: PowerConfig,
}

/// The API that a node speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeKind {
    /// Ollama itself.
    #[default]
    Ollama,
    /// A server with OpenAI's API only, such as llama.cpp's or LM Studio.
    OpenAi,
}

impl NodeKind {
    /// The word for it in the node file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::OpenAi => "openai",
        }
    }
}

/// How one node is sent to sleep by us; nothing set: it sleeps by its own timer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SleepConfig {
    /// A URL to call.
    pub url: Option<String>,
    /// A command to run on this machine.
    pub command: Option<String>,
    /// The worker on the machine; it goes before the others, since it knows what goes on there.
    pub worker: Option<WorkerHand>,
}

/// A worker that can be asked to put its machine to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerHand {
    /// Gets an empty POST.
    pub url: String,
    /// The internal key, as its bearer.
    pub key: Option<Secret>,
}

/// What one node draws from the wall, for energy figures and the `least_energy` strategy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerConfig {
    /// Watts while it is awake and idle.
    pub idle_watts: Option<f64>,
    /// Watts while it sleeps.
    pub sleep_watts: Option<f64>,
    /// After this time without use it goes to sleep by itself.
    pub sleeps_after: Option<Duration>,
}

/// How one node is woken. Nothing set: a MAC may still be learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WakeConfig {
    /// The MAC the user set; a learnt one lives in the state file.
    pub mac: Option<Mac>,
    /// Appended to the magic packet.
    pub secure_on: Option<SecureOn>,
    /// Where packets go; set addresses *replace* all computed ones.
    pub broadcast: Vec<Ipv4Addr>,
    /// UDP ports of packets; set ports *replace* 9 and 7.
    pub ports: Vec<u16>,
    /// A URL to call.
    pub url: Option<WakeUrl>,
}

/// A URL that wakes a machine, for instance WolGoWeb's `/wol?mac=…`.
#[derive(Clone, PartialEq, Eq)]
pub struct WakeUrl {
    /// The URL with the placeholders `{mac} {ip} {node} {time} {token}` still in it.
    pub template: String,
    /// HTTP method.
    pub method: String,
    /// Further headers; values may hold placeholders.
    pub headers: Vec<(String, String)>,
    /// Body, may hold placeholders.
    pub body: Option<String>,
    /// WolGoWeb's KEY; then `mac`, `time` and `token` are set in the query of each call.
    pub key: Option<String>,
}

impl WakeUrl {
    /// The URL as it may be shown: without user and query, which may hold secrets.
    pub fn shown(&self) -> String {
        layers::shown_url(&self.template)
    }

    /// The server that it calls; `None` when that depends on a placeholder.
    pub fn server(&self) -> Option<HostPort> {
        let (_, rest) = self.template.split_once("://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('{') { None } else { address::wake_target(&self.template).ok() }
    }
}

impl std::fmt::Debug for WakeUrl {
    /// Without the key, the headers, and the user and query of the URL, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WakeUrl").field("url", &self.shown()).field("method", &self.method).finish_non_exhaustive()
    }
}
