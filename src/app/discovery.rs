//! Nodes by the name service: every address of a `dns:` name is a node of its own, as behind a headless service.
//!
//! The system's resolver does not tell how long an answer holds, so it is asked every half minute, and at each reload. A name
//! that cannot be resolved keeps what it was last resolved to. Without such names nothing is asked, and no timer runs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::config::{HostPort, NodeConfig};
use crate::values::{NodeName, boxed, sort_by};

/// Between two questions.
const EVERY: Duration = Duration::from_secs(30);

/// What the resolver may take; at the start nothing waits longer for it.
const ANSWERS: Duration = Duration::from_secs(3);

/// More machines behind one name than this are a mistake.
const ADDRESSES: usize = 64;

/// What the names were last resolved to, sorted.
type Found = HashMap<HostPort, Vec<IpAddr>>;

/// Follows the addresses of names.
pub(super) struct Discovery {
    names: watch::Sender<Vec<HostPort>>,
    found: watch::Receiver<Found>,
}

impl Discovery {
    /// Resolves the names of these nodes once, and follows them in `tasks`.
    pub(super) async fn start(settled: &[NodeConfig], tasks: &mut JoinSet<anyhow::Result<()>>) -> Self {
        let (wanted, mut found) = (names_of(settled), Found::new());
        resolve(&wanted, &mut found).await;
        let (names, named) = watch::channel(wanted);
        let (tell, told) = watch::channel(found);
        tasks.spawn(boxed(follow(named, tell)));
        Self { names, found: told }
    }

    /// The settings name these nodes now. Asks anew.
    pub(super) fn settle(&self, settled: &[NodeConfig]) {
        self.names.send_replace(names_of(settled));
    }

    /// Resolves when a name has other addresses than before.
    pub(super) async fn changed(&mut self) {
        if self.found.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The nodes of the settings, with one for each address in the place of a name.
    pub(super) fn nodes(&self, settled: &[NodeConfig]) -> Vec<NodeConfig> {
        let found = self.found.borrow();
        settled.iter().flat_map(|node| expanded(node, &found)).collect()
    }
}

fn names_of(settled: &[NodeConfig]) -> Vec<HostPort> {
    settled.iter().filter(|node| node.discovered && node.enabled).flat_map(|node| node.hosts.iter().cloned()).collect()
}

fn expanded(node: &NodeConfig, found: &Found) -> Vec<NodeConfig> {
    if !node.discovered {
        return vec![node.clone()];
    }
    let of_host = |host: &HostPort| {
        let addresses = found.get(host).map(Vec::as_slice).unwrap_or_default();
        addresses.iter().map(|address| HostPort { host: address.to_string(), port: host.port }).collect::<Vec<_>>()
    };
    let named = |at: HostPort| {
        let name = NodeName::new(&format!("{}-{}", node.name, at.host));
        NodeConfig { name, hosts: vec![at], discovered: false, ..node.clone() }
    };
    node.hosts.iter().flat_map(of_host).map(named).collect()
}

async fn follow(mut names: watch::Receiver<Vec<HostPort>>, tell: watch::Sender<Found>) -> anyhow::Result<()> {
    loop {
        let none = names.borrow_and_update().is_empty();
        tokio::select! {
            changed = names.changed() => anyhow::ensure!(changed.is_ok(), "nobody names nodes any more"),
            () = tokio::time::sleep(EVERY), if !none => {}
        }
        let (wanted, before) = (names.borrow().clone(), tell.borrow().clone());
        let mut found = before.clone();
        found.retain(|name, _| wanted.contains(name));
        resolve(&wanted, &mut found).await;
        tell.send_if_modified(|told| {
            let differs = *told != found;
            *told = found;
            differs
        });
    }
}

/// Asks for all names at once; those without an answer stay as they are.
async fn resolve(names: &[HostPort], found: &mut Found) {
    let mut asked = JoinSet::new();
    for name in names.iter().cloned() {
        asked.spawn(boxed(async move {
            let answer = timeout(ANSWERS, lookup_host((name.host.clone(), name.port))).await;
            let addresses: Result<Vec<IpAddr>, String> = match answer {
                Ok(Ok(addresses)) => Ok(sorted(addresses.map(|address| address.ip()))),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the name server does not answer".to_owned()),
            };
            (name, addresses)
        }));
    }
    while let Some(Ok((name, answer))) = asked.join_next().await {
        match answer {
            Ok(addresses) => drop(found.insert(name, addresses)),
            Err(why) => tracing::warn!(%name, why, "a name of nodes cannot be resolved; its nodes stay as they were"),
        }
    }
}

fn sorted(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = addresses.collect();
    sort_by(&mut addresses, Ord::cmp);
    addresses.dedup();
    addresses.truncate(ADDRESSES);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_a_name_is_a_node_and_others_stay_as_they_are() {
        let host = |host: &str| HostPort { host: host.to_owned(), port: 11434 };
        let plain = NodeConfig::new(NodeName::new("pc"), host("pc.lan"), String::new());
        let pods = NodeConfig { discovered: true, ..NodeConfig::new(NodeName::new("pods"), host("ollama.svc"), String::new()) };
        let addresses = ["10.0.0.9", "10.0.0.7", "10.0.0.9", "fd00::7"].iter().map(|text| text.parse().unwrap());
        let found = Found::from([(host("ollama.svc"), sorted(addresses))]);
        let all: Vec<String> = [plain, pods]
            .iter()
            .flat_map(|node| expanded(node, &found))
            .map(|node| format!("{} {}", node.name, node.hosts[0]))
            .collect();
        assert_eq!(
            all,
            ["pc pc.lan:11434", "pods-10.0.0.7 10.0.0.7:11434", "pods-10.0.0.9 10.0.0.9:11434", "pods-fd00::7 [fd00::7]:11434"]
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_keeps_its_addresses() {
        let name = HostPort { host: "no-such-name.invalid".to_owned(), port: 1 };
        let mut found = Found::from([(name.clone(), vec![IpAddr::from([10, 0, 0, 7])])]);
        resolve(std::slice::from_ref(&name), &mut found).await;
        assert_eq!(found[&name].len(), 1);
    }
}
