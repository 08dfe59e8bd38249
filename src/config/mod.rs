//! What the user decided: flags, environment, `.env` and node file, merged and validated once, whole.
//!
//! Rooms receive their own slice (`&config.wake`), never the whole. There is no `Option` here without a meaning.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::values::Strategy;

mod access;
mod address;
mod args;
mod cluster;
mod data_dir;
mod document;
mod duration;
mod env_file;
mod exporter;
mod files;
#[cfg(test)]
mod fixture;
mod keep_awake;
mod layers;
mod merge;
mod node;
mod node_file;
mod node_source;
mod nodes;
mod providers;
mod rest;
mod role;
mod settings;
mod stand_ins;
mod tls;
mod wake_flags;
mod wake_values;

pub use access::{AccessConfig, BadCidr, Cidr, Glob, KeyDigest, KeyRules, KeySource, load_key};
pub use args::{
    CheckArgs, Cli, Command, ControllerArgs, ExporterArgs, NodesArgs, ProxyArg, ProxyUrl, ServeArgs, WakeArgs, WorkerArgs,
    parse_cli,
};
pub use cluster::{RegistrationConfig, WorkerConfig, load_controller, load_worker};
pub use env_file::{Env, environment};
pub use exporter::{ExporterConfig, load_exporter};
pub use keep_awake::{BadKeepAwake, KeepAwake, LocalTime, Window};
pub use merge::{Faults, load, load_entrance, load_of_role, load_roots, load_running};
pub use node::{NodeConfig, NodeKind, PowerConfig, SleepConfig, WakeConfig, WakeUrl, WorkerHand};
pub use node_source::{NodeSettings, NodeSource, Stamp};
pub use providers::{ProviderConfig, ProviderKind, Secret};
pub use rest::RestConfig;
pub use stand_ins::{FallbackWait, StandIns};
pub use tls::{Expiry, ExpiryStage, Roots, TlsFiles, TlsPair};

/// Everything `serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Whom nodes, providers and wake URLs may be certified by, beside the system's own authorities.
    pub roots: Roots,
    /// Where state is kept; `None` when no directory is writable (then a note says so).
    pub data_dir: Option<PathBuf>,
    /// The nodes; empty when nothing names one (then the page says what is missing).
    pub nodes: Vec<NodeConfig>,
    /// Where the nodes come from, to read them again.
    pub source: NodeSource,
    /// Cloud providers; empty unless the user has a key.
    pub providers: Vec<ProviderConfig>,
    /// The model that is to be pulled when no node has it.
    pub first_model: Option<String>,
    /// Whether OpenAI clients' chats are put to Ollama nodes in Ollama's own words.
    pub repair_v1: bool,
    /// Whether the providers' models stand in the lists of models.
    pub list_cloud_models: bool,
    /// Times that bound what we wait for.
    pub timeouts: Timeouts,
    /// When to wake, and when not.
    pub wake: WakeRules,
    /// How long a cached answer counts as fresh.
    pub cache_ttl: Duration,
    /// How often always-on nodes are checked; `None` (setting `0`) disables every own call to awake nodes.
    pub health_interval: Option<Duration>,
    /// Bounds.
    pub limits: Limits,
    /// Further allowed origins, beside Ollama's own list: `OLLAMA_ORIGINS` syntax (`*` wildcards).
    pub cors_origins: Vec<String>,
    /// Who may do what, and how much.
    pub access: AccessConfig,
    /// Whom to tell when something needs the owner.
    pub notify: NotifyConfig,
    /// Log form and level.
    pub log: Log,
    /// Whether workers may register, and how they are watched.
    pub registration: Option<RegistrationConfig>,
    /// Whether this is a worker, and what it tells its controllers.
    pub worker: Option<WorkerConfig>,
    /// What the node file says about the sizes of models.
    pub sizes: SizeRules,
    /// Which nodes may serve when none fits.
    pub fallback: Fallback,
    /// Which models stand in for others, and from when on.
    pub stand_ins: StandIns,
    /// How long a model is waited for before another stands in; `None`: none ever does.
    pub fallback_wait: Option<FallbackWait>,
    /// How requests are shared among equally good nodes.
    pub strategy: Strategy,
    /// Price of a kilowatt-hour in the owner's currency, for the pages.
    pub price_per_kwh: Option<f64>,
    /// Things the operator should know that are no faults; logged at start.
    pub notes: Vec<String>,
    /// Each effective setting with where it came from, for `check` and the page.
    pub origins: Vec<Origin>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `None`: every address, IPv4 and where possible IPv6.
    pub host: Option<IpAddr>,
    /// One listener each. Port 0 takes a free one.
    pub ports: Vec<u16>,
    /// Whether the user asked for these ports (else `demo` may take another when 11434 is taken).
    pub port_asked: bool,
    /// The certificate to show; `None`: all ports are plain.
    pub tls: Option<TlsFiles>,
}

