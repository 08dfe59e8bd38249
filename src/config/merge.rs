//! Flags, environment, `.env` and node file become one checked [`Config`], or all their faults at once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::config::data_dir::{self, DataDir};
use crate::config::duration::{self, Unit};
use crate::config::layers::Layers;
use crate::config::node_file::NodeFile;
use crate::config::role::Role;
use crate::config::settings::{self, Setting};
use crate::config::{
    Config, Env, FallbackWait, Glob, KeepAwake, Limits, Listen, Log, LogLevel, NodeSource, NotifyConfig, Ntfy, Roots, ServeArgs,
    Stamp, StandIns, Timeouts, WakeRules, WorkerArgs, access, address, cluster, env_file, files, load_worker, node_file, nodes,
    providers, tls,
};
use crate::values::{ModelName, Strategy};

/// Every fault of the settings; each names the setting, the value and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

/// Merges and checks everything that `serve` needs. Reads the `.env` and node files and tries to write into the data directory.
///
/// # Errors
/// All faults of all layers.
pub fn load(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<Config, Faults> {
    let mut layers = Layers::new(cli, env);
    let data = open_layers(&mut layers, env, working_dir);
    let listen = listen(&mut layers, working_dir);
    if let Some(files) = &listen.tls {
        tls::check(&mut layers, files);
    }
    let (file, path, stamp) = find_node_file(&mut layers, working_dir, data.path.as_deref());
    let source = NodeSource {
        args: cli.clone(),
        env: env.clone(),
        dotenv: layers.dotenv.clone(),
        working_dir: working_dir.to_owned(),
        data_dir: data.path.clone(),
        stamp,
        file: path,
        fixed: None,
    };
    let (sizes, fallback, stand_ins) = (file.sizes.clone(), file.fallback, file.stand_ins.clone());
    let price_per_kwh = file.price_per_kwh;
    let fallback_wait = fallback_wait(&mut layers, &stand_ins);
    let nodes = nodes::assemble(&mut layers, &listen, file);
    let providers = providers::providers(&mut layers, &listen);
    let cors_origins = layers.read_list(&settings::CORS_ORIGINS, |text| Ok(text.to_owned()));
    let access = access::rules(&mut layers, working_dir, &cors_origins);
    let config = Config {
        roots: tls::roots(&mut layers, working_dir),
        data_dir: data.path,
        nodes,
        source,
        providers,
        first_model: first_model(&mut layers),
        repair_v1: layers.read(&settings::REPAIR_V1, yes_or_no),
        list_cloud_models: layers.read(&settings::LIST_CLOUD_MODELS, yes_or_no),
        timeouts: timeouts(&mut layers),
        wake: wake_rules(&mut layers),
        cache_ttl: layers.read(&settings::CACHE_TTL, seconds),
        health_interval: layers.read(&settings::HEALTH_INTERVAL, |text| duration::duration_or_off(text, Unit::Seconds)),
        limits: limits(&mut layers),
        cors_origins,
        access,
        notify: notify(&mut layers),
        log: log(&mut layers),
        registration: cluster::registration(&mut layers),
        worker: None,
        sizes,
        fallback,
        stand_ins,
        fallback_wait,
        strategy: layers
            .read(&settings::STRATEGY, |text| text.parse::<Strategy>().map_err(|why| format!("is no strategy: {why}"))),
        price_per_kwh,
        origins: layers.sorted_origins(),
        notes: std::mem::take(&mut layers.notes),
        listen,
    };
    checked(config, layers.faults)
}

/// Only where to listen and how to log, for commands that use no nodes (`healthcheck`, `demo`).
///
/// # Errors
/// All faults of these settings; others are not looked at.
pub fn load_entrance(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<(Listen, Log), Faults> {
    let mut layers = Layers::new(cli, env);
    open_layers(&mut layers, env, working_dir);
    let entrance = (listen(&mut layers, working_dir), log(&mut layers));
    checked(entrance, layers.faults)
}

/// Where the proxy of this machine listens, for commands that ask it: as `controller` or `worker` would, when the settings name
/// the port or address of one by its own name, else as `serve`.
///
/// # Errors
/// All faults of these settings; others are not looked at.
pub fn load_running(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<Listen, Faults> {
    let role = role_here(cli, env, working_dir);
    let cli = cli.clone().of(role);
    let mut layers = Layers::new(&cli, env);
    open_layers(&mut layers, env, working_dir);
    let listen = listen(&mut layers, working_dir);
    // Workers are spoken to plainly.
    let listen = if role == Role::Worker { Listen { tls: None, ..listen } } else { listen };
    checked(listen, layers.faults)
}

/// Everything that the command of this machine needs, for `check`: of `controller` or `worker` where the settings name the
/// port or address of one by its own name, else of `serve`.
///
/// # Errors
/// All faults of all layers.
pub fn load_of_role(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<Config, Faults> {
    let role = role_here(cli, env, working_dir);
    let cli = cli.clone().of(role);
    if role == Role::Worker { load_worker(&WorkerArgs(cli), env, working_dir) } else { load(&cli, env, working_dir) }
}

fn role_here(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Role {
    let mut layers = Layers::new(cli, env);
    open_layers(&mut layers, env, working_dir);
    [Role::Controller, Role::Worker].into_iter().find(|role| layers.speaks_of(*role)).unwrap_or_default()
}

/// Only whom to trust, for commands that ask another machine's proxy by https.
///
/// # Errors
/// All faults of this setting; others are not looked at.
pub fn load_roots(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Result<Roots, Faults> {
    let mut layers = Layers::new(cli, env);
    open_layers(&mut layers, env, working_dir);
    let roots = tls::roots(&mut layers, working_dir);
    checked(roots, layers.faults)
}

pub(super) fn checked<T>(value: T, faults: Vec<String>) -> Result<T, Faults> {
    if faults.is_empty() { Ok(value) } else { Err(Faults(faults)) }
}

/// Finds the `.env` file and the data directory, either of which may say where the other is.
pub(super) fn open_layers(layers: &mut Layers<'_>, env: &Env, working_dir: &Path) -> DataDir {
    let here = read_env_file(layers, &working_dir.join(".env"));
    let found = here.is_some();
    layers.dotenv = here.unwrap_or_default();
    let given = layers.take(&settings::DATA_DIR);
    let data = data_dir::choose(Some(&given).filter(|given| !given.text.is_empty()), env, working_dir);
    if let Some(row) = layers.origins.last_mut() {
        row.value = data.path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
        row.origin.clone_from(&data.origin);
    }
    layers.notes.extend(data.note.clone());
    if let Some(dir) = data.path.as_ref().filter(|_| !found) {
        layers.dotenv = read_env_file(layers, &dir.join(".env")).unwrap_or_default();
    }
    data
}

fn read_env_file(layers: &mut Layers<'_>, path: &Path) -> Option<Env> {
    match files::read_text(path) {
        Ok(text) => text.map(|text| env_file::parse(&text)),
        Err(why) => {
            layers.faults.push(format!("{}: cannot be read ({why}): correct its rights or remove it", path.display()));
            None
        }
    }
}

/// What the node file says, where it was found, and how it stood before it was read.
pub(super) fn find_node_file(
    layers: &mut Layers<'_>,
    working_dir: &Path,
    data_dir: Option<&Path>,
) -> (NodeFile, Option<PathBuf>, Stamp) {
    let given = layers.take(&settings::NODE_CONFIG);
    let path = match files::find(&given, working_dir, data_dir) {
        Ok(path) => path,
        Err(why) => {
            layers.fault(&settings::NODE_CONFIG, &given.origin, &given.text, &why);
            None
        }
    };
    if let Some(row) = layers.origins.last_mut() {
        row.value = path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
    }
    if let (None, Some(folder)) = (&path, files::folder_instead(&given, working_dir, data_dir)) {
        layers.notes.push(format!(
            "{} is a folder and no node file, so it is not read; Docker makes one where the file to mount is missing: put the \
             file there, and make the container anew",
            folder.display()
        ));
    }
    let stamp = path.as_deref().map(Stamp::of).unwrap_or_default();
    let file = path.as_ref().map(|path| read_node_file(layers, path, working_dir)).unwrap_or_default();
    (file, path, stamp)
}

pub(super) fn read_node_file(layers: &mut Layers<'_>, path: &Path, working_dir: &Path) -> NodeFile {
    let name = shown(path, working_dir);
    match files::read_text(path) {
        Ok(text) => {
            let variable = |name: &str| layers.variable(name).map(|(text, _)| text.to_owned());
            let mut file = node_file::parse(&text.unwrap_or_default(), &name, &variable);
            layers.faults.append(&mut file.faults);
            layers.notes.append(&mut file.notes);
            file
        }
        Err(why) => {
            layers.faults.push(format!("{name}: cannot be read ({why}): correct its rights or remove it"));
            NodeFile::default()
        }
    }
}

/// The file's name as the user knows it.
pub(super) fn shown(path: &Path, working_dir: &Path) -> String {
    path.strip_prefix(working_dir).unwrap_or(path).display().to_string()
}

pub(super) fn listen(layers: &mut Layers<'_>, working_dir: &Path) -> Listen {
    let host = layers.read_optional(&settings::HOST, address::listen_host);
    let mut ports: Vec<u16> = Vec::new();
    for port in layers.read_list(&settings::PORT, listen_port) {
        // Port 0 may be asked for several times: each takes another free one.
        if port == 0 || !ports.contains(&port) {
            ports.push(port);
        }
    }
    let tls = tls::files(layers, working_dir);
    Listen { host, ports, port_asked: layers.asked(&settings::PORT), tls }
}

pub(super) fn timeouts(layers: &mut Layers<'_>) -> Timeouts {
    Timeouts {
        metadata: layers.read(&settings::TIMEOUT, positive_seconds),
        silence: layers.read(&settings::MODEL_TIMEOUT, positive_seconds),
        connect: layers.read(&settings::CONNECT_TIMEOUT, positive_seconds),
        request_limit: layers.read(&settings::REQUEST_LIMIT, |text| duration::duration_or_off(text, Unit::Seconds)),
        wake: layers.read(&settings::WAKE_TIMEOUT, positive_seconds),
        quiet_after: layers.read(&settings::QUIET_AFTER, seconds),
        queue: layers.read(&settings::QUEUE_WAIT, positive_seconds),
    }
}

/// `DEFAULT_MODEL` alone is what scripts read; only both together ask for a download of gigabytes.
fn first_model(layers: &mut Layers<'_>) -> Option<String> {
    let model = layers.read_optional(&settings::DEFAULT_MODEL, |text| match ModelName::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("is no name of a model: write one such as llama3.2:3b".to_owned()),
    });
    let pull = layers.read(&settings::PULL_DEFAULT_MODEL, yes_or_no);
    if pull && model.is_none() {
        layers.notes.push("--pull-default-model has no effect: --default-model (DEFAULT_MODEL) names none".to_owned());
    }
    model.filter(|_| pull)
}

/// Models that stand in for others do so only after a wait that somebody set.
fn fallback_wait(layers: &mut Layers<'_>, stand_ins: &StandIns) -> Option<FallbackWait> {
    let asleep = layers.read(&settings::FALLBACK_ASLEEP, yes_or_no);
    let wait = layers.read(&settings::FALLBACK_WAIT, |text| duration::duration_or_off(text, Unit::Seconds));
    if wait.is_none() && !stand_ins.is_empty() {
        layers.notes.push("the models in `fallback` stand in for no other: set --fallback-wait, such as 20s".to_owned());
    }
    wait.map(|wait| FallbackWait { wait, asleep })
}

/// When machines stay awake without traffic.
pub(super) fn keep_awake(layers: &mut Layers<'_>) -> KeepAwake {
    layers.read(&settings::KEEP_AWAKE, |text| text.parse::<KeepAwake>().map_err(|why| format!("is not understood: {why}")))
}

fn wake_rules(layers: &mut Layers<'_>) -> WakeRules {
    WakeRules {
        interval: layers.read(&settings::WAKE_INTERVAL, |text| duration::duration_or_off(text, Unit::Minutes)),
        keep_awake: keep_awake(layers),
        never_paths: globs(layers, &settings::NEVER_WAKE_PATHS),
        never_clients: layers.read_list(&settings::NEVER_WAKE_CLIENTS, |text| {
            text.parse().map_err(|why| format!("is no range of addresses: {why}"))
        }),
        never_agents: globs(layers, &settings::NEVER_WAKE_AGENTS),
    }
}

fn globs(layers: &mut Layers<'_>, setting: &Setting) -> Vec<Glob> {
    layers.read_list(setting, |text| Ok(Glob::new(text)))
}

pub(super) fn limits(layers: &mut Layers<'_>) -> Limits {
    let limits = Limits {
        held: layers.read(&settings::MAX_HELD, count),
        body: layers.read(&settings::MAX_BODY, duration::size),
        buffer: layers.read(&settings::MAX_BUFFER, duration::size),
        connections: layers.read(&settings::MAX_CONNECTIONS, count),
        attempts: 3,
    };
    if limits.buffer != 0 && limits.body > limits.buffer {
        layers.faults.push(format!(
            "--max-body: `{}` bytes could never be held within --max-buffer ({} bytes): raise --max-buffer or lower --max-body",
            limits.body, limits.buffer
        ));
    }
    limits
}

fn notify(layers: &mut Layers<'_>) -> NotifyConfig {
    NotifyConfig {
        webhook: layers.read_optional(&settings::NOTIFY_WEBHOOK, |text| address::wake_target(text).map(|_| text.to_owned())),
        ntfy: layers.read_optional(&settings::NOTIFY_NTFY, ntfy),
    }
}

/// The topic is the last part of the path; a query has no meaning there.
fn ntfy(text: &str) -> Result<Ntfy, String> {
    address::wake_target(text)?;
    let (server, topic) = text.trim_end_matches('/').rsplit_once('/').unwrap_or_default();
    let is_topic = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if server.ends_with('/') || topic.is_empty() || topic.len() > 64 || !topic.chars().all(is_topic) {
        return Err("must end with the topic (letters, digits, `-`, `_`): write https://ntfy.sh/my-secret-topic".to_owned());
    }
    Ok(Ntfy { server: format!("{server}/"), topic: topic.to_owned() })
}

pub(super) fn log(layers: &mut Layers<'_>) -> Log {
    Log {
        json: layers.read(&settings::LOG_FORMAT, |text| match text.to_ascii_lowercase().as_str() {
            "text" => Ok(false),
            "json" => Ok(true),
            _ => Err("is no form of log lines: write text or json".to_owned()),
        }),
        level: layers.read(&settings::LOG, |text| match text.to_ascii_lowercase().as_str() {
            "error" => Ok(LogLevel::Error),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "info" => Ok(LogLevel::Info),
            "debug" => Ok(LogLevel::Debug),
            "trace" => Ok(LogLevel::Trace),
            _ => Err("is no level: write error, warn, info, debug or trace".to_owned()),
        }),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    duration::duration(text, Unit::Seconds)
}

pub(super) fn positive_seconds(text: &str) -> Result<Duration, String> {
    duration::positive(text, Unit::Seconds)
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// At least one of whatever is counted.
pub(super) fn count<N: FromStr + Default + PartialOrd>(text: &str) -> Result<N, String> {
    text.parse().ok().filter(|count| *count > N::default()).ok_or_else(|| "must be a whole number from 1 on".to_owned())
}

pub(super) fn listen_port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "is no port: write a number from 0 to 65535".to_owned())
}

#[cfg(test)]
mod tests;
