//! Talking to a proxy that runs, here or elsewhere: where it is, its nodes, and the wake that a person asks it for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use crate::config::{HostPort, Listen, ProxyUrl, Secret};
use crate::upstream::{self, Call, Reply, Trouble};

/// A proxy answers from memory; and a container gives a health check ten seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// It ends a wake by itself at a deadline that we do not know.
const WAKE_LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Where a proxy runs, or should.
#[derive(Clone, Debug)]
pub(super) struct Running {
    at: HostPort,
    prefix: String,
    speech: Speech,
    /// Nobody named the port: it is the usual one of `serve`.
    guessed: bool,
    /// `Bearer …`
    key: Option<HeaderValue>,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Plain,
    /// It must prove its name.
    Tls,
    /// It is on this machine: its certificate names the machine, not the address by which we reach it.
    OwnTls,
}

/// Why it could not be asked.
#[derive(Debug)]
pub(super) enum Unasked {
    /// Nobody answers there, or something that is no proxy of ours.
    NoProxy(String),
    /// It answered and then failed us.
    Failed(String),
}

impl std::fmt::Display for Unasked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoProxy(text) => write!(f, "{text}: is it started?"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

/// `GET /nodes`, as far as we show it.
#[derive(Debug, Deserialize)]
struct Listed {
    nodes: Vec<ListedNode>,
}

/// One node as the running proxy tells of it. What it does not tell stays empty, so that versions may differ.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedNode {
    pub(super) name: String,
    pub(super) hosts: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) stats: ListedStats,
    /// Names, or objects with a `name`.
    models: Vec<serde_json::Value>,
    pub(super) power: ListedPower,
}

/// Its counters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedStats {
    pub(super) active_connections: u64,
}

/// How it stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListedPower {
    pub(super) state: String,
    /// Unix seconds.
    pub(super) since: Option<f64>,
    pub(super) always_on: bool,
    pub(super) mac: Option<String>,
    pub(super) mac_source: Option<String>,
    /// Seconds that a wake usually takes.
    pub(super) wake_seconds: Option<f64>,
    /// Requests that wait for its wake.
    pub(super) held: u64,
}

impl ListedNode {
    /// The names of its models.
    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().filter_map(|model| model.as_str().or_else(|| model.get("name")?.as_str()))
    }
}

/// What came of a wake.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Woken {
    pub(super) state: String,
    pub(super) seconds: Option<f64>,
    pub(super) trouble: Option<String>,
    pub(super) hindrance: Option<String>,
    error: Option<String>,
}

impl Woken {
    /// The reason that was given, to stand behind what happened.
    fn reason(&self) -> String {
        self.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default()
    }

    /// Why it did not come up, in the proxy's words.
    pub(super) fn why(&self) -> String {
        let told = [&self.error, &self.hindrance, &self.trouble];
        let told: Vec<&str> = told.into_iter().flatten().map(String::as_str).collect();
        if told.is_empty() { format!("it is {}", self.state) } else { told.join("; ") }
    }
}

