//! The node file (`node_config.json`): names, addresses, abilities and means of waking of several nodes.

use serde_json::value::RawValue;

use crate::config::address::{self, OLLAMA_PORT};
use crate::config::document::{Document, Object};
use crate::config::duration::{self, Unit};
use crate::config::merge::count;
use crate::config::stand_ins::{self, StandIns};
use crate::config::wake_values::{header, ipv4, mac, method, secure_on, usual_method};
use crate::config::{
    Fallback, HostPort, ModelRange, NodeConfig, NodeKind, PowerConfig, SizeRules, SleepConfig, WakeConfig, WakeUrl,
};
use crate::values::NodeName;

/// What the node file says.
#[derive(Debug, Default)]
pub(super) struct NodeFile {
    /// Its name as the user knows it; empty when there is no file.
    pub(super) name: String,
    pub(super) nodes: Vec<FileNode>,
    pub(super) sizes: SizeRules,
    pub(super) fallback: Fallback,
    pub(super) stand_ins: StandIns,
    pub(super) price_per_kwh: Option<f64>,
    pub(super) faults: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// One entry of the node file.
#[derive(Debug)]
pub(super) struct FileNode {
    /// Without hosts it only describes a node whose address comes from elsewhere.
    pub(super) config: NodeConfig,
    /// `always_on` as far as it was stated.
    pub(super) always_on: Option<bool>,
    /// Whether there is a `wake` key, be it empty.
    pub(super) wake_stated: bool,
    /// Where it stands, for later faults.
    pub(super) place: String,
}

/// Reads the text of a node file; every fault is kept, and what can be read is read.
pub(super) fn parse(text: &str, file: &str, variable: &dyn Fn(&str) -> Option<String>) -> NodeFile {
    let mut document = Document::new(text, file.to_owned(), variable);
    let mut read = NodeFile { name: file.to_owned(), ..NodeFile::default() };
    if let Some(mut top) = document.root().and_then(|root| document.object(root, "the node file")) {
        let nodes = top.take("nodes").map(|at| document.list(at, "`nodes`")).unwrap_or_default();
        for at in nodes {
            read.nodes.extend(document.object(at, "a node").and_then(|object| node(&mut document, object)));
        }
        if let Some(at) = top.take("model_name_patterns") {
            read.sizes.patterns = sizes(&mut document, at, "model_name_patterns");
        }
        if let Some(at) = top.take("model_name_mapping") {
            read.sizes.mapping = sizes(&mut document, at, "model_name_mapping");
        }
        if let Some(at) = top.take("fallback") {
            (read.fallback, read.stand_ins) = stand_ins::read(&mut document, at);
        }
        read.price_per_kwh = top.take("price_per_kwh").and_then(|at| document.number(at, "price_per_kwh", 0.0));
        note_later_keys(&mut document, &mut top, &["default_model_size_b"]);
        document.refuse_rest(&top, "the node file");
    }
    (read.faults, read.notes) = document.findings();
    read
}

fn node<'a>(document: &mut Document<'a>, mut object: Object<'a>) -> Option<FileNode> {
    let place = document.place(object.at);
    let stated_name = object.take("name");
    if stated_name.is_none() {
        document.fault(object.at, "a node has no `name`: give it one, such as \"name\": \"gaming-pc\"");
    }
    let name = stated_name.and_then(|at| document.parsed(at, "name", node_name)).unwrap_or_default();
    let Addresses { hosts, path_prefix, tls, discovered } = addresses(document, &mut object);
    let kind = object.take("kind").and_then(|at| document.parsed(at, "kind", kind)).unwrap_or_default();
    let wake = object.take("wake");
    let config = NodeConfig {
        name: NodeName::new(&name),
        hosts,
        path_prefix: base_path(path_prefix, kind),
        tls,
        discovered,
        always_on: false,
        enabled: take_boolean(document, &mut object, "enabled").unwrap_or(true),
        weight: object.take("weight").and_then(|at| document.parsed(at, "weight", weight)).unwrap_or(1.0),
        capacity: object.take("capacity").and_then(|at| document.parsed(at, "capacity", count)),
        description: take_text(document, &mut object, "description").unwrap_or_default(),
        memory_gb: take_number(document, &mut object, "memory_gb"),
        model_ranges: ranges(document, &mut object),
        kind,
        models: take_texts(document, &mut object, "models"),
        wake: wake.and_then(|at| document.object(at, "`wake`")).map(|at| read_wake(document, at)).unwrap_or_default(),
        sleep: read_sleep(document, &mut object),
        power: read_power(document, &mut object),
    };
    let always_on = take_boolean(document, &mut object, "always_on");
    let elsewhere = note_later_keys(document, &mut object, &["type", "api_url", "api_key", "headers", "timeout_seconds"]);
    document.refuse_rest(&object, "a node");
    if elsewhere && config.hosts.is_empty() {
        document.note(object.at, &format!("node `{name}` is a provider's API and is left out"));
        return None;
    }
    Some(FileNode { config, always_on, wake_stated: wake.is_some(), place })
}