impl Listen {
    /// Every port with whether it speaks TLS; the plain ones first.
    pub fn all_ports(&self) -> impl Iterator<Item = (u16, bool)> {
        let further = self.tls.iter().flat_map(|tls| &tls.ports);
        let alone = self.tls.as_ref().is_some_and(|tls| tls.ports.is_empty());
        self.ports.iter().map(move |port| (*port, alone)).chain(further.map(|port| (*port, true)))
    }

    /// The same place with one port alone.
    pub fn only(&self, port: u16, secured: bool) -> Self {
        let tls = self.tls.clone().filter(|_| secured).map(|tls| TlsFiles { ports: Vec::new(), ..tls });
        Self { ports: vec![port], tls, ..*self }
    }
}

/// What the owner says about the sizes of models, in billions of parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SizeRules {
    /// Whole names with their size (`model_name_mapping`), in the order of the file.
    pub mapping: Vec<(String, f64)>,
    /// Parts of names with their size (`model_name_patterns`), in the order of the file.
    pub patterns: Vec<(String, f64)>,
}

/// Which nodes may serve a model when none fits by size (`fallback` in the node file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Any node.
    Any,
    /// Nodes that hold the model.
    #[default]
    HaveModel,
    /// None: the request is refused.
    None,
}

/// A range of model sizes in billions of parameters, both ends included.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRange {
    /// Smallest.
    pub min_params_b: f64,
    /// Largest; `None`: no upper end.
    pub max_params_b: Option<f64>,
    /// Free text.
    pub description: String,
}

/// A host name or address with a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name, an IPv4 address or an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Times that bound what we wait for (DESIGN §5, §8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A whole metadata answer of an awake node.
    pub metadata: Duration,
    /// Silence of a node during inference or mutation after which its life is checked.
    pub silence: Duration,
    /// Until a connect must have succeeded; the kernel alone takes up to 134 s.
    pub connect: Duration,
    /// A hard end of a request; `None`: none.
    pub request_limit: Option<Duration>,
    /// From the first packet until a node must answer.
    pub wake: Duration,
    /// After its last traffic a sleeper counts as "probably still awake" for this long (ranking only).
    pub quiet_after: Duration,
    /// How long a request waits for a place while all nodes are full.
    pub queue: Duration,
}

/// When to wake, and when not.
#[derive(Clone, Debug)]
pub struct WakeRules {
    /// One background wake call per interval while inference requests arrive; `None`: off.
    pub interval: Option<Duration>,
    /// Windows in which nodes are kept awake without traffic.
    pub keep_awake: KeepAwake,
    /// Requests for these paths never wake.
    pub never_paths: Vec<Glob>,
    /// Requests from these addresses never wake.
    pub never_clients: Vec<Cidr>,
    /// Requests whose User-Agent matches never wake.
    pub never_agents: Vec<Glob>,
}

/// Bounds; each is taken in one atomic step and has its own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests held during wakes and while all nodes are full (503 beyond).
    pub held: usize,
    /// Bytes of one request body that is not a blob (413 beyond).
    pub body: usize,
    /// Bytes of all buffered request bodies together (503 beyond).
    pub buffer: usize,
    /// Client connections (further ones wait in the kernel's queue).
    pub connections: usize,
    /// Attempts of one request.
    pub attempts: u32,
}

/// Whom to tell when something needs the owner. The URLs may hold secrets: they are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Gets a POST of JSON.
    pub webhook: Option<String>,
    /// A topic of an ntfy server.
    pub ntfy: Option<Ntfy>,
}

/// A topic of an ntfy server.
#[derive(Clone, PartialEq, Eq)]
pub struct Ntfy {
    /// The server, with the path that ntfy is served under, ending with a slash.
    pub server: String,
    /// The topic, which is as good as a password.
    pub topic: String,
}

impl std::fmt::Debug for NotifyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyConfig")
            .field("webhook", &self.webhook.is_some())
            .field("ntfy", &self.ntfy.is_some())
            .finish_non_exhaustive()
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// One JSON object per line instead of text.
    pub json: bool,
    /// The level from which lines are written.
    pub level: LogLevel,
}

/// The level from which log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing but faults that need the operator.
    Error,
    /// And things the operator can act on.
    Warn,
    /// And one line per request and per change of power.
    #[default]
    Info,
    /// And the steps of a request.
    Debug,
    /// And everything.
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// Where an effective setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The long flag's name, or the key in the node file.
    pub setting: String,
    /// Its value as text; secrets are shown as `…`.
    pub value: String,
    /// `flag`, `environment OLLAMA_URL`, `.env WAKE_URL`, `node_config.json`, `default`.
    pub origin: String,
}
