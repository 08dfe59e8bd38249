//! What the log says first: where it listens, which nodes it knows, and what its owner still has to set.

use std::net::SocketAddr;

use super::NO_NODE;
use crate::config::Config;
use crate::fleet::{self, Fleet, Node};
use crate::server::Door;

/// The first start explains itself in six plain lines.
pub(super) fn say(config: &Config, fleet: &Fleet, doors: &[Door]) {
    for note in &config.notes {
        tracing::warn!("{note}");
    }
    let url = |door: &Door, shown: fn(&SocketAddr) -> String| {
        let scheme = if door.identity().is_some() { "https" } else { "http" };
        door.local_addr().map(|address| format!("{scheme}://{}", shown(&address))).ok()
    };
    let listening: Vec<String> = doors.iter().filter_map(|door| url(door, SocketAddr::to_string)).collect();
    tracing::info!("listening on {}", listening.join(", "));
    for node in &*fleet.nodes() {
        introduce(node);
    }
    for provider in &config.providers {
        let word = provider.kind.word();
        tracing::info!("provider {word} at {}: models named {word}/… are asked there", provider.base);
    }
    if fleet.nodes().is_empty() && config.registration.is_none() {
        tracing::warn!("{NO_NODE}");
    }
    let page = doors.first().and_then(|door| url(door, reachable)).unwrap_or_default();
    tracing::info!("page at {page}/");
}

/// What is known of a node before anything was sent.
fn introduce(node: &Node) {
    if !node.config().enabled {
        tracing::info!("node {}: disabled, takes no part", node.name());
        return;
    }
    let view = node.view();
    let class = if node.config().always_on { "always on" } else { "may sleep" };
    tracing::info!("node {} at {}: {}, {class}", node.name(), node.host().to_str().unwrap_or_default(), view.power.word());
    match view.holding.models().len() {
        0 => tracing::info!("node {}: no models known yet; its list is read when it answers", node.name()),
        known => tracing::info!("node {}: {known} models known from before", node.name()),
    }
    if node.config().always_on {
        return;
    }
    match view.mac {
        Some(known) => tracing::info!("node {}: MAC {} ({})", node.name(), known.mac, known.source.word()),
        None => tracing::info!("node {}: MAC unknown; it is learnt when the node answers, or set --wake-mac", node.name()),
    }
    tracing::info!("node {}: wakes by {}", node.name(), fleet::wake_path(node));
}

/// What a person on this machine can type.
fn reachable(address: &SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}
