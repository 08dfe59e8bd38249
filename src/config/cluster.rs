//! The settings of `controller` and `worker`: who may register, and what a worker tells of itself.

use std::path::Path;
use std::time::Duration;

use crate::config::address::{self, OLLAMA_PORT};
use crate::config::duration::{self, Unit};
use crate::config::layers::Layers;
use crate::config::merge::{self, checked, listen, load, log, open_layers};
use crate::config::providers::secret;
use crate::config::rest::{self, RestConfig};
use crate::config::role::Role;
use crate::config::settings::{self, Setting, setting};
use crate::config::{
    AccessConfig, Config, ControllerArgs, Env, Fallback, Faults, HostPort, KeepAwake, Listen, NodeConfig, NodeSource,
    NotifyConfig, ProxyUrl, Secret, SizeRules, StandIns, WakeRules, WorkerArgs, tls,
};
use crate::values::{NodeName, Strategy};

static INTERNAL_API_KEY: Setting = setting(
    "internal-api-key",
    &["INTERNAL_API_KEY"],
    "",
    "Key that controllers and workers share; without it only this machine may register",
)
.secret();
static HEARTBEAT_TIMEOUT: Setting = setting(
    "heartbeat-timeout",
    &["HEARTBEAT_TIMEOUT"],
    "60",
    "Silence after which a worker counts as asleep, or is asked if it may not sleep",
);
static HEARTBEAT_CHECK_INTERVAL: Setting =
    setting("heartbeat-check-interval", &["HEARTBEAT_CHECK_INTERVAL"], "10", "How often silent workers are looked for");

static WORKER_ID: Setting =
    setting("worker-id", &["WORKER_ID"], "", "Name of this worker, its own among all; the host name if left out");
static MODEL_ID: Setting =
    setting("model-id", &["MODEL_ID"], "", "The only model that it serves; all models of the back end if left out");
static NODE_NAME: Setting =
    setting("node-name", &["NODE_NAME"], "", "Name of the node on pages and in metrics; the worker's if left out");
static BACKEND_URL: Setting = setting("backend-url", &["BACKEND_URL"], "http://localhost:11434", "Where its Ollama is");
static CONTROLLER_URL: Setting = setting(
    "controller-url",
    &["CONTROLLER_URL"],
    "http://localhost:8000",
    "Controllers to register with; repeat it or separate by commas",
)
.list(",");
static CAPACITY: Setting =
    setting("capacity", &["CAPACITY"], "", "Requests at once; OLLAMA_NUM_PARALLEL if that is set, else controllers take 4");
static HEARTBEAT_INTERVAL: Setting =
    setting("heartbeat-interval", &["HEARTBEAT_INTERVAL"], "10", "How often it tells controllers how it is");
static REGISTRY_RETRY_COUNT: Setting = setting(
    "registry-retry-count",
    &["REGISTRY_RETRY_COUNT"],
    "30",
    "Tries to register before it tries but once in five minutes",
);
static REGISTRY_RETRY_DELAY: Setting = setting(
    "registry-retry-delay",
    &["REGISTRY_RETRY_DELAY"],
    "5",
    "Wait after the first try to register that failed; doubles up to a minute",
);

/// The flags that `controller` has beside those of `serve`.
pub(super) static REGISTRATION: [&Setting; 3] = [&INTERNAL_API_KEY, &HEARTBEAT_TIMEOUT, &HEARTBEAT_CHECK_INTERVAL];

/// The flags of `worker` under their headings.
pub(super) static WORKER_GROUPS: &[(&str, &[&Setting])] = &[
    (
        "Worker",
        &[
            &WORKER_ID,
            &MODEL_ID,
            &NODE_NAME,
            &BACKEND_URL,
            &CONTROLLER_URL,
            &settings::PORT,
            &settings::HOST,
            &CAPACITY,
            &settings::ALWAYS_ON,
            &INTERNAL_API_KEY,
        ],
    ),
    ("Sleep", &rest::SLEEP),
    ("Registration", &[&HEARTBEAT_INTERVAL, &REGISTRY_RETRY_COUNT, &REGISTRY_RETRY_DELAY]),
    (
        "Times",
        &[
            &settings::TIMEOUT,
            &settings::MODEL_TIMEOUT,
            &settings::CONNECT_TIMEOUT,
            &settings::REQUEST_LIMIT,
            &settings::QUIET_AFTER,
            &settings::QUEUE_WAIT,
            &settings::CACHE_TTL,
            &settings::HEALTH_INTERVAL,
        ],
    ),
    (
        "Limits",
        &[&settings::MAX_HELD, &settings::MAX_BODY, &settings::MAX_BUFFER, &settings::MAX_CONNECTIONS, &settings::CORS_ORIGINS],
    ),
    ("Log", &[&settings::LOG_FORMAT, &settings::LOG]),
];

