//! Which node shall serve an ask and what it may do there: choose, wait for a place, ask leave to wake.

use std::time::Duration;

use hyper::header;
use tokio::time::Instant;

use super::metrics::{Reason, Wait};
use super::tries::Tries;
use super::{Job, Proxy, Refusal, Trace};
use crate::catalog::{self, Listed};
use crate::classify::{Class, Mutation};
use crate::fleet::Node;
use crate::fleet::power::Power;
use crate::http::headers;
use crate::schedule::choose::{Choice, Order, Terms};
use crate::schedule::{Lease, Need, Queued};
use crate::values::{Fault, Kind, ModelName, Retry};

/// While waiting, the nodes are looked at again this often: one may have come or gone.
const LOOK: Duration = Duration::from_secs(1);

/// How far an ask may go to reach a node that is not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// It may wake it.
    Wake,
    /// It may wake it, but need not wait for Ollama to start there: another node is left.
    WakeOrMoveOn,
    /// It may connect, and takes silence for an answer.
    Connect,
    /// It may connect, as long as the node is awake: should it sleep, another one that is awake shall serve.
    Spare,
    /// It may connect only while the node is probably awake: a SYN wakes many Windows PCs.
    ProbablyAwake,
    /// It may not even connect, so that polling it lets the node become dormant.
    InUseOnly,
}

/// Leave to make one attempt.
pub(super) struct Admission {
    pub(super) node: Node,
    pub(super) permission: Permission,
    pub(super) lease: Lease,
}

impl Proxy {
    /// A place on the best node with what the ask may do there; `None` when nobody is left.
    ///
    /// Waits while all that could serve are full, first come, first served. Leaving the wait loses nothing.
    ///
    /// # Errors
    /// `NoNode` without nodes, `NotFound` in Ollama's words for a model that no sleeping node lists, `Busy` when too many
    /// wait or it took too long.
    pub(super) async fn admit(&self, job: &Job<'_>, tries: &Tries, trace: &mut Trace) -> Result<Option<Admission>, Fault> {
        let (named, of_files) = match self.named(job)? {
            Some(name) => (Some(name), None),
            None => (None, self.node_of_files(job)?),
        };
        let need = need(job, named.or(of_files.as_ref().map(|node| node.name().as_str())));
        // The last attempt may wake what the others only tried.
        let is_last = tries.count() + 1 >= self.0.settings.limits.attempts as usize;
        let mut waiting: Option<Waiting> = None;
        loop {
            let mut candidates = self.shortlist(&need, |index| tries.on(index));
            self.leave_closed_out(job, &mut candidates);
            let terms = self.terms(job, waiting.as_ref());
            let admission = match self.0.scheduler.choose(&candidates, &terms) {
                Choice::Nobody => return Ok(None),
                Choice::Serve { index, gently, others } => match self.0.fleet.at(index) {
                    Some(node) => {
                        let permission = self.permission(job, &node)?.among(gently && !is_last, others);
                        self.0.scheduler.claim(index, &need).map(|lease| Admission { node, permission, lease })
                    }
                    None => None,
                },
                Choice::Wait { on, spill_in } => {
                    trace.holds(Reason::Capacity);
                    let up = candidates.iter().filter(|node| on.contains(&node.index) && node.readiness.is_up() && !is_last);
                    let up = up.map(|node| node.index).collect();
                    let aim = Aim { on, up, spill_in };
                    Box::pin(self.wait_for_place(job, &need, &mut waiting, &aim)).await?
                }
            };
            if let Some(admission) = admission {
                if let Some(waiting) = waiting {
                    trace.was_held(Reason::Capacity, waiting.wait.so_far());
                }
                return Ok(Some(admission));
            }
            // Somebody else was faster, or the nodes are others now: look again, and let whoever changes them come first.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for a place on one of the nodes; `None` when the nodes are to be looked at again.
    async fn wait_for_place(
        &self,
        job: &Job<'_>,
        need: &Need<'_>,
        waiting: &mut Option<Waiting>,
        aim: &Aim,
    ) -> Result<Option<Admission>, Fault> {
        let comes = waiting.is_none();
        if comes {
            let (place, wait) = (self.hold()?, self.0.metrics.waits(Reason::Capacity));
            *waiting = Some(Waiting { _place: place, wait, queued: self.0.scheduler.queue(job.caller.id) });
        }
        let Some(Waiting { queued, .. }) = waiting else { return Ok(None) };
        queued.wait_on(&aim.on);
        // Only now is it known who came before: perhaps so many that waking another node is faster.
        if comes && queued.ahead() > 0 {
            return Ok(None);
        }
        let Some(lease) = self.turn(job, queued, aim.spill_in, need).await? else { return Ok(None) };
        let Some(node) = self.0.fleet.at(lease.index()) else {
            queued.rejoin();
            return Ok(None);
        };
        let gently = aim.up.contains(&lease.index()) && aim.up.len() > 1;
        let permission = self.permission(job, &node)?.among(gently, aim.on.len() > 1);
        Ok(Some(Admission { node, permission, lease }))
    }

    /// The node that the client names.
    pub(super) fn named<'a>(&self, job: &Job<'a>) -> Result<Option<&'a str>, Fault> {
        let nodes = self.0.fleet.nodes();
        if nodes.enabled().next().is_none() {
            let text = match nodes.len() {
                0 => self.0.settings.nobody,
                _ => "every node is disabled in the node file, or is a worker that is leaving",
            };
            return Err(Fault::ours(Kind::NoNode, Retry::Never, text));
        }
        let named = job.head.headers.get(headers::NODE).map(|name| name.to_str().unwrap_or_default());
        let Some(name) = named else { return Ok(None) };
        job.caller.may_use(name).inspect_err(|_| self.0.metrics.refused(Refusal::Node))?;
        match nodes.find(name) {
            Some(node) if node.config().enabled => Ok(named),
            Some(_) => {
                let text = format!("node {name} is disabled in the node file; leave X-Ollama-Proxy-Node out or name another");
                Err(Fault::ours(Kind::NoNode, Retry::Never, text))
            }
            None => {
                let known: Vec<String> = nodes.iter().map(|node| node.name().to_string()).collect();
                let text = format!("there is no node {name:?}; nodes are {}", known.join(", "));
                Err(Fault::client(Kind::NotFound, text))
            }
        }
    }