impl Running {
    /// The one that the user names; else the one that these settings would start on this machine.
    pub(super) fn at(named: Option<&ProxyUrl>, listen: &Listen) -> Self {
        if let Some(url) = named {
            let speech = if url.tls { Speech::Tls } else { Speech::Plain };
            return Self { at: url.at.clone(), prefix: url.prefix.clone(), speech, guessed: false, key: None };
        }
        let host = listen.host.filter(|host| !host.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let (port, secured) = listen.all_ports().next().unwrap_or((11434, false));
        let speech = if secured { Speech::OwnTls } else { Speech::Plain };
        Self {
            at: HostPort { host: host.to_string(), port },
            prefix: String::new(),
            speech,
            guessed: !listen.port_asked,
            key: None,
        }
    }

    /// The same, with a key to show.
    pub(super) fn with_key(self, key: Option<&Secret>) -> Self {
        let bearer = |key: &Secret| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        Self { key: key.and_then(bearer), ..self }
    }

    /// Its nodes, from its memory.
    ///
    /// # Errors
    /// `NoProxy` also when something else answers there.
    pub(super) async fn nodes(&self) -> Result<Vec<ListedNode>, Unasked> {
        let reply = self.ask(Method::GET, "/nodes", LIMIT).await.map_err(|trouble| self.absent(&trouble))?;
        if reply.status == StatusCode::UNAUTHORIZED {
            return Err(Unasked::Failed(format!("{self} asks for a key: set ADMIN_KEY or API_KEY here too")));
        }
        if reply.status == StatusCode::FORBIDDEN {
            let told = serde_json::from_slice::<Woken>(&reply.body).unwrap_or_default();
            return Err(Unasked::Failed(format!("{self} refuses{}", told.reason())));
        }
        let listed = serde_json::from_slice::<Listed>(&reply.body).ok().filter(|_| reply.status.is_success());
        let stranger = || Unasked::NoProxy(format!("{self} is no ollama-proxy (it answered {} to /nodes)", reply.status));
        listed.map(|listed| listed.nodes).ok_or_else(stranger)
    }

    /// Has it wake a node, and waits. `Ok(Err(_))`: the node did not come up.
    ///
    /// # Errors
    /// When the proxy itself cannot be asked.
    pub(super) async fn wake(&self, node: &str) -> Result<Result<Woken, Woken>, Unasked> {
        let path = format!("/nodes/{node}/wake?wait=1");
        let reply = self.ask(Method::POST, &path, WAKE_LIMIT).await.map_err(|trouble| match trouble {
            Trouble::Broken(_) | Trouble::Lost(_) | Trouble::Silent | Trouble::Unfit(_) => {
                Unasked::Failed(format!("{self}: {trouble}"))
            }
            _ => self.absent(&trouble),
        })?;
        let woken = serde_json::from_slice::<Woken>(&reply.body).unwrap_or_default();
        match reply.status {
            StatusCode::OK => Ok(Ok(woken)),
            StatusCode::CONFLICT | StatusCode::GATEWAY_TIMEOUT => Ok(Err(woken)),
            status => Err(Unasked::Failed(format!("{self} answered {status}{}", woken.reason()))),
        }
    }

    /// Any answer to `GET` of this path.
    ///
    /// # Errors
    /// What was observed.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, Trouble> {
        self.ask(Method::GET, path, LIMIT).await
    }

    async fn ask(&self, method: Method, path: &str, limit: Duration) -> Result<Reply, Trouble> {
        let addresses: Vec<SocketAddr> = upstream::resolve(&self.at.host, self.at.port, None).await?;
        let host = HeaderValue::from_str(&self.at.to_string()).map_err(|error| Trouble::Broken(error.to_string()))?;
        let call =
            Call { method, path: format!("{}{path}", self.prefix), host, authorization: self.key.clone(), body: Bytes::new() };
        let link = upstream::connect(&addresses, LIMIT).await?;
        let link = match self.speech {
            Speech::Plain => link,
            Speech::Tls => link.secured(&self.at.host)?,
            Speech::OwnTls => link.secured_to_ourselves(&self.at.host)?,
        };
        upstream::call_over(link, limit, call).await
    }

    /// That nobody answers there, and where else one may be.
    pub(super) fn silence(&self, trouble: &Trouble) -> String {
        let elsewhere = if self.guessed { "; beside a controller say --port 8000, beside a worker --port 8001" } else { "" };
        format!("no proxy answers at {self} ({trouble}{elsewhere})")
    }

    fn absent(&self, trouble: &Trouble) -> Unasked {
        Unasked::NoProxy(self.silence(trouble))
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.speech == Speech::Plain { "http" } else { "https" };
        write!(f, "{scheme}://{}{}", self.at, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_names_no_port_is_told_where_controllers_and_workers_are() {
        let listen = |port_asked| Listen { host: None, ports: vec![11434], port_asked, tls: None };
        let said = |port_asked| Running::at(None, &listen(port_asked)).silence(&Trouble::NoAnswer);
        assert!(said(false).contains("--port 8000") && !said(true).contains("8000"), "{}", said(false));
    }
}