/// Keys that later versions of the format's origin had; known, so no fault, but without effect here.
/// Says whether one of them names a server elsewhere.
fn note_later_keys(document: &mut Document<'_>, object: &mut Object<'_>, keys: &[&'static str]) -> bool {
    let mut elsewhere = false;
    for key in keys {
        let Some(at) = object.take_idle(key) else { continue };
        elsewhere |= *key == "api_url" || (*key == "type" && at.get() == "\"external\"");
        document.note(at, &format!("`{key}` has no effect here"));
    }
    elsewhere
}

/// Where a node is.
struct Addresses {
    /// In order.
    hosts: Vec<HostPort>,
    /// That all of them share.
    path_prefix: String,
    /// Whether all of them speak TLS.
    tls: bool,
    /// Whether the one is a name with a node behind each address.
    discovered: bool,
}

fn addresses<'a>(document: &mut Document<'a>, object: &mut Object<'a>) -> Addresses {
    let port = object.take("port").and_then(|at| document.parsed(at, "port", address::tcp_port)).unwrap_or(OLLAMA_PORT);
    let stated = object.take("hosts").map(|at| document.one_or_list(at, "`hosts`")).unwrap_or_default();
    let mut hosts = Vec::new();
    let mut prefix: Option<String> = None;
    let mut tls: Option<bool> = None;
    let mut discovered = false;
    for at in stated {
        let Some(found) = document.parsed(at, "hosts", |text| address::node_host(text, port)) else { continue };
        if prefix.get_or_insert_with(|| found.prefix.clone()) != &found.prefix {
            document.fault(at, "the `hosts` of one node must have the same path: they are one server");
        }
        if *tls.get_or_insert(found.tls) != found.tls {
            document.fault(at, "the `hosts` of one node must all be reached by https:// or none: they are one server");
        }
        discovered |= found.discovered;
        if !hosts.contains(&found.at) {
            hosts.push(found.at);
        }
        if discovered && hosts.len() > 1 {
            document.fault(at, "a `dns:` name must be the only one of its node: it stands for many machines");
        }
    }
    Addresses { hosts, path_prefix: prefix.unwrap_or_default(), tls: tls.unwrap_or_default(), discovered }
}

/// Servers with OpenAI's API are named by the base URL of its SDKs, whose `/v1` stands in every path anyway.
pub(super) fn base_path(path: String, kind: NodeKind) -> String {
    match path.strip_suffix("/v1") {
        Some(base) if kind == NodeKind::OpenAi => base.to_owned(),
        _ => path,
    }
}

fn ranges<'a>(document: &mut Document<'a>, object: &mut Object<'a>) -> Vec<ModelRange> {
    let stated =
        object.take("supported_model_ranges").map(|at| document.list(at, "`supported_model_ranges`")).unwrap_or_default();
    let mut ranges = Vec::new();
    for at in stated {
        let Some(mut range) = document.object(at, "a range") else { continue };
        let min = take_number(document, &mut range, "min_params_b").unwrap_or(0.0);
        let max = take_number(document, &mut range, "max_params_b");
        let description = take_text(document, &mut range, "description").unwrap_or_default();
        document.refuse_rest(&range, "a range");
        if max.is_some_and(|max| max < min) {
            document.fault(at, "`min_params_b` is greater than `max_params_b`: swap them");
        }
        let range = ModelRange { min_params_b: min, max_params_b: max, description };
        if ranges.iter().any(|other| overlap(other, &range)) {
            document.fault(at, "this range overlaps an earlier one of the same node: make one of them");
        }
        ranges.push(range);
    }
    ranges
}

/// Both ends belong to a range, so two that only touch are written as people write them.
fn overlap(a: &ModelRange, b: &ModelRange) -> bool {
    let reaches = |a: &ModelRange, b: &ModelRange| a.max_params_b.is_none_or(|max| b.min_params_b < max);
    reaches(a, b) && reaches(b, a)
}

