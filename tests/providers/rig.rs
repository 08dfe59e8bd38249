//! The proxy with both providers behind it, and a node that must hear of none of this.

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};

use ollama_proxy::app;
use ollama_proxy::config::{self, Env, ServeArgs};
use ollama_proxy::server::Cores;
use serde_json::Value;
use tokio::sync::watch;

use crate::client::{self, Answer};
use crate::node::Node;
use crate::program::Scratch;
use crate::server::Server;
use crate::{anthropic, openai};

/// What the node has.
pub const LOCAL: &str = "llama3.2:3b";

pub struct Rig {
    pub address: SocketAddr,
    pub openai: Server,
    pub anthropic: Server,
    pub node: Node,
    _end: watch::Sender<bool>,
    _scratch: Scratch,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further names in the environment.
    pub async fn with(further: &[(&str, String)]) -> Self {
        listen_to_logs();
        let (openai, anthropic, node) = (openai::start().await, anthropic::start().await, Node::with_models(&[LOCAL]));
        let scratch = Scratch::new();
        let args = ServeArgs::default()
            .with("host", "127.0.0.1")
            .with("port", "0")
            .with("data-dir", &scratch.join("data"))
            .with("ollama-url", &node.url());
        let mut env: Env = [
            ("OPENAI_API_KEY", openai::KEY.to_owned()),
            ("OPENAI_BASE_URL", format!("http://{}/v1", openai.address)),
            ("ANTHROPIC_API_KEY", anthropic::KEY.to_owned()),
            ("ANTHROPIC_BASE_URL", format!("http://{}", anthropic.address)),
            ("AZURE_OPENAI_API_KEY", openai::AZURE_KEY.to_owned()),
            ("AZURE_OPENAI_ENDPOINT", format!("http://{}", openai.address)),
            ("AZURE_OPENAI_DEPLOYMENTS", "mini".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        env.extend(further.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let config = config::load(&args, &env, scratch.path()).unwrap();
        let listeners = app::bind(&config.listen).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let (end, ended) = watch::channel(false);
        tokio::spawn(async move { app::serve(config, listeners, ended, Cores::here()).await.unwrap() });
        Self { address, openai, anthropic, node, _end: end, _scratch: scratch }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        client::post(self.address, path, &body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        client::get(self.address, path).await
    }

    /// What the node was asked beyond its lists.
    pub fn asked_of_node(&self) -> Vec<String> {
        self.node.seen().into_iter().filter(|asked| !asked.starts_with("GET ") && asked != "POST /api/show").collect()
    }

    /// Waits until the providers' lists are there.
    pub async fn listed(&self) -> Value {
        loop {
            let list = self.get("/v1/models").await.json();
            let text = list.to_string();
            if ["gpt-4o-mini", "claude-second", LOCAL].iter().all(|model| text.contains(model)) {
                return list;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

/// Lines of NDJSON.
pub fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The data of events; `[DONE]` as a text.
pub fn events(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

/// All that any test made the proxy log.
pub fn logged() -> String {
    String::from_utf8(LOG.get().unwrap().lock().unwrap().clone()).unwrap()
}

static LOG: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();

struct Pen;

impl std::io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.get().unwrap().lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen_to_logs() {
    LOG.get_or_init(|| {
        let level = tracing_subscriber::filter::LevelFilter::TRACE;
        tracing_subscriber::fmt().with_max_level(level).with_writer(|| Pen).with_ansi(false).init();
        Mutex::default()
    });
}
