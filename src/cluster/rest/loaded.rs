//! What the local Ollama has loaded: whether somebody used it without us, whether it lies on the GPU, and how it is put down.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::fleet::Node;
use crate::upstream::{self, Call, Reply, Trouble};

/// What a connect to this machine, and one answer, may take.
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);

/// How long models may take to be put down.
const UNLOADS: Duration = Duration::from_secs(10);

/// More models than this are not loaded at once anywhere.
const MODELS: usize = 16;

/// Some servers work the moment out anew for each answer.
const JITTER: i64 = 1000;

/// What is loaded, as `/api/ps` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded(BTreeMap<String, Entry>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Milliseconds since 1970; moves with each use.
    expires: i64,
    on_cpu: bool,
}

impl Loaded {
    fn parse(body: &[u8]) -> Self {
        let ps: Value = serde_json::from_slice(body).unwrap_or_default();
        let models = ps["models"].as_array().map(Vec::as_slice).unwrap_or_default();
        let entry = |model: &Value| {
            let on_cpu = model["size_vram"].as_u64() == Some(0) && model["size"].as_u64() > Some(0);
            let expires = model["expires_at"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
            let expires = expires.map(|at| at.timestamp_millis()).unwrap_or_default();
            Some((model["name"].as_str()?.to_owned(), Entry { expires, on_cpu }))
        };
        Self(models.iter().take(MODELS).filter_map(entry).collect())
    }

    /// Whether a model was used, or loaded, since `before`. One that went was not.
    pub fn was_used_since(&self, before: &Self) -> bool {
        // Also an expiry that went back: the clock on the wall was set, and the model used since.
        self.0.iter().any(|(name, now)| before.0.get(name).is_none_or(|then| (now.expires - then.expires).abs() > JITTER))
    }

    /// A model that lies in the machine's memory and not on its GPU.
    pub fn on_cpu(&self) -> Option<&str> {
        self.0.iter().find(|(_, entry)| entry.on_cpu).map(|(name, _)| name.as_str())
    }

    /// Nothing is loaded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Asks for what is loaded. `None`: it did not say; Ollama may be off.
pub(super) async fn look(node: &Node) -> Option<Loaded> {
    let reply = call(node, Method::GET, "/api/ps", Bytes::new()).await.ok()?;
    reply.status.is_success().then(|| Loaded::parse(&reply.body))
}

/// Has everything put down, and waits until it is; `false`: something still lies there.
pub(super) async fn unload(node: &Node) -> bool {
    let everything = async {
        while let Some(loaded) = look(node).await.filter(|loaded| !loaded.is_empty()) {
            for model in loaded.0.keys() {
                let body = json!({ "model": model, "keep_alive": 0 }).to_string();
                let _ = call(node, Method::POST, "/api/generate", Bytes::from(body)).await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::time::timeout(UNLOADS, everything).await.is_ok()
}

async fn call(node: &Node, method: Method, path: &str, body: Bytes) -> Result<Reply, Trouble> {
    let link = node.connect(CONNECT).await?;
    let path = format!("{}{path}", node.config().path_prefix);
    upstream::call_over(link, ANSWER, Call { method, path, host: node.host().clone(), authorization: None, body }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ps(models: &[(&str, &str, u64)]) -> Loaded {
        let models = models
            .iter()
            .map(|(name, expires, vram)| json!({ "name": name, "expires_at": expires, "size": 9, "size_vram": vram }));
        Loaded::parse(json!({ "models": models.collect::<Vec<_>>() }).to_string().as_bytes())
    }

    #[test]
    fn an_expiry_that_moved_or_a_new_model_is_somebody_s_use_and_one_that_went_is_not() {
        let [ten, later] = ["2026-11-21T10:00:00.5+01:00", "2026-11-21T09:05:00Z"];
        let before = ps(&[("a", ten, 9), ("b", later, 9)]);
        assert!(!before.was_used_since(&before));
        assert!(!ps(&[("a", ten, 9)]).was_used_since(&before));
        assert!(ps(&[("a", later, 9)]).was_used_since(&before));
        assert!(ps(&[("a", ten, 9), ("c", ten, 9)]).was_used_since(&before));
        assert!(!ps(&[("a", "2026-11-21T09:00:00.9Z", 9)]).was_used_since(&before), "the same, worked out anew");
        assert!(ps(&[("a", "2026-11-20T09:05:00Z", 9)]).was_used_since(&before), "used after the clock was set back");
    }

    #[test]
    fn a_model_without_video_memory_is_on_the_cpu() {
        assert_eq!(ps(&[("a", "", 9), ("b", "", 0)]).on_cpu(), Some("b"));
        assert_eq!(ps(&[("a", "", 3)]).on_cpu(), None);
        assert!(Loaded::parse(b"<html>").is_empty());
    }
}
