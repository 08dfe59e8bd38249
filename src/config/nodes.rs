//! The nodes: those named by `--ollama-url` and those of the node file, each with its means of waking and its class.

use crate::config::address::{self, OLLAMA_PORT, Upstream};
use crate::config::layers::Layers;
use crate::config::merge;
use crate::config::node_file::{FileNode, NodeFile, base_path};
use crate::config::wake_flags::WakeFlags;
use crate::config::{HostPort, Listen, NodeConfig, NodeKind, Origin, PowerConfig, SleepConfig, WakeConfig, settings};
use crate::values::NodeName;

/// What to do about an address that is our own.
const ELSEWHERE: &str = "is this proxy's own listener: name the machine that runs Ollama, such as http://192.168.1.20:11434 \
                         (inside a container localhost is the container), or let the proxy listen on another --port";

/// A node while its settings are gathered.
struct Draft {
    config: NodeConfig,
    /// `always_on` of the node file.
    stated: Option<bool>,
    /// Whether the node file names its address; its class then follows the node file's rule.
    from_file: bool,
    /// Whether the node file has a `wake` key for it.
    wake_stated: bool,
    /// Where it is named, for faults and `check`.
    origin: String,
}

/// The base URLs and where they were named.
struct Named {
    urls: Vec<Upstream>,
    origin: String,
    /// Some URL was faulty and is missing here, so positions mean nothing.
    incomplete: bool,
}

/// Puts the nodes together; faults and notes go to the layers.
pub(super) fn assemble(layers: &mut Layers<'_>, listen: &Listen, file: NodeFile) -> Vec<NodeConfig> {
    let named = upstreams(layers, listen, &file);
    let stated = layers.read_optional(&settings::ALWAYS_ON, merge::yes_or_no).filter(|_| layers.asked(&settings::ALWAYS_ON));
    let flags = WakeFlags::read(layers);
    let mut drafts = from_file(layers, file, named.urls.len());
    let places: Vec<usize> = named.urls.iter().enumerate().map(|(index, url)| place(&mut drafts, index, url, &named)).collect();
    if !named.incomplete && flags.fit(layers, places.len(), drafts.is_empty()) {
        for (index, at) in places.into_iter().enumerate() {
            flags.apply(index, &mut drafts[at].config.wake);
        }
    }
    for draft in &mut drafts {
        flags.spread_packet(&mut draft.config.wake);
        settle_wake_url(layers, listen, draft);
        draft.config.always_on = class(draft, stated);
    }
    refuse_own_listener(layers, listen, &drafts);
    refuse_shared_addresses(layers, &drafts);
    layers.origins.extend(drafts.iter().map(row));
    drafts.into_iter().map(|draft| draft.config).collect()
}

/// Named base URLs; without any, the default, unless the node file has nodes or the default is our own listener.
fn upstreams(layers: &mut Layers<'_>, listen: &Listen, file: &NodeFile) -> Named {
    let faults = layers.faults.len();
    let urls = layers.read_list(&settings::OLLAMA_URL, address::upstream);
    let origin = layers.origins.last().map(|origin| origin.origin.clone()).unwrap_or_default();
    let mut named = Named { urls, origin, incomplete: layers.faults.len() > faults };
    let asked = layers.asked(&settings::OLLAMA_URL);
    if let Some((url, layer)) = ollama_host(layers, listen, asked) {
        let origin = format!("{layer} OLLAMA_HOST");
        let scheme = if url.tls { "https" } else { "http" };
        restate(layers, &format!("{scheme}://{}{}", url.at, url.prefix), &origin);
        return Named { urls: vec![url], origin, incomplete: false };
    }
    if !asked && file.nodes.iter().any(|node| !node.config.hosts.is_empty()) {
        restate(layers, "none", "default");
        named.urls.clear();
    } else if !asked && named.urls.iter().any(|url| address::is_own(listen, &url.at)) {
        layers.notes.push(
            "no Ollama is named, and its usual address http://localhost:11434 is this proxy itself: set --ollama-url \
             (OLLAMA_URL; a .env file is read only in the directory where the proxy is started, or in its data directory)"
                .to_owned(),
        );
        restate(layers, "none", "default");
        named.urls.clear();
    }
    for url in named.urls.iter().filter(|url| !url.port_named && !url.tls) {
        layers.notes.push(format!(
            "--ollama-url: `http://{}` names no port, so port 80 is used; Ollama's own is {OLLAMA_PORT}",
            url.at.host
        ));
    }
    for url in named.urls.iter().filter(|url| ["/api", "/v1"].contains(&url.prefix.as_str())) {
        layers.notes.push(format!(
            "--ollama-url: `{}` ends with {}, which is put before every path; Ollama's own base URL has no path",
            url.at, url.prefix
        ));
    }
    named
}