/// Every setting of `worker`, without headings.
pub(super) fn worker_settings() -> impl Iterator<Item = &'static Setting> {
    WORKER_GROUPS.iter().flat_map(|(_, settings)| settings.iter().copied())
}

/// How a controller takes workers in and watches them.
#[derive(Clone, Debug)]
pub struct RegistrationConfig {
    /// What workers must show; `None`: only this machine itself may register.
    pub key: Option<Secret>,
    /// After this silence a worker is looked after.
    pub timeout: Duration,
    /// How often silent ones are looked for.
    pub check_interval: Duration,
}

/// What a worker tells its controllers, and how often.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Its own name among all workers.
    pub id: String,
    /// The node's name on pages and in metrics.
    pub node_name: String,
    /// The only model that it serves; `None`: all of its back end.
    pub model: Option<String>,
    /// Whom it registers with.
    pub controllers: Vec<ProxyUrl>,
    /// Requests at once; `None`: as many as a controller takes for granted.
    pub capacity: Option<u32>,
    /// Whether its machine never sleeps.
    pub always_on: bool,
    /// Between two heartbeats.
    pub heartbeat: Duration,
    /// Tries to register before they become rare.
    pub retries: u32,
    /// Wait after the first failed try.
    pub retry_delay: Duration,
    /// What it shows to controllers, and they to it.
    pub key: Option<Secret>,
    /// How its machine goes to sleep.
    pub rest: RestConfig,
}

/// Merges and checks everything that `controller` needs.
///
/// # Errors
/// All faults of all layers.
pub fn load_controller(args: &ControllerArgs, env: &Env, working_dir: &Path) -> Result<Config, Faults> {
    load(&args.0, env, working_dir)
}

/// `None` for every command but `controller`.
pub(super) fn registration(layers: &mut Layers<'_>) -> Option<RegistrationConfig> {
    (layers.role() == Role::Controller).then(|| RegistrationConfig {
        key: layers.read_optional(&INTERNAL_API_KEY, secret),
        timeout: layers.read(&HEARTBEAT_TIMEOUT, merge::positive_seconds),
        check_interval: layers.read(&HEARTBEAT_CHECK_INTERVAL, merge::positive_seconds),
    })
}

/// Merges and checks everything that `worker` needs: the proxy before one local node, and what it tells of itself.
///
/// # Errors
/// All faults of these settings; others are not looked at.
pub fn load_worker(args: &WorkerArgs, env: &Env, working_dir: &Path) -> Result<Config, Faults> {
    let mut layers = Layers::new(&args.0, env);
    open_layers(&mut layers, env, working_dir);
    // Controllers speak plainly to their workers.
    let listen = Listen { tls: None, ..listen(&mut layers, working_dir) };
    let (worker, node) = worker(&mut layers);
    if address::is_own(&listen, &node.hosts[0]) {
        let at = &node.hosts[0];
        layers
            .faults
            .push(format!("--backend-url: `{at}` is this worker's own listener: name the Ollama, or choose another --port"));
    }
    let nodes = vec![node];
    let config = Config {
        roots: tls::roots(&mut layers, working_dir),
        access: AccessConfig::default(),
        data_dir: None,
        source: NodeSource::fixed(nodes.clone()),
        nodes,
        providers: Vec::new(),
        list_cloud_models: false,
        repair_v1: false,
        first_model: None,
        timeouts: merge::timeouts(&mut layers),
        wake: WakeRules {
            interval: None,
            keep_awake: KeepAwake::Off,
            never_paths: Vec::new(),
            never_clients: Vec::new(),
            never_agents: Vec::new(),
        },
        cache_ttl: layers.read(&settings::CACHE_TTL, |text| duration::duration(text, Unit::Seconds)),
        health_interval: layers.read(&settings::HEALTH_INTERVAL, |text| duration::duration_or_off(text, Unit::Seconds)),
        limits: merge::limits(&mut layers),
        cors_origins: layers.read_list(&settings::CORS_ORIGINS, |text| Ok(text.to_owned())),
        notify: NotifyConfig::default(),
        log: log(&mut layers),
        registration: None,
        worker: Some(worker),
        sizes: SizeRules::default(),
        fallback: Fallback::default(),
        stand_ins: StandIns::default(),
        fallback_wait: None,
        strategy: Strategy::default(),
        price_per_kwh: None,
        origins: layers.sorted_origins(),
        notes: std::mem::take(&mut layers.notes),
        listen,
    };
    checked(config, layers.faults)
}