fn read_wake<'a>(document: &mut Document<'a>, mut object: Object<'a>) -> WakeConfig {
    let mut wake = WakeConfig {
        mac: object.take("mac").and_then(|at| document.parsed(at, "mac", mac)),
        secure_on: object.take("secure_on").and_then(|at| document.parsed(at, "secure_on", secure_on)),
        ..WakeConfig::default()
    };
    for at in object.take("broadcast").map(|at| document.one_or_list(at, "`broadcast`")).unwrap_or_default() {
        wake.broadcast.extend(document.parsed(at, "broadcast", ipv4));
    }
    for at in object.take("port").map(|at| document.one_or_list(at, "`port`")).unwrap_or_default() {
        wake.ports.extend(document.parsed(at, "port", address::tcp_port));
    }
    let url = object.take("url");
    let template = url.and_then(|at| document.parsed(at, "url", |text| address::wake_target(text).map(|_| text.to_owned())));
    let stated_method = object.take("method").and_then(|at| document.parsed(at, "method", method));
    let headers = object.take("headers").map(|at| headers(document, at)).unwrap_or_default();
    let body = take_text(document, &mut object, "body");
    let key = take_text(document, &mut object, "key");
    document.refuse_rest(&object, "`wake`");
    if url.is_none() && (stated_method.is_some() || !headers.is_empty() || body.is_some() || key.is_some()) {
        document.note(object.at, "`method`, `headers`, `body` and `key` have no effect without `url`");
    }
    wake.url = template.map(|template| WakeUrl {
        template,
        method: stated_method.unwrap_or_else(|| usual_method(body.as_deref())),
        headers,
        body,
        key,
    });
    wake
}

/// `{"Name": "value"}`, or a list of `Name: value`.
fn headers<'a>(document: &mut Document<'a>, at: &'a RawValue) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if at.get().starts_with('{') {
        for (name, at) in document.members(at, "`headers`") {
            let line = document.text(at, "headers").map(|value| format!("{name}: {value}"));
            headers.extend(line.and_then(|line| header(&line).map_err(|why| document.fault(at, &why)).ok()));
        }
    } else {
        for at in document.one_or_list(at, "`headers`") {
            let line = document.text(at, "headers");
            headers.extend(line.and_then(|line| header(&line).map_err(|why| document.fault(at, &why)).ok()));
        }
    }
    headers
}

fn read_sleep<'a>(document: &mut Document<'a>, object: &mut Object<'a>) -> SleepConfig {
    let Some(mut sleep) = object.take("sleep").and_then(|at| document.object(at, "`sleep`")) else {
        return SleepConfig::default();
    };
    let url = sleep.take("url");
    let url = url.and_then(|at| document.parsed(at, "url", |text| address::wake_target(text).map(|_| text.to_owned())));
    let command = take_text(document, &mut sleep, "command");
    document.refuse_rest(&sleep, "`sleep`");
    SleepConfig { url, command, worker: None }
}

fn read_power<'a>(document: &mut Document<'a>, object: &mut Object<'a>) -> PowerConfig {
    let Some(mut power) = object.take("power").and_then(|at| document.object(at, "`power`")) else {
        return PowerConfig::default();
    };
    let read = PowerConfig {
        idle_watts: take_number(document, &mut power, "idle_watts"),
        sleep_watts: take_number(document, &mut power, "sleep_watts"),
        sleeps_after: power
            .take("sleeps_after")
            .and_then(|at| document.parsed(at, "sleeps_after", |text| duration::positive(text, Unit::Seconds))),
    };
    document.refuse_rest(&power, "`power`");
    read
}

fn sizes<'a>(document: &mut Document<'a>, at: &'a RawValue, what: &str) -> Vec<(String, f64)> {
    let members = document.members(at, &format!("`{what}`"));
    members.into_iter().filter_map(|(name, at)| Some((name, document.number(at, what, 0.0)?))).collect()
}

fn take_text(document: &mut Document<'_>, object: &mut Object<'_>, key: &'static str) -> Option<String> {
    object.take(key).and_then(|at| document.text(at, key))
}

fn take_number(document: &mut Document<'_>, object: &mut Object<'_>, key: &'static str) -> Option<f64> {
    object.take(key).and_then(|at| document.number(at, key, 0.0))
}

fn take_boolean(document: &mut Document<'_>, object: &mut Object<'_>, key: &'static str) -> Option<bool> {
    object.take(key).and_then(|at| document.boolean(at, key))
}

fn take_texts<'a>(document: &mut Document<'a>, object: &mut Object<'a>, key: &'static str) -> Vec<String> {
    let stated = object.take(key).map(|at| document.one_or_list(at, key)).unwrap_or_default();
    stated.into_iter().filter_map(|at| document.text(at, key)).collect()
}

/// A name that can stand in a path, a label and a header.
fn node_name(text: &str) -> Result<String, String> {
    let refused = |c: char| c.is_control() || c.is_whitespace() || "/?#%\"\\,".contains(c);
    if text.is_empty() || text.len() > 64 || text.contains(refused) {
        return Err("is no name for a node: use 1 to 64 letters, digits, `-`, `_` or `.`".to_owned());
    }
    Ok(text.to_owned())
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight > 0.0);
    weight.ok_or_else(|| "must be a number greater than 0; `enabled`: false takes a node out".to_owned())
}

fn kind(text: &str) -> Result<NodeKind, String> {
    match text.to_ascii_lowercase().as_str() {
        "ollama" => Ok(NodeKind::Ollama),
        "openai" => Ok(NodeKind::OpenAi),
        _ => Err("must be ollama or openai".to_owned()),
    }
}

#[cfg(test)]
mod tests;