/// `OLLAMA_HOST` is Ollama's own bind address and its clients' server; only a URL of another machine can be meant for us.
fn ollama_host(layers: &mut Layers<'_>, listen: &Listen, asked: bool) -> Option<(Upstream, &'static str)> {
    let (text, layer) = layers.variable("OLLAMA_HOST").filter(|(text, _)| !text.is_empty())?;
    let why = if asked {
        "--ollama-url (OLLAMA_URL) is set"
    } else if !text.contains("://") || text.starts_with("tcp://") {
        "it is no URL; name the node by OLLAMA_URL"
    } else {
        match address::upstream(text) {
            Ok(url) if address::is_own(listen, &url.at) => "it is this proxy itself; name the node by OLLAMA_URL",
            Ok(url) if ["0.0.0.0", "::"].contains(&url.at.host.as_str()) => "it is an address to listen on",
            Ok(url) => return Some((url, layer)),
            Err(_) => "it cannot be used; name the node by OLLAMA_URL",
        }
    };
    layers.notes.push(format!("OLLAMA_HOST is ignored: {why}"));
    None
}

/// Corrects the row of `--ollama-url` when the default does not apply.
fn restate(layers: &mut Layers<'_>, value: &str, origin: &str) {
    if let Some(row) = layers.origins.iter_mut().rfind(|row| row.setting == settings::OLLAMA_URL.flag) {
        value.clone_into(&mut row.value);
        origin.clone_into(&mut row.origin);
    }
}

/// The entries of the node file. One without hosts is kept when it describes one of the `urls` nodes named by URL.
fn from_file(layers: &mut Layers<'_>, file: NodeFile, urls: usize) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for FileNode { config, always_on, wake_stated, place } in file.nodes {
        let name = config.name.as_str();
        if drafts.iter().any(|draft| draft.config.name.as_str().eq_ignore_ascii_case(name)) {
            layers.faults.push(format!("{place}: there is a second node named `{name}`: names must differ"));
            continue;
        }
        let from_file = !config.hosts.is_empty();
        if !from_file && !(1..=urls).any(|number| name == format!("node{number}")) {
            layers
                .notes
                .push(format!("{place}: node `{name}` has no `hosts` and is left out: add \"hosts\": [\"192.168.1.20\"]"));
            continue;
        }
        drafts.push(Draft { config, stated: always_on, from_file, wake_stated, origin: file.name.clone() });
    }
    drafts
}

/// The node of a URL: one of the node file with the same address, one that the node file describes by name, or a new one.
fn place(drafts: &mut Vec<Draft>, index: usize, url: &Upstream, named: &Named) -> usize {
    if let Some(at) = drafts.iter().position(|draft| draft.from_file && draft.config.hosts.contains(&url.at)) {
        return at;
    }
    let name = format!("node{}", index + 1);
    if let Some(at) = drafts.iter().position(|draft| draft.config.hosts.is_empty() && draft.config.name.as_str() == name) {
        drafts[at].config.hosts.push(url.at.clone());
        drafts[at].config.path_prefix = base_path(url.prefix.clone(), drafts[at].config.kind);
        drafts[at].config.tls = url.tls;
        drafts[at].config.discovered = url.discovered;
        drafts[at].origin.clone_from(&named.origin);
        return at;
    }
    let taken = |name: &String| drafts.iter().any(|draft| draft.config.name.as_str() == name);
    let name =
        (index + 1..=index + 1 + drafts.len()).map(|number| format!("node{number}")).find(|name| !taken(name)).unwrap_or(name);
    drafts.push(Draft {
        config: bare(&name, url),
        stated: None,
        from_file: false,
        wake_stated: false,
        origin: named.origin.clone(),
    });
    drafts.len() - 1
}

