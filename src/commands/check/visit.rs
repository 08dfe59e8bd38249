//! Visiting one node: resolve, connect, ask, watch a trial packet leave. Only here does `check` touch anything but this
//! machine. A node that does not answer gets one connect and, like its neighbours, one packet for nobody.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::node::{Chain, Contact, Found, UrlFound};
use crate::commands::running::ListedNode;
use crate::config::{Config, NodeConfig, NodeKind, WakeUrl};
use crate::fleet::{self, MacSource, Node, survey};
use crate::upstream::{self, Call, Reply, Trouble};
use crate::values::Mac;

/// A refusal that comes later than this is some router's, not the host's.
const PROMPT: Duration = Duration::from_millis(300);

/// What a visit goes by.
pub(super) struct Visit<'a> {
    pub(super) node: Node,
    pub(super) config: &'a Config,
    /// What a running proxy knows of it.
    pub(super) told: Option<&'a ListedNode>,
    /// Whether its wake URL may be called, which wakes it.
    pub(super) call_wake_url: bool,
}

impl Visit<'_> {
    /// Finds out everything; takes a few limits at most.
    ///
    /// # Errors
    /// When no TLS roots can be loaded for a wake URL.
    pub(super) async fn find(&self) -> anyhow::Result<Found> {
        let node = self.node.config();
        let (resolved, addresses) = self.resolve().await;
        let (contact, peer) = self.contact(&addresses).await;
        let first = addresses.first().map(SocketAddr::ip);
        let last = self.node.view().address;
        let address = peer.or(first).or(last);
        let seen_mac = peer.filter(|peer| !peer.is_loopback()).and_then(survey::mac_of);
        let mac = self.known_mac();
        let by_packet = !node.always_on && (mac.is_some() || node.wake.url.is_none());
        let trial = if by_packet { Some(survey::trial(address.and_then(fleet::v4), &node.wake).await) } else { None };
        Ok(Found {
            at: node.hosts.first().map(ToString::to_string).unwrap_or_default(),
            port: self.port(),
            always_on: node.always_on,
            resolved,
            address,
            is_here: address.is_some_and(fleet::is_own_address),
            chain: if peer.is_some() { self.chain(&addresses).await } else { None },
            contact,
            mac,
            seen_mac,
            broadcast: node.wake.broadcast.clone(),
            trial,
            wake_url: self.wake_url(mac.map(|(mac, _)| mac).or(seen_mac), address).await?,
        })
    }

    fn port(&self) -> u16 {
        self.node.config().hosts.first().map_or(0, |host| host.port)
    }

    /// The addresses of its name, and those to connect to: of all its hosts, whichever answers.
    async fn resolve(&self) -> (Option<Result<Vec<IpAddr>, String>>, Vec<SocketAddr>) {
        let hosts = &self.node.config().hosts;
        let named = hosts.first().is_some_and(|host| host.host.parse::<IpAddr>().is_err());
        let mut trouble = String::new();
        let mut all: Vec<SocketAddr> = Vec::new();
        for host in hosts {
            match upstream::resolve(&host.host, host.port, None).await {
                Ok(addresses) => all.extend(addresses),
                Err(Trouble::NoAddress(why)) => trouble = why.to_string(),
                Err(other) => trouble = other.to_string(),
            }
        }
        if !all.is_empty() {
            return (named.then(|| Ok(all.iter().map(SocketAddr::ip).collect())), all);
        }
        let last = self.node.view().address.map(|last| SocketAddr::new(last, self.port()));
        (named.then_some(Err(trouble)), last.into_iter().collect())
    }

    async fn contact(&self, addresses: &[SocketAddr]) -> (Contact, Option<IpAddr>) {
        if addresses.is_empty() {
            return (Contact::Nowhere, None);
        }
        let (path, key) = match self.node.config().kind {
            NodeKind::Ollama => ("/api/version", "version"),
            NodeKind::OpenAi => ("/v1/models", "data"),
        };
        let started = Instant::now();
        let reply = match self.get(addresses, path).await {
            Ok(reply) => reply,
            Err(trouble) => return (unmet(&trouble), None),
        };
        let (after, peer) = (started.elapsed(), Some(reply.peer.ip()));
        let told =
            serde_json::from_slice::<Value>(&reply.body).ok().filter(|told| reply.status.is_success() && told.get(key).is_some());
        let contact = match told {
            None => Contact::Stranger(format!("{} to {path}", reply.status)),
            Some(told) if key == "data" => {
                let models = told["data"].as_array().map(Vec::len);
                Contact::Answered { version: "it speaks OpenAI's API".to_owned(), models, after }
            }
            Some(told) => {
                let version = format!("Ollama {}", told["version"].as_str().unwrap_or("of an unknown version"));
                Contact::Answered { version, models: self.count_models(addresses).await, after }
            }
        };
        (contact, peer)
    }

    async fn count_models(&self, addresses: &[SocketAddr]) -> Option<usize> {
        let reply = self.get(addresses, "/api/tags").await.ok()?;
        serde_json::from_slice::<Value>(&reply.body).ok()?["models"].as_array().map(Vec::len)
    }

    /// A proxy answers `/health` as ours do. Ours it is by its address, or when a request to it came back: an unknown
    /// path is only passed on to nodes that are awake, and wakes nobody.
    async fn chain(&self, addresses: &[SocketAddr]) -> Option<Chain> {
        let health = self.get(addresses, "/health").await.ok()?;
        let told = serde_json::from_slice::<Value>(&health.body).ok()?;
        told.get("total_nodes")?;
        let ours = addresses
            .iter()
            .any(|at| self.config.listen.all_ports().any(|(port, _)| port == at.port()) && fleet::is_own_address(at.ip()));
        let came_back =
            self.get(addresses, "/ollama-proxy-looks-for-a-loop").await.is_ok_and(|reply| reply.status.as_u16() == 508);
        Some(if ours || came_back { Chain::Ourselves } else { Chain::Another })
    }

    async fn get(&self, addresses: &[SocketAddr], path: &str) -> Result<Reply, Trouble> {
        let path = format!("{}{path}", self.node.config().path_prefix);
        let call = Call { method: Method::GET, path, host: self.node.host().clone(), authorization: None, body: Bytes::new() };
        let timeouts = &self.config.timeouts;
        let link = upstream::connect(addresses, timeouts.connect).await?;
        let host = self.node.config().hosts.first().filter(|_| self.node.config().tls);
        let link = if let Some(at) = host { link.secured(&at.host)? } else { link };
        upstream::call_over(link, timeouts.metadata, call).await
    }

    /// From the settings, the state file, or a running proxy that keeps its state elsewhere.
    fn known_mac(&self) -> Option<(Mac, &'static str)> {
        let here = self.node.view().mac.map(|known| match known.source {
            MacSource::Set => (known.mac, "set"),
            MacSource::Learnt => (known.mac, "learnt, from the state file"),
        });
        here.or_else(|| Some((self.told?.power.mac.as_deref()?.parse().ok()?, "learnt, says the running proxy")))
    }

    async fn wake_url(&self, mac: Option<Mac>, ip: Option<IpAddr>) -> anyhow::Result<Option<UrlFound>> {
        let node: &NodeConfig = self.node.config();
        let Some(url) = &node.wake.url else { return Ok(None) };
        let answer = if self.call_wake_url { survey::call_wake_url(node, mac, ip).await? } else { None };
        let server = if answer.is_none() { server(url).await } else { None };
        Ok(Some(UrlFound { shown: url.shown(), server, answer }))
    }
}

/// Whether the server of a wake URL takes connections; a bare connect wakes nothing.
async fn server(url: &WakeUrl) -> Option<Result<(), String>> {
    const LIMIT: Duration = Duration::from_secs(3);
    let at = url.server()?;
    let addresses = match upstream::resolve(&at.host, at.port, None).await {
        Ok(addresses) => addresses,
        Err(trouble) => return Some(Err(trouble.to_string())),
    };
    Some(upstream::connect(&addresses, LIMIT).await.map(drop).map_err(|trouble| trouble.to_string()))
}

fn unmet(trouble: &Trouble) -> Contact {
    match trouble {
        Trouble::Refused(after) if *after <= PROMPT => Contact::Refused,
        Trouble::Refused(_) | Trouble::Unreachable(_) | Trouble::NoAnswer | Trouble::Lost(_) => {
            Contact::NoAnswer(trouble.to_string())
        }
        Trouble::Broken(_) | Trouble::Silent | Trouble::Unfit(_) => Contact::Mute(trouble.to_string()),
        Trouble::NoAddress(_) => Contact::Nowhere,
    }
}