    fn terms(&self, job: &Job<'_>, waiting: Option<&Waiting>) -> Terms {
        let rules = self.0.scheduler.rules();
        Terms {
            fallback: rules.fallback,
            order: match job.ask.class {
                Class::Mutation(Mutation::Pull) => Order::BestFit,
                Class::Mutation(_) => Order::First,
                Class::Metadata(_) | Class::Unload(_) | Class::Inference | Class::Other { .. } => Order::By(rules.strategy),
            },
            may_wake: !self.forbidden(job),
            waited: waiting.map_or(Duration::ZERO, |waiting| waiting.queued.waited()),
            ahead: waiting.map_or(0, |waiting| waiting.queued.ahead()),
        }
    }

    /// Waits for its turn; `None` when it is time to look at the nodes again.
    async fn turn(
        &self,
        job: &Job<'_>,
        queued: &mut Queued,
        spill_in: Option<Duration>,
        need: &Need<'_>,
    ) -> Result<Option<Lease>, Fault> {
        let limit = self.0.settings.timeouts.queue;
        let Some(left) = limit.checked_sub(queued.waited()) else {
            let limit = humantime::format_duration(limit);
            self.0.metrics.refused(Refusal::QueueWait);
            let text = format!("every node that could serve this was busy for {limit} (--queue-wait); try again later");
            return Err(Fault::ours(Kind::Busy, Retry::After(Duration::from_secs(10)), text));
        };
        let left = match job.patience {
            Some(patience) => {
                left.min(patience.left(queued.waited()).ok_or_else(|| patience.over("every node that has it is busy, and"))?)
            }
            None => left,
        };
        let look = Instant::now() + spill_in.unwrap_or(LOOK).min(LOOK).min(left);
        tokio::select! {
            lease = queued.turn(need) => Ok(lease),
            () = tokio::time::sleep_until(look) => Ok(None),
            fault = self.ends() => Err(fault),
        }
    }

    /// It answered within `--quiet-after` and nothing has told otherwise since.
    pub(super) fn probably_awake(&self, node: &Node) -> bool {
        let quiet = self.0.settings.timeouts.quiet_after;
        node.view().power == Power::Awake && node.last_seen().is_some_and(|seen| seen.elapsed() < quiet)
    }

    /// What the ask may do to reach a node. A node in use may have fallen asleep since it was heard of, so what never
    /// wakes is refused the wake here too.
    pub(super) fn permission(&self, job: &Job<'_>, node: &Node) -> Result<Permission, Fault> {
        match job.ask.class {
            Class::Metadata(_) | Class::Other { may_wake: false } => return Ok(Permission::InUseOnly),
            // It waits for a wake that is under way, and begins none.
            Class::Unload(_) if node.view().power.in_progress() => return Ok(Permission::Wake),
            Class::Unload(_) => return Ok(Permission::Connect),
            Class::Inference | Class::Mutation(_) | Class::Other { may_wake: true } => {}
        }
        let asked = match job.ask.class {
            Class::Mutation(Mutation::BlobUpload | Mutation::BlobHead | Mutation::Pull | Mutation::Push | Mutation::Create) => {
                unfit(job).map_or_else(|| Ok(Permission::Wake.unless(self.forbidden(job))), Err)
            }
            _ => self.permission_by_model(job, node),
        };
        // It answers whatever it likes, as an Ollama without us. Should it sleep by now, what wakes no sleeper does not wake it.
        if node.may_be_asked() { Ok(asked.unwrap_or(Permission::ProbablyAwake)) } else { asked }
    }

