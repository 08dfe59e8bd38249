//! Whether an ask may wake a machine, and which node shall serve it.

use hyper::header;

use super::{Job, Proxy};
use crate::catalog::{self, Listed};
use crate::classify::{Class, Mutation};
use crate::fleet::power::Power;
use crate::fleet::{Node, View};
use crate::http::headers;
use crate::schedule::{self, Candidate, Holds, Readiness};
use crate::values::{Fault, Kind, ModelName, Retry};

/// How far an ask may go to reach a node that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may wake it.
    Wake,
    /// It may connect, and takes silence for an answer.
    Connect,
    /// It may connect only while the node is probably awake: a SYN wakes many Windows PCs.
    ProbablyAwake,
    /// It may not even connect, so that polling it lets the node become dormant.
    InUseOnly,
}

impl Proxy {
    /// The node for the next attempt with what the ask may do there; `None` when all attempts are used up.
    ///
    /// # Errors
    /// `NoNode` without nodes, `NotFound` in Ollama's words for a model that no sleeping node lists.
    pub(super) fn admit(&self, job: &Job<'_>, failed: &[usize]) -> Result<Option<(usize, Permission)>, Fault> {
        let nodes = self.0.fleet.nodes();
        if nodes.is_empty() {
            let text = "no Ollama node is set: start the proxy with OLLAMA_URL=http://<address of the GPU PC>:11434";
            return Err(Fault::ours(Kind::NoNode, Retry::Never, text));
        }
        let named = job.head.headers.get(headers::NODE).map(|name| name.to_str().unwrap_or_default());
        if let Some(name) = named.filter(|name| self.0.fleet.find(name).is_none()) {
            let known: Vec<String> = nodes.iter().map(|node| node.name().to_string()).collect();
            let text = format!("there is no node {name:?}; nodes are {}", known.join(", "));
            return Err(Fault::client(Kind::NotFound, text));
        }
        let candidates: Vec<Candidate> = nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| named.is_none_or(|name| node.name().as_str() == name))
            .map(|(index, node)| self.candidate(job, index, node, failed))
            .collect();
        let Some(index) = schedule::choose(&candidates) else { return Ok(None) };
        let permission = self.permission(job, &nodes[index])?;
        Ok(Some((index, permission)))
    }

    fn candidate(&self, job: &Job<'_>, index: usize, node: &Node, failed: &[usize]) -> Candidate {
        let view = node.view();
        let model = match &job.ask.model {
            None => Holds::Unknown,
            Some(name) => holds(node, &view, name),
        };
        let failed = failed.iter().filter(|other| **other == index).count();
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        Candidate { index, model, readiness: self.readiness(node, &view), seen: node.last_seen(), failed }
    }

    fn readiness(&self, node: &Node, view: &View) -> Readiness {
        match &view.power {
            Power::Waking(_) => Readiness::Waking,
            Power::Awake if node.may_be_asked() => Readiness::Awake,
            Power::Awake if self.probably_awake(node) => Readiness::ProbablyAwake,
            Power::Awake
            | Power::Unknown
            | Power::ServiceDown(_)
            | Power::Asleep
            | Power::Suspending { .. }
            | Power::WakeFailed { .. } => Readiness::Asleep,
        }
    }

    /// It answered within `--quiet-after` and nothing has told otherwise since.
    pub(super) fn probably_awake(&self, node: &Node) -> bool {
        let quiet = self.0.settings.timeouts.quiet_after;
        node.view().power == Power::Awake && node.last_seen().is_some_and(|seen| seen.elapsed() < quiet)
    }

    /// What the ask may do to reach a node. A node in use may have fallen asleep since it was heard of, so what never
    /// wakes is refused the wake here too.
    fn permission(&self, job: &Job<'_>, node: &Node) -> Result<Permission, Fault> {
        match job.ask.class {
            Class::Metadata(_) | Class::Other { may_wake: false } => return Ok(Permission::InUseOnly),
            // It waits for a wake that is under way, and begins none.
            Class::Unload(_) if node.view().power.in_progress() => return Ok(Permission::Wake),
            Class::Unload(_) => return Ok(Permission::Connect),
            Class::Inference | Class::Mutation(_) | Class::Other { may_wake: true } => {}
        }
        if node.may_be_asked() {
            return Ok(Permission::Wake.unless(self.forbidden(job)));
        }
        match job.ask.class {
            Class::Mutation(Mutation::BlobUpload | Mutation::BlobHead | Mutation::Pull | Mutation::Push | Mutation::Create) => {
                Ok(Permission::Wake.unless(self.forbidden(job)))
            }
            _ => self.permission_by_model(job, node),
        }
    }

    /// A sleeping node is woken only for a model it may have: a wrong name is told at once.
    fn permission_by_model(&self, job: &Job<'_>, node: &Node) -> Result<Permission, Fault> {
        if job.ask.malformed {
            return Err(Fault::client(Kind::BadRequest, "the request body is not valid JSON"));
        }
        let forbidden = self.forbidden(job);
        let other = matches!(job.ask.class, Class::Other { .. });
        let Some(name) = job.ask.model.as_deref() else {
            return if other { Ok(Permission::InUseOnly) } else { Err(Fault::client(Kind::BadRequest, "model is required")) };
        };
        let cloud = ModelName::parse(name).is_some_and(|name| name.is_cloud());
        match self.listed(name) {
            Listed::Yes => Ok(Permission::Wake.unless(forbidden)),
            Listed::Unknown | Listed::No if other => Ok(Permission::InUseOnly),
            Listed::Unknown => Ok(Permission::Wake.unless(forbidden)),
            // Cloud models work without being listed.
            Listed::No if cloud => Ok(Permission::Wake.unless(forbidden)),
            // It may have been pulled on the machine itself a moment ago.
            Listed::No if self.probably_awake(node) => Ok(Permission::Connect),
            Listed::No => Err(unlisted(job, name)),
        }
    }

    /// What a sleeping node cannot tell, the catalog does: the model that was asked for is on no node.
    pub(super) fn missing(&self, job: &Job<'_>) -> Option<Fault> {
        let name = job.ask.model.as_deref()?;
        (self.listed(name) == Listed::No).then(|| unlisted(job, name))
    }

    fn listed(&self, name: &str) -> Listed {
        let views: Vec<_> = self.0.fleet.nodes().iter().map(|node| (node, node.view())).collect();
        let views: Vec<_> =
            views.iter().map(|(node, view)| catalog::View { node: node.name(), holding: &view.holding }).collect();
        catalog::listed(&views, name)
    }

    /// Whether the client or the settings forbid waking for this request.
    fn forbidden(&self, job: &Job<'_>) -> bool {
        let rules = &self.0.settings.wake;
        let header =
            |name| job.head.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or_default();
        header(headers::WAKE).eq_ignore_ascii_case("never")
            || rules.never_paths.iter().any(|glob| glob.matches(job.head.uri.path()))
            || rules.never_clients.iter().any(|range| range.contains(job.client.ip()))
            || rules.never_agents.iter().any(|glob| glob.matches(header(header::USER_AGENT)))
    }
}

impl Permission {
    /// Who may not wake may not connect to a sleeper either.
    fn unless(self, forbidden: bool) -> Self {
        if forbidden { Self::ProbablyAwake } else { self }
    }
}

/// 404 in Ollama's words.
fn unlisted(job: &Job<'_>, name: &str) -> Fault {
    Fault::client(Kind::NotFound, catalog::not_found_text(job.ask.route, name))
}

fn holds(node: &Node, view: &View, name: &str) -> Holds {
    match catalog::listed(&[catalog::View { node: node.name(), holding: &view.holding }], name) {
        Listed::Yes => Holds::Yes,
        Listed::Unknown => Holds::Unknown,
        Listed::No => Holds::No,
    }
}
