//! Mutations over several nodes: a delete or a copy acts on every node that holds the model, a create goes where its
//! blobs lie.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::admit::{self, Permission};
use super::send::{Begun, Payload};
use super::{Job, Proxy, Trace, reach};
use crate::classify::{Class, Mutation};
use crate::fleet::Node;
use crate::http::Body;
use crate::schedule::choose::{Holds, Tried};
use crate::values::{Fault, Kind, Retry};

/// So many blobs are remembered; a model has a handful, and a create follows its uploads at once.
const BLOBS: usize = 256;

/// Which node (by its slot) has which blob, as far as it passed through here. The last one known is the last.
#[derive(Default)]
pub(super) struct Blobs(Mutex<VecDeque<(String, usize)>>);

impl Blobs {
    fn learn(&self, digest: &str, index: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = (digest.to_owned(), index);
        known.retain(|other| *other != entry);
        if known.len() >= BLOBS {
            known.pop_front();
        }
        known.push_back(entry);
    }

    /// The nodes that have a blob.
    fn on(&self, digest: &str) -> BTreeSet<usize> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(other, _)| other == digest).map(|(_, index)| *index).collect()
    }
}

impl Proxy {
    /// Remembers where a blob lies.
    pub(super) fn learn_blob(&self, job: &Job<'_>, index: usize, status: StatusCode) {
        let blob = matches!(job.ask.class, Class::Mutation(Mutation::BlobUpload | Mutation::BlobHead));
        if let Some(digest) = job.head.uri.path().rsplit('/').next().filter(|_| blob && status.is_success()) {
            self.0.blobs.learn(digest, index);
        }
    }

    /// The only node that can serve a create: the one that has all its files. `None`: any can.
    ///
    /// # Errors
    /// `Conflict` when no node is known to have them all.
    pub(super) fn node_of_files(&self, job: &Job<'_>) -> Result<Option<Node>, Fault> {
        let nodes = self.0.fleet.nodes();
        let digests = match (&job.ask.class, &job.payload) {
            (Class::Mutation(Mutation::Create), Payload::Buffered(body)) if nodes.enabled().count() > 1 => digests(body.bytes()),
            _ => return Ok(None),
        };
        let holders = digests.iter().map(|digest| self.0.blobs.on(digest)).reduce(|all, more| &all & &more);
        let Some(holders) = holders else { return Ok(None) };
        let Some(holder) = nodes.enabled().find(|node| holders.contains(&node.slot())) else {
            let text = "no node is known to have all files of this create: upload its blobs again, all to one node; \
                        X-Ollama-Proxy-Node names one";
            return Err(Fault::client(Kind::Conflict, text));
        };
        Ok(Some(holder.clone()))
    }

    /// Carries a delete or a copy out on every node that holds the model. `None`: one node at most does, or the client
    /// names one, and the usual way is right.
    pub(super) async fn everywhere(&self, job: &Job<'_>, trace: &mut Trace) -> Option<Result<Response<Body>, Fault>> {
        if !matches!(self.named(job), Ok(None)) {
            return None;
        }
        let candidates = self.survey(&admit::need(job, None), |_| Tried::Not);
        let nodes = self.0.fleet.nodes();
        let holders = candidates.iter().filter(|node| node.takes_part() && node.model == Holds::Yes);
        let holders: Vec<Node> = holders.filter_map(|holder| nodes.at(holder.index).cloned()).collect();
        if holders.len() < 2 {
            return None;
        }
        Some(self.on_each(job, holders, trace).await)
    }

    async fn on_each(&self, job: &Job<'_>, holders: Vec<Node>, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let mut leave = Vec::new();
        // All or nothing as far as that can be known: who may not be reached stops it before anything was changed.
        for node in holders {
            let permission = self.permission(job, &node)?;
            self.may_connect(&node, permission)?;
            leave.push((node, permission));
        }
        // Those that sleep wake together; each attempt then waits for its own.
        for (node, permission) in &leave {
            if permission.may_wake() && !node.may_be_asked() {
                node.want(reach::want(job, trace)).await;
            }
        }
        let mut done: Option<(Node, Begun)> = None;
        let mut failures = Vec::new();
        for (node, permission) in leave {
            match self.on_one(job, &node, permission, trace).await {
                Ok(begun) => done = Some((node, begun)),
                Err(why) => failures.push(why),
            }
        }
        match done {
            Some((node, begun)) if failures.is_empty() => Ok(self.relay(&node, job, begun, trace)),
            _ => {
                let verb = if job.head.method == Method::DELETE { "deleted" } else { "copied" };
                let text = format!("not {verb} on every node that has the model: {}", failures.join("; "));
                Err(Fault::node(Kind::Died, Retry::Never, text))
            }
        }
    }

    /// On one node; why not, in words.
    async fn on_one(&self, job: &Job<'_>, node: &Node, permission: Permission, trace: &mut Trace) -> Result<Begun, String> {
        let name = node.name();
        let need = admit::need(job, Some(name.as_str()));
        let lease = self.0.scheduler.claim(node.slot(), &need);
        let lease = lease.ok_or_else(|| format!("node {name} failed too often just now, or was taken out"))?;
        trace.on_node(node);
        match self.attempt(node, permission, lease, job, trace).await {
            Ok(begun) if begun.status().is_success() => Ok(begun),
            Ok(begun) => Err(format!("node {name} answered {}", begun.status())),
            Err((failed, _lease)) => Err(failed.fault.text.into_owned()),
        }
    }
}

/// The digests of `files` and `adapters` of a create, whose values are `sha256:…`.
fn digests(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Create {
        #[serde(default)]
        files: Value,
        #[serde(default)]
        adapters: Value,
    }
    let Ok(create) = serde_json::from_slice::<Create>(body) else { return Vec::new() };
    let values = [create.files, create.adapters].into_iter().filter_map(|files| match files {
        Value::Object(files) => Some(files),
        _ => None,
    });
    values.flatten().filter_map(|(_, digest)| Some(digest.as_str()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digests_of_a_create_are_those_of_its_files_and_adapters() {
        let body = br#"{"model":"m","files":{"a.gguf":"sha256:aa"},"adapters":{"b":"sha256:bb"}}"#;
        assert_eq!(digests(body), ["sha256:aa", "sha256:bb"]);
        assert!(digests(br#"{"model":"m","from":"x","files":null}"#).is_empty());
        assert!(digests(b"no json").is_empty());
    }

    #[test]
    fn blobs_are_remembered_per_node_and_bounded() {
        let blobs = Blobs::default();
        blobs.learn("sha256:aa", 1);
        blobs.learn("sha256:aa", 2);
        blobs.learn("sha256:aa", 1);
        assert_eq!(blobs.on("sha256:aa"), BTreeSet::from([1, 2]));
        for number in 0..BLOBS {
            blobs.learn(&format!("sha256:{number}"), 0);
        }
        assert!(blobs.on("sha256:aa").is_empty());
        assert_eq!(blobs.0.lock().unwrap().len(), BLOBS);
    }
}
