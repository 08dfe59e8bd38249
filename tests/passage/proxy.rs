//! The proxy itself, in this process, wired as the program wires it.

use std::net::SocketAddr;
use std::sync::Arc;

use ollama_proxy::app;
use ollama_proxy::config::{self, Config, Env, ServeArgs};
use ollama_proxy::server::Cores;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client;
use crate::node::Node;
use crate::program::Scratch;
use crate::wire::PATIENCE;

/// A running proxy; it ends with the test's runtime.
pub struct Proxy {
    pub address: SocketAddr,
    end: watch::Sender<bool>,
    serving: JoinHandle<()>,
    _scratch: Arc<Scratch>,
}

/// No calls of the proxy's own: a node sees what the client sent and nothing else.
pub const STRICT: (&str, &str) = ("health-interval", "0");

impl Proxy {
    /// In front of one node that is left alone, but for what clients send.
    pub fn strict(node: &Node) -> Self {
        Self::before(&[node], &[STRICT])
    }

    /// In front of nodes `node1`, `node2` … with further flags.
    pub fn before(nodes: &[&Node], flags: &[(&str, &str)]) -> Self {
        Self::remembering(&Arc::new(Scratch::new()), nodes, flags)
    }

    /// The same with a data directory that the next one finds again.
    pub fn remembering(scratch: &Arc<Scratch>, nodes: &[&Node], flags: &[(&str, &str)]) -> Self {
        let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        Self::start(scratch, &[&[("ollama-url", &*urls.join(","))], flags].concat(), |_| {})
    }

    /// With settings that only a node file can make.
    pub fn changed(scratch: &Arc<Scratch>, node: &Node, flags: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        Self::start(scratch, &[&[("ollama-url", &*node.url())], flags].concat(), change)
    }

    /// With the nodes of the file that lies in `scratch`.
    #[allow(dead_code, reason = "not every test has a node file alone")]
    pub fn by_file(scratch: &Arc<Scratch>, flags: &[(&str, &str)]) -> Self {
        Self::start(scratch, flags, |_| {})
    }

    /// With its usual node left out, as when that would be the proxy itself.
    pub fn without_a_node() -> Self {
        Self::start(&Arc::new(Scratch::new()), &[], |config| config.nodes.clear())
    }

    fn start(scratch: &Arc<Scratch>, flags: &[(&str, &str)], change: impl FnOnce(&mut Config)) -> Self {
        let data = scratch.join("data");
        let mut args = ServeArgs::default().with("host", "127.0.0.1").with("port", "0").with("data-dir", &data);
        for (flag, value) in flags {
            args = args.with(flag, value);
        }
        let mut config = config::load(&args, &Env::new(), scratch.path()).unwrap();
        change(&mut config);
        let listeners = app::bind(&config.listen).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        let serving = tokio::spawn(async move { app::serve(config, listeners, ended, Cores::here()).await.unwrap() });
        Self { address, end, serving, _scratch: scratch.clone() }
    }

    /// Ends it in order; its state is on disk then.
    pub async fn end(self) {
        self.end.send(true).unwrap();
        timeout(PATIENCE, self.serving).await.expect("it does not end").unwrap();
    }

    /// Asks for `path` until the answer holds `text`.
    pub async fn until(&self, path: &str, text: &str) {
        let holds = async {
            while !client::get(self.address, path).await.text().contains(text) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, holds).await.unwrap_or_else(|_| panic!("{path} never holds {text:?}"));
    }
}