fn bare(name: &str, url: &Upstream) -> NodeConfig {
    let node = NodeConfig::new(NodeName::new(name), url.at.clone(), url.prefix.clone());
    NodeConfig { tls: url.tls, discovered: url.discovered, ..node }
}

impl NodeConfig {
    /// A node of which only the address is known.
    pub fn new(name: NodeName, at: HostPort, path_prefix: String) -> Self {
        Self {
            name,
            hosts: vec![at],
            path_prefix,
            tls: false,
            discovered: false,
            always_on: false,
            enabled: true,
            weight: 1.0,
            capacity: None,
            description: String::new(),
            memory_gb: None,
            model_ranges: Vec::new(),
            kind: NodeKind::default(),
            models: Vec::new(),
            wake: WakeConfig::default(),
            sleep: SleepConfig::default(),
            power: PowerConfig::default(),
        }
    }
}

/// A wake URL at the node itself can wake nothing (an old default was such a one); one at our own listener is a mistake.
fn settle_wake_url(layers: &mut Layers<'_>, listen: &Listen, draft: &mut Draft) {
    let Some(target) = draft.config.wake.url.as_ref().and_then(|url| address::wake_target(&url.template).ok()) else { return };
    let name = &draft.config.name;
    if draft.config.hosts.iter().any(|host| same(host, &target)) {
        layers.notes.push(format!(
            "the wake URL of `{name}` is ignored: {target} is the node itself, which cannot answer while it sleeps"
        ));
        draft.config.wake.url = None;
    } else if address::is_own(listen, &target) {
        layers.faults.push(format!(
            "the wake URL of `{name}`: `{target}` is this proxy's own listener and wakes nothing: remove it (--wake-url, or `url` of \
             its `wake` key), or name the server that sends the wake-up (inside a container localhost is the container)"
        ));
    }
}

fn same(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && (a.host == b.host || (address::is_loopback(&a.host) && address::is_loopback(&b.host)))
}

/// Whether a node is always on. Only what the user wrote counts, never what was learnt. `stated` is `--always-on`,
/// which speaks for all nodes, so what the node file says of one node goes before it.
fn class(draft: &Draft, stated: Option<bool>) -> bool {
    let wake = &draft.config.wake;
    let wakes = draft.wake_stated || wake.mac.is_some() || wake.url.is_some();
    let here = draft.config.hosts.iter().all(|host| address::is_loopback(&host.host));
    // Behind a name machines come and go by themselves; nobody could be woken by its address.
    if draft.config.discovered {
        return true;
    }
    draft.stated.or(stated).unwrap_or(!wakes && (draft.from_file || here))
}

fn refuse_own_listener(layers: &mut Layers<'_>, listen: &Listen, drafts: &[Draft]) {
    for draft in drafts {
        let setting = if draft.from_file { "hosts" } else { "--ollama-url" };
        for host in draft.config.hosts.iter().filter(|host| address::is_own(listen, host)) {
            layers.faults.push(format!("{setting} of `{}` ({}): `{host}` {ELSEWHERE}", draft.config.name, draft.origin));
        }
    }
}

fn refuse_shared_addresses(layers: &mut Layers<'_>, drafts: &[Draft]) {
    for (index, second) in drafts.iter().enumerate() {
        for first in &drafts[..index] {
            let shared = first.config.hosts.iter().find(|host| second.config.hosts.iter().any(|other| same(host, other)));
            if let Some(shared) = shared.filter(|_| first.config.path_prefix == second.config.path_prefix) {
                let (first, second) = (&first.config.name, &second.config.name);
                layers.faults.push(format!("`{first}` and `{second}` have the same address {shared}: name each Ollama once"));
            }
        }
    }
}

fn row(draft: &Draft) -> Origin {
    let node = &draft.config;
    let hosts: Vec<String> = node.hosts.iter().map(HostPort::to_string).collect();
    let scheme = if node.tls { "https://" } else { "" };
    let mut value =
        format!("{scheme}{}{}, {}", hosts.join(" "), node.path_prefix, if node.always_on { "always on" } else { "may sleep" });
    if let Some(mac) = node.wake.mac {
        value.push_str(", wake-up to ");
        value.push_str(&mac.to_string());
    }
    if node.wake.url.is_some() {
        value.push_str(", wake URL");
    }
    Origin { setting: format!("node {}", node.name), value, origin: draft.origin.clone() }
}

#[cfg(test)]
mod tests;
