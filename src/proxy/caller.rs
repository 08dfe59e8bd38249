//! Who sends a request, and what his key lets him do.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Job, Proxy};
use crate::classify::{Ask, Class, Metadata};
use crate::config::KeyRules;
use crate::schedule::choose::Candidate;
use crate::values::{ClientId, Fault, Kind};

/// The client of a request, as the front has found it out.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its address; behind a proxy that is trusted, the one that the proxy tells.
    pub address: SocketAddr,
    /// By what its limits and turns are kept.
    pub id: ClientId,
    /// Its key, where keys are asked for.
    pub key: Option<Arc<KeyRules>>,
}

impl Caller {
    /// A client without a key.
    pub fn open(address: SocketAddr) -> Self {
        Self { address, id: ClientId::of_address(address.ip()), key: None }
    }

    /// Refuses models that the key does not open. With a key for certain models, whatever names none is refused too, but
    /// for lists.
    pub(super) fn may_ask(&self, ask: &Ask) -> Result<(), Fault> {
        let Some(key) = self.key.as_ref().filter(|key| !key.models.is_empty()) else { return Ok(()) };
        let names_one = !matches!(ask.class, Class::Metadata(_)) || matches!(ask.class, Class::Metadata(Metadata::Show { .. }));
        let refused = |what: String| Err(Fault::client(Kind::Forbidden, format!("the key {:?} does not open {what}", key.name)));
        let closed = ask.model.iter().chain(&ask.names).find(|name| !key.opens_model(name));
        match closed {
            Some(name) if names_one => refused(format!("the model {name:?}; ask the owner of this proxy")),
            None if names_one && ask.model.is_none() && ask.names.is_empty() => {
                refused("what names no model; ask the owner of this proxy".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a node or provider that the key does not open.
    pub(super) fn may_use(&self, node: &str) -> Result<(), Fault> {
        match self.key.as_ref().filter(|key| !key.opens_node(node)) {
            None => Ok(()),
            Some(key) => {
                let text = format!("the key {:?} does not open {node}; ask the owner of this proxy", key.name);
                Err(Fault::client(Kind::Forbidden, text))
            }
        }
    }

    /// Whether its key is for certain models only.
    pub(super) fn is_for_some_models(&self) -> bool {
        self.key.as_ref().is_some_and(|key| !key.models.is_empty())
    }

    /// Whether its key is for certain nodes only.
    pub(super) fn is_for_some_nodes(&self) -> bool {
        self.key.as_ref().is_some_and(|key| !key.nodes.is_empty())
    }

    /// Whether its key forbids waking.
    pub(super) fn never_wakes(&self) -> bool {
        self.key.as_ref().is_some_and(|key| !key.may_wake)
    }
}

impl Proxy {
    /// Leaves out nodes that the client's key does not open.
    pub(super) fn leave_closed_out(&self, job: &Job<'_>, candidates: &mut Vec<Candidate>) {
        if let Some(key) = job.caller.key.as_ref().filter(|key| !key.nodes.is_empty()) {
            candidates.retain(|node| self.0.fleet.at(node.index).is_some_and(|node| key.opens_node(node.name().as_str())));
        }
    }
}
