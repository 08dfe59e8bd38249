//! The keeper's own calls to its node, and the life check that serves all silent requests.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Done, Keeper};
use crate::fleet::node::{Node, event_of};
use crate::upstream::{self, Call, Reply, Trouble};

/// A connect of ours while waking: longer would let the kernel's back-off hide the wake.
const DIAL: Duration = Duration::from_secs(1);

/// `/api/version` loads nothing and answers at once on any node that lives.
const VERSION: Duration = Duration::from_secs(2);

/// While a node of OpenAI's kind works, it is looked at again this often.
const AT_WORK: Duration = Duration::from_millis(250);

/// A sign of life that needs no repetition for the next request that asks.
const JUST_SEEN: Duration = Duration::from_secs(1);

/// Between the two tries of a life check.
const BETWEEN: Duration = Duration::from_secs(2);

/// Makes calls to one node; owned by the job that makes them.
#[derive(Clone)]
pub(super) struct Caller {
    node: Node,
    connect: Duration,
}

impl Caller {
    pub(super) fn new(node: &Node, connect: Duration) -> Self {
        Self { node: node.clone(), connect }
    }

    async fn call(&self, method: Method, path: &str, body: Bytes, limit: Duration) -> Result<Reply, Trouble> {
        let link = self.node.connect(self.connect).await?;
        let path = format!("{}{path}", self.node.config().path_prefix);
        let call = Call { method, path, host: self.node.host().clone(), body };
        upstream::call_over(link, limit, call).await
    }

    pub(super) async fn get(&self, path: &str, limit: Duration) -> Result<Reply, Trouble> {
        self.call(Method::GET, path, Bytes::new(), limit).await
    }

    pub(super) async fn post(&self, path: &str, body: Bytes, limit: Duration) -> Result<Reply, Trouble> {
        self.call(Method::POST, path, body, limit).await
    }

    /// Whether HTTP is spoken there: the proof that a wake is over.
    ///
    /// What is not Ollama has no version. Whatever it says of its health is an answer, but for the 503 by which llama.cpp
    /// tells that it still loads. Its list of models is no sign of life: some servers stop a generation for that question.
    pub(super) async fn version(mut self) -> Result<Reply, Trouble> {
        self.connect = self.connect.min(DIAL);
        if self.node.is_ollama() {
            return self.get("/api/version", VERSION).await;
        }
        let reply = self.get("/health", VERSION).await?;
        if reply.status == StatusCode::SERVICE_UNAVAILABLE && !self.node.works() { Err(Trouble::Silent) } else { Ok(reply) }
    }

    /// Waits until the node does nothing. `false`: it works on and on.
    pub(super) async fn is_at_rest(&self, limit: Duration) -> bool {
        let resting = async {
            while self.node.works() {
                tokio::time::sleep(AT_WORK).await;
            }
        };
        tokio::time::timeout(limit, resting).await.is_ok()
    }

    /// Whether it speaks Ollama's own API.
    pub(super) fn calls_ollama(&self) -> bool {
        self.node.is_ollama()
    }

    /// Two tries, so that one lost packet condemns nobody.
    async fn life(self) -> Result<Reply, Trouble> {
        if let Ok(reply) = self.clone().version().await {
            return Ok(reply);
        }
        tokio::time::sleep(BETWEEN).await;
        self.version().await
    }
}

impl Keeper {
    pub(super) fn check_life(&mut self, tell: oneshot::Sender<bool>) {
        // Requests that fell silent together do not ask in the same instant: the first one's check is theirs too.
        if self.node.last_seen().is_some_and(|seen| seen.elapsed() < JUST_SEEN) {
            let _ = tell.send(true);
            return;
        }
        self.life.push(tell);
        if self.life.len() == 1 {
            let caller = self.caller();
            self.begin_job(async move { Done::Alive(caller.life().await) });
        }
    }

    pub(super) fn life_checked(&mut self, result: Result<Reply, Trouble>, began: Instant) {
        let alive = match result {
            Ok(reply) => {
                self.answered(&reply);
                true
            }
            // Another request was answered while the check ran: what it missed is old news.
            Err(_) if self.node.answered_since(began) => true,
            Err(trouble) => {
                // Connected and yet silent twice: no working Ollama, whatever its kernel says.
                let event = event_of(&trouble).unwrap_or(super::Event::NoAnswer);
                self.observe(event, Some(format!("two life checks failed: {trouble}")));
                false
            }
        };
        self.publish();
        for tell in self.life.drain(..) {
            let _ = tell.send(alive);
        }
    }
}