/// What it tells of itself, and its back end. That is always on as seen from here: what runs beside it never sleeps alone.
fn worker(layers: &mut Layers<'_>) -> (WorkerConfig, NodeConfig) {
    let id = layers.read_optional(&WORKER_ID, name).unwrap_or_else(|| plain(&host_name()));
    let node_name = layers.read_optional(&NODE_NAME, name).unwrap_or_else(|| id.clone());
    let backend = layers.read_optional(&BACKEND_URL, |text| address::node_host(text, OLLAMA_PORT));
    let parallel = |layers: &Layers<'_>| layers.variable("OLLAMA_NUM_PARALLEL").and_then(|(text, _)| places(text).ok());
    let capacity = layers.read_optional(&CAPACITY, places).or_else(|| parallel(layers));
    let controllers = layers.read_list(&CONTROLLER_URL, |text| {
        let url = address::upstream(text)?;
        Ok(ProxyUrl { at: url.at, prefix: url.prefix, tls: url.tls })
    });
    let config = WorkerConfig {
        node_name: node_name.clone(),
        model: layers.read_optional(&MODEL_ID, |text| Ok(text.to_owned())),
        controllers,
        capacity,
        always_on: layers.read(&settings::ALWAYS_ON, merge::yes_or_no),
        heartbeat: layers.read(&HEARTBEAT_INTERVAL, merge::positive_seconds),
        retries: layers.read(&REGISTRY_RETRY_COUNT, |text| text.parse().map_err(|_| "must be a whole number".to_owned())),
        retry_delay: layers.read(&REGISTRY_RETRY_DELAY, merge::positive_seconds),
        key: layers.read_optional(&INTERNAL_API_KEY, secret),
        rest: rest::read(layers),
        id,
    };
    // Without one its fault is told, and this never comes into use.
    let nowhere = || (HostPort { host: String::new(), port: 0 }, String::new(), false);
    let (at, prefix, tls) = backend.map_or_else(nowhere, |url| (url.at, url.prefix, url.tls));
    let node = NodeConfig { tls, always_on: true, capacity, ..NodeConfig::new(NodeName::new(&node_name), at, prefix) };
    (config, node)
}

/// A name that fits into paths and labels.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=128).contains(&text.len()) && text.bytes().all(is_plain);
    if fits { Ok(text.to_owned()) } else { Err("is no name: write up to 128 letters, digits and `-_.:`".to_owned()) }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)
}

/// A host name as far as it is one of ours.
fn plain(text: &str) -> String {
    let plain: String = text.chars().take(128).map(|c| if c.is_ascii() && is_plain(c as u8) { c } else { '-' }).collect();
    if plain.is_empty() { "worker".to_owned() } else { plain }
}

/// What this machine calls itself.
fn host_name() -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let variable = || std::env::var("COMPUTERNAME").or_else(|_| std::env::var("HOSTNAME")).ok();
    let command = || {
        let told = std::process::Command::new("hostname").output().ok()?;
        String::from_utf8(told.stdout).ok()
    };
    let name = kernel().or_else(variable).or_else(command).unwrap_or_default();
    name.trim().to_owned()
}

