//! Looking at this machine: its networks, whether it is a container, who holds our ports.

use std::path::Path;

use super::machine::{Machine, Port};
use crate::app;
use crate::commands::running::{Running, Unasked};
use crate::config::{Env, Expiry, Listen, Secret};
use crate::fleet::survey;

pub(super) fn machine(env: &Env) -> Machine {
    let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists());
    Machine {
        in_container: marked || env.contains_key("KUBERNETES_SERVICE_HOST"),
        kernel: std::fs::read_to_string("/proc/version").unwrap_or_default(),
        networks: survey::networks(),
        gateways: survey::gateways(),
    }
}

/// Who holds each port that the settings name; port 0 is nobody's.
pub(super) async fn ports(listen: &Listen, key: Option<&Secret>) -> Vec<(u16, Port)> {
    let mut found = Vec::new();
    for (port, secured) in listen.all_ports().filter(|(port, _)| *port != 0) {
        let only = listen.only(port, secured);
        let state = match app::bind(&only) {
            Ok(_) => Port::Free,
            Err(why) => holder(&only, key).await.unwrap_or_else(|| Port::Unusable(why.to_string())),
        };
        found.push((port, state));
    }
    found
}

/// When the certificate ends that clients would be shown, if one is set.
pub(super) fn expiry(listen: &Listen) -> Option<Expiry> {
    listen.tls.as_ref()?.read().ok()?.expiry
}

async fn holder(listen: &Listen, key: Option<&Secret>) -> Option<Port> {
    let running = Running::at(None, listen).with_key(key);
    match running.nodes().await {
        Ok(nodes) => return Some(Port::Proxy(nodes.len())),
        Err(Unasked::Failed(_)) => return Some(Port::Proxy(0)),
        Err(Unasked::NoProxy(_)) => {}
    }
    let root = running.get("/").await.ok()?;
    (root.body == "Ollama is running").then_some(Port::Ollama)
}
