//! A proxy in front of several always-on nodes whose lists are known.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{self, Answer};
use crate::node::{Exchange, Node};
use crate::program::Scratch;
use crate::proxy::Proxy;
use crate::wire::PATIENCE;

pub const MODEL: &str = "llama3.2:3b";

/// After this time nothing will come any more.
const NOTHING: Duration = Duration::from_millis(300);

pub struct Fleet {
    pub proxy: Proxy,
    pub nodes: Vec<Node>,
}

impl Fleet {
    /// So many nodes that all hold [`MODEL`].
    pub async fn of(count: usize) -> Self {
        Self::holding(&vec![&[MODEL][..]; count], "{}", &[]).await
    }

    /// One node per list of models. `file` is the node file, which may describe `node1`, `node2` and so on.
    pub async fn holding(models: &[&[&str]], file: &str, flags: &[(&str, &str)]) -> Self {
        let mut nodes = Vec::new();
        for models in models {
            nodes.push(Node::with_models(models));
        }
        let scratch = Arc::new(Scratch::new());
        std::fs::write(scratch.path().join("node_config.json"), file).unwrap();
        let proxy = Proxy::remembering(&scratch, &nodes.iter().collect::<Vec<_>>(), flags);
        let fleet = Self { proxy, nodes };
        let known = async {
            while !fleet.listed().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, known).await.expect("the lists are never known");
        fleet
    }

    async fn listed(&self) -> bool {
        let json = self.json("/nodes").await;
        let nodes = json["nodes"].as_array().unwrap();
        nodes.len() == self.nodes.len() && nodes.iter().all(|node| !node["models"].as_array().unwrap().is_empty())
    }

    pub async fn json(&self, path: &str) -> Value {
        client::get(self.proxy.address, path).await.json()
    }

    /// What is told of one node at `/nodes`.
    pub async fn told(&self, index: usize) -> Value {
        self.json("/nodes").await["nodes"][index].clone()
    }

    /// A chat that goes on while the test answers it.
    pub fn chat(&self) -> JoinHandle<Answer> {
        self.asks("POST /api/chat", &[], &chat_body(MODEL, ""))
    }

    pub fn asks(&self, asked: &str, headers: &[(&str, &str)], body: &str) -> JoinHandle<Answer> {
        let (address, asked, body) = (self.proxy.address, asked.to_owned(), body.to_owned());
        let headers: Vec<(String, String)> = headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        tokio::spawn(async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            client::ask(address, &asked, &headers, body).await
        })
    }

    /// The next request at any node, with the node's place.
    pub async fn next(&mut self) -> (usize, Exchange) {
        timeout(PATIENCE, self.any()).await.expect("no request comes to any node")
    }

    /// Asserts that no further request comes to any node.
    pub async fn nothing_more(&mut self) {
        if let Ok((index, exchange)) = timeout(NOTHING, self.any()).await {
            panic!("node{} gets {}", index + 1, exchange.head.asked());
        }
    }

    async fn any(&mut self) -> (usize, Exchange) {
        loop {
            for (index, node) in self.nodes.iter_mut().enumerate() {
                if let Ok(exchange) = timeout(Duration::from_millis(2), node.next()).await {
                    return (index, exchange);
                }
            }
        }
    }

    /// Serves one chat and says which node got it.
    pub async fn serve_one(&mut self, body: &str) -> usize {
        let asked = self.asks("POST /api/chat", &[], body);
        let (index, exchange) = self.next().await;
        exchange.answer_chat().await;
        let answer = asked.await.unwrap();
        assert_eq!((answer.status(), served_by(&answer)), (200, index), "{answer:?}");
        index
    }
}

pub fn chat_body(model: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]{more}}}"#)
}

/// The place of the node that an answer names.
pub fn served_by(answer: &Answer) -> usize {
    let name = answer.head.get("x-ollama-proxy-node").unwrap_or_else(|| panic!("no node in {answer:?}"));
    name.strip_prefix("node").unwrap().parse::<usize>().unwrap() - 1
}