fn places(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|places| (1..=10_000).contains(places)).ok_or_else(|| "must be a whole number from 1 on".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, parse_cli};

    fn environment(pairs: &[(&str, &str)]) -> Env {
        // Nothing of this test may be written anywhere.
        let pairs = pairs.iter().chain(&[("STATE_DIRECTORY", "/nowhere/at/all")]);
        pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn worker_of(line: &[&str], env: &[(&str, &str)]) -> Result<Config, Faults> {
        let line = ["ollama-proxy"].iter().chain(line);
        let Command::Worker(args) = parse_cli(line).unwrap().command() else { panic!() };
        load_worker(&args, &environment(env), Path::new("/nowhere/at/all"))
    }

    fn controller_of(line: &[&str], env: &[(&str, &str)]) -> Result<Config, Faults> {
        let line = ["ollama-proxy"].iter().chain(line);
        let Command::Controller(args) = parse_cli(line).unwrap().command() else { panic!() };
        load_controller(&args, &environment(env), Path::new("/nowhere/at/all"))
    }

    #[test]
    fn a_controller_has_its_own_port_and_strategy_and_no_node_that_nobody_named() {
        let config = controller_of(&["controller"], &[]).unwrap();
        assert_eq!((config.listen.ports, config.strategy, config.nodes.len()), (vec![8000], Strategy::LeastLoaded, 0));
        let rules = config.registration.unwrap();
        assert_eq!((rules.timeout.as_secs(), rules.check_interval.as_secs()), (60, 10));
        assert!(rules.key.is_none());
        let named = controller_of(&["controller"], &[("OLLAMA_URL", "http://192.168.1.20:11434")]).unwrap();
        assert_eq!(named.nodes.len(), 1);
    }

    #[test]
    fn controller_names_go_before_the_common_ones_and_only_in_their_command() {
        let env = [("CONTROLLER_PORT", "8100"), ("PORT", "9000"), ("CONTROLLER_HOST", "127.0.0.1"), ("HOST", "127.0.0.2")];
        let config = controller_of(&["controller"], &env).unwrap();
        assert_eq!((config.listen.ports, config.listen.host), (vec![8100], "127.0.0.1".parse().ok()));
        assert_eq!(controller_of(&["controller"], &env[1..]).unwrap().listen.ports, [9000]);
        assert_eq!(controller_of(&["controller", "--port", "7"], &env).unwrap().listen.ports, [7]);
        let injected = [("CONTROLLER_PORT", "tcp://10.0.0.1:8000")];
        assert_eq!(controller_of(&["controller"], &injected).unwrap().listen.ports, [8000], "an orchestrator's");
        assert_eq!(worker_of(&["worker"], &env).unwrap().listen.ports, [9000]);
        assert_eq!(worker_of(&["worker"], &[("LISTEN_PORT", "8002"), ("PORT", "9000")]).unwrap().listen.ports, [8002]);
    }

    #[test]
    fn the_first_worker_s_names_and_defaults_hold() {
        let config = worker_of(&["worker"], &[]).unwrap();
        let (worker, node) = (config.worker.unwrap(), &config.nodes[0]);
        assert_eq!((config.listen.ports, node.hosts[0].to_string()), (vec![8001], "localhost:11434".to_owned()));
        assert!(node.always_on && !worker.always_on && worker.model.is_none());
        assert_eq!((worker.heartbeat.as_secs(), worker.retries, worker.retry_delay.as_secs()), (10, 30, 5));
        assert_eq!(worker.controllers[0].at, HostPort { host: "localhost".to_owned(), port: 8000 });
        let env = [
            ("WORKER_ID", "llama3-gpu-001"),
            ("MODEL_ID", "llama3"),
            ("CONTROLLER_URL", "http://c1:8000, http://c2:8000"),
            ("BACKEND_URL", "http://localhost:11500"),
            ("OLLAMA_NUM_PARALLEL", "2"),
            ("NODE_CONFIG_FILE", "no/such/file.json"),
        ];
        let config = worker_of(&["worker", "--capacity", "3"], &env).unwrap();
        let worker = config.worker.unwrap();
        assert_eq!((worker.id.as_str(), worker.model.as_deref()), ("llama3-gpu-001", Some("llama3")));
        assert_eq!((worker.controllers.len(), worker.capacity, config.nodes[0].capacity), (2, Some(3), Some(3)));
        assert_eq!(worker_of(&["worker"], &env).unwrap().worker.unwrap().capacity, Some(2));
    }

    #[test]
    fn a_worker_before_itself_and_every_other_fault_is_told_at_once() {
        let told = |line: &[&str]| worker_of(line, &[]).unwrap_err().to_string();
        assert!(told(&["worker", "--backend-url", "http://localhost:8001"]).contains("own listener"));
        let line = ["worker", "--worker-id", "a/b", "--controller-url", "c1", "--capacity", "0", "--heartbeat-interval", "0"];
        assert_eq!(worker_of(&line, &[]).unwrap_err().0.len(), 4);
    }

    #[test]
    fn a_host_name_becomes_a_name_that_fits_into_paths() {
        assert_eq!([plain("büro pc"), plain(""), plain("gpu-1.lan")], ["b-ro-pc", "worker", "gpu-1.lan"]);
    }
}
