//! The proxy itself, in this process, wired as the program wires it.

use std::net::SocketAddr;

use ollama_proxy::app;
use ollama_proxy::config::{self, Env, ServeArgs};
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
}

/// No calls of the proxy's own: a node sees what the client sent and nothing else.
pub const STRICT: (&str, &str) = ("health-interval", "0");

impl Proxy {
    /// In front of one node that is left alone, but for what clients send.
    pub async fn strict(node: &Node) -> Self {
        Self::before(&[node], &[STRICT]).await
    }

    /// In front of nodes `node1`, `node2` … with further flags.
    pub async fn before(nodes: &[&Node], flags: &[(&str, &str)]) -> Self {
        Self::remembering(&Scratch::new(), nodes, flags).await
    }

    /// The same with a data directory that outlives it.
    pub async fn remembering(scratch: &Scratch, nodes: &[&Node], flags: &[(&str, &str)]) -> Self {
        let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        let data = scratch.join("data");
        let mut args = ServeArgs::default()
            .with("host", "127.0.0.1")
            .with("port", "0")
            .with("data-dir", &data)
            .with("ollama-url", &urls.join(","));
        for (flag, value) in flags {
            args = args.with(flag, value);
        }
        let config = config::load(&args, &Env::new(), scratch.path()).unwrap();
        let listeners = app::bind(&config.listen).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        let serving = tokio::spawn(async move { app::serve(config, listeners, ended).await.unwrap() });
        Self { address, end, serving }
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