    /// A sleeping node is woken only for a model it may have: a wrong name is told at once.
    fn permission_by_model(&self, job: &Job<'_>, node: &Node) -> Result<Permission, Fault> {
        if let Some(fault) = unfit(job) {
            return Err(fault);
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

    /// What a sleeping node cannot tell, we do: the body cannot be read, or the model that was asked for is on no node.
    pub(super) fn missing(&self, job: &Job<'_>) -> Option<Fault> {
        let unlisted = |name| (self.listed(name) == Listed::No).then(|| unlisted(job, name));
        unfit(job).or_else(|| unlisted(job.ask.model.as_deref()?))
    }

    fn listed(&self, name: &str) -> Listed {
        self.0.fleet.listed(name)
    }

    /// Whether the client or the settings forbid waking for this request.
    fn forbidden(&self, job: &Job<'_>) -> bool {
        let rules = &self.0.settings.wake;
        let header =
            |name| job.head.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).unwrap_or_default();
        header(headers::WAKE).eq_ignore_ascii_case("never")
            || rules.never_paths.iter().any(|glob| glob.matches(job.head.uri.path()))
            || rules.never_clients.iter().any(|range| range.contains(job.caller.address.ip()))
            || job.caller.never_wakes()
            || rules.never_agents.iter().any(|glob| glob.matches(header(header::USER_AGENT)))
    }
}

/// What every Ollama refuses, so none is woken for it.
fn unfit(job: &Job<'_>) -> Option<Fault> {
    job.ask.malformed.then(|| Fault::client(Kind::BadRequest, "the request body is not valid JSON"))
}

impl Permission {
    /// Who may not wake may not connect to a sleeper either.
    fn unless(self, forbidden: bool) -> Self {
        if forbidden { Self::ProbablyAwake } else { self }
    }

    /// With another node awake nobody is woken, and with another one left nobody waits for Ollama to start.
    fn among(self, gently: bool, others: bool) -> Self {
        match self {
            Self::Wake if gently => Self::Spare,
            Self::Wake if others => Self::WakeOrMoveOn,
            _ => self,
        }
    }

    /// Whether it may wake the node.
    pub(super) fn may_wake(self) -> bool {
        matches!(self, Self::Wake | Self::WakeOrMoveOn)
    }
}

/// 404 in Ollama's words.
fn unlisted(job: &Job<'_>, name: &str) -> Fault {
    Fault::client(Kind::NotFound, catalog::not_found_text(job.ask.route, name))
}

/// What a request waits for.
struct Aim {
    /// A place on one of these.
    on: Vec<usize>,
    /// Those of them that are up: should one of several turn out to sleep, the others are still worth waiting for.
    up: Vec<usize>,
    /// The time until another look may find it faster to wake somebody.
    spill_in: Option<Duration>,
}

/// A request in the waiting room, with its share of what may be held.
struct Waiting {
    _place: tokio::sync::OwnedSemaphorePermit,
    wait: Wait,
    queued: Queued,
}

/// What an ask needs of a node. A pull or a blob is for a node that does not have it yet.
pub(super) fn need<'a>(job: &'a Job<'_>, named: Option<&'a str>) -> Need<'a> {
    let (model, key) = (job.ask.model.as_deref(), job.ask.key.as_ref());
    let of_model = |takes_place| match model {
        Some(name) => Need::of_model(name, job.ask.preload.as_ref(), takes_place).by(key),
        None => Need::of_any(takes_place),
    };
    // Paths of Ollama's own API that are no talk and no embedding mean nothing to other servers.
    let of_ollama = match job.ask.class {
        Class::Inference => false,
        Class::Other { .. } => job.head.uri.path().starts_with("/api/"),
        Class::Metadata(_) | Class::Unload(_) | Class::Mutation(_) => true,
    };
    let need = match job.ask.class {
        Class::Mutation(Mutation::Pull) => Need::of_size(model).by(key),
        Class::Mutation(Mutation::BlobUpload | Mutation::BlobHead) => Need::default(),
        Class::Mutation(Mutation::Create) => {
            job.ask.names.first().map_or_else(|| Need::of_any(false), |from| Need::of_model(from, None, false))
        }
        Class::Inference => of_model(true),
        Class::Mutation(Mutation::Push | Mutation::Copy | Mutation::Delete)
        | Class::Metadata(_)
        | Class::Unload(_)
        | Class::Other { .. } => of_model(false),
    };
    let need = need.only(named);
    if of_ollama { need.of_ollama() } else { need }
}
