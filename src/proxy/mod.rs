//! The way of a request, as one list:
//!
//! 1. **read** the whole bounded body (413, 503), except blobs and large forms, which stream
//! 2. **classify** it into an ask (pure)
//! 3. **answer from the cloud** what asks for a provider's model; no node is asked
//!    else **from the catalog** what needs no GPU
//! 4. **admit**: which node serves, may it be woken, is there a place (404, 503)
//! 5. **reach** the node: connect, hedge, wait for its wake (504)
//! 6. **send**, watching its silence (law 3)
//! 7. **relay** the answer byte for byte, with the guards in the body
//! 8. **account**: one line, on the end or on the drop
//!
//! Steps 4 to 6 are one attempt. Until the first byte has gone to the client an attempt may be repeated as the table in
//! `failover` says; every await may be the last, since hyper drops all of this when the client leaves.

mod account;
mod admit;
mod caller;
mod cloud;
mod cloud_body;
mod cloud_lists;
mod everywhere;
mod explain;
mod failover;
mod intake;
mod local;
mod metrics;
mod reach;
mod refusal;
mod relay;
mod send;
mod source;
mod stand_in;
mod tally;
mod tries;
mod wake_budget;
mod wording;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::sync::{Semaphore, watch};

use crate::classify::{Ask, Class, Mutation};
use crate::config::{FallbackWait, Limits, Timeouts, WakeRules};
use crate::fleet::{Fleet, Node};
use crate::http::{Body, Budget, headers, reply};
use crate::provider::{Providers, Refusals};
use crate::schedule::{Lease, Scheduler};
use crate::values::{Dialect, Fault, Kind, Retry, Whose};
pub use account::Trace;
use admit::{Admission, Permission};
pub use caller::Caller;
use everywhere::Blobs;
use failover::{Consequence, Ending};
pub use metrics::Metrics;
pub use refusal::{Filled, Refusal};
use send::{Begun, Failed, Payload};
use stand_in::Patience;
use tries::Tries;
use wake_budget::WakeBudget;

/// The proxy, shared by all requests.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    fleet: Fleet,
    scheduler: Scheduler,
    settings: Settings,
    metrics: Metrics,
    budget: Budget,
    blobs: Blobs,
    held: Arc<Semaphore>,
    wakes: WakeBudget,
    /// By models of nodes that speak OpenAI's dialect.
    refusals: Refusals,
    via: HeaderValue,
    end: watch::Receiver<bool>,
}

/// What the proxy goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of waiting.
    pub timeouts: Timeouts,
    /// Bounds.
    pub limits: Limits,
    /// Who may not wake.
    pub wake: WakeRules,
    /// Wakes per hour that one client may cause; `None`: without end.
    pub wakes_per_hour: Option<u32>,
    /// How long a cached answer is fresh.
    pub cache_ttl: Duration,
    /// Setting `--health-interval 0`: metadata is forwarded instead of kept.
    pub no_own_calls: bool,
    /// Cloud providers.
    pub providers: Providers,
    /// Whether their models stand in the lists of models.
    pub list_cloud_models: bool,
    /// What a client is told, and its owner can do, while there is no node.
    pub nobody: &'static str,
    /// Whether OpenAI clients' chats are put to Ollama nodes in Ollama's own words.
    pub repair_v1: bool,
    /// How long a model is waited for before another stands in; `None`: none ever does.
    pub fallback_wait: Option<FallbackWait>,
    /// Names this process in `Via`, to recognise loops.
    pub instance: String,
}

/// A request that needs a node.
struct Job<'a> {
    head: &'a Parts,
    id: HeaderValue,
    payload: Payload,
    ask: Ask,
    caller: Caller,
    /// Set while another model could stand in.
    patience: Option<Patience>,
}

/// A request that was read and classified.
struct Question<'a> {
    head: &'a Parts,
    ask: Ask,
    payload: Payload,
    bytes: &'a Bytes,
    caller: Caller,
}

impl Proxy {
    /// `end` turns true when the process is asked to end; then held requests are told.
    pub fn new(fleet: Fleet, scheduler: Scheduler, settings: Settings, metrics: Metrics, end: watch::Receiver<bool>) -> Self {
        fleet.nodes().enabled().for_each(|node| metrics.expect(node));
        let budget = Budget::new(settings.limits.buffer);
        let held = Arc::new(Semaphore::new(settings.limits.held));
        let via =
            HeaderValue::from_str(&format!("1.1 {}", settings.instance)).unwrap_or(HeaderValue::from_static("1.1 ollama-proxy"));
        let (blobs, wakes, refusals) = (Blobs::default(), WakeBudget::new(settings.wakes_per_hour), Refusals::default());
        Self(Arc::new(Shared { fleet, scheduler, settings, metrics, budget, blobs, held, wakes, refusals, via, end }))
    }

    /// Resolves when the process is asked to end, with what whoever waits is told.
    pub async fn ends(&self) -> Fault {
        let _ = self.0.end.clone().wait_for(|asked| *asked).await;
        let text = "the proxy is shutting down; try again in a moment";
        Fault::ours(Kind::Draining, Retry::After(Duration::from_secs(5)), text)
    }

    /// The nodes.
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// What is missing while there is no node at all, in words.
    pub fn nobody(&self) -> &'static str {
        self.0.settings.nobody
    }

    /// Who chooses among them.
    pub fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    /// What is counted of requests.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Answers any request; every fault becomes a reply in the client's dialect.
    pub async fn handle(&self, request: Request<Incoming>, caller: Caller) -> Response<Body> {
        let dialect = Dialect::of_path(request.uri().path());
        let mut trace = Trace::begin(&request, caller.address, self.0.metrics.clone(), self.0.fleet.journal());
        let id = trace.id().clone();
        let mut response = match self.answer(request, caller, &mut trace).await {
            Ok(response) => response,
            Err(fault) => {
                trace.failed(&fault);
                reply::fault(&fault, dialect)
            }
        };
        trace.replied(response.status());
        response.headers_mut().insert(headers::REQUEST_ID, id);
        response
    }

    async fn answer(&self, request: Request<Incoming>, caller: Caller, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let (head, incoming) = request.into_parts();
        self.refuse_loops(&head)?;
        let taken = self.take_in(&head, incoming, &caller, trace).await;
        let (payload, bytes) = taken.inspect_err(|fault| self.count_refused(fault))?;
        let mut ask = intake::ask_of(&head, &bytes).await;
        ask.replayable &= matches!(payload, Payload::Buffered(_));
        trace.classified(&ask);
        let others = self.stand_ins(&ask, &head);
        let question = Question { head: &head, ask, payload, bytes: &bytes, caller };
        if others.is_empty() {
            return self.answer_one(question, None, trace).await;
        }
        Box::pin(self.answer_or_stand_in(question, others, trace)).await
    }

    async fn answer_one(
        &self,
        question: Question<'_>,
        patience: Option<Patience>,
        trace: &mut Trace,
    ) -> Result<Response<Body>, Fault> {
        let Question { head, ask, payload, bytes, caller } = question;
        // Of a model that stands in, too.
        caller.may_ask(&ask).inspect_err(|_| self.0.metrics.refused(Refusal::Model))?;
        // Ways that few requests go are boxed, lest all others carry the room for them about.
        if !self.0.settings.providers.all().is_empty() {
            if let Some(answer) = Box::pin(self.answer_from_cloud(&ask, head, bytes, &caller, trace)).await? {
                return Ok(answer);
            }
        }
        if let Some(answer) = Box::pin(self.answer_from_catalog(&ask, head, bytes)).await? {
            return Ok(answer);
        }
        let job = Job { head, id: trace.id().clone(), payload, ask, caller, patience };
        let served = match self.0.settings.timeouts.request_limit {
            Some(limit) => {
                let served = tokio::time::timeout(limit, Box::pin(self.serve(&job, trace))).await;
                served.unwrap_or_else(|_| Err(over_the_limit(limit)))
            }
            None => self.serve(&job, trace).await,
        };
        match (&job.ask.class, served) {
            (Class::Unload(shape), Err(fault)) if matches!(fault.kind, Kind::Asleep | Kind::Refusing | Kind::WakeFailed) => {
                Ok(local::unloaded(*shape, &job.ask))
            }
            (Class::Metadata(_), Ok(list)) => self.with_cloud_models_behind(&job.ask, &head.method, list).await,
            (_, served) => served,
        }
    }

    /// Attempts until one succeeds, one fails for good, or nobody is left; then the last answer, or the reasons of all.
    async fn serve(&self, job: &Job<'_>, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        if let Class::Mutation(Mutation::Copy | Mutation::Delete) = job.ask.class {
            if let Some(answer) = Box::pin(self.everywhere(job, trace)).await {
                return answer;
            }
        }
        let mut tries = Tries::default();
        // The last answer that another node is to better.
        let mut kept: Option<(Node, Begun)> = None;
        for number in 1..=self.0.settings.limits.attempts {
            let admission = match self.admit(job, &tries, trace).await {
                Ok(Some(admission)) => admission,
                Err(fault) if tries.count() == 0 => return Err(fault),
                Ok(None) | Err(_) => break,
            };
            let Admission { node, permission, lease } = admission;
            let index = lease.index();
            trace.on_node(&node);
            if let Some((last, before)) = tries.last().and_then(|last| Some((last, self.0.fleet.at(last)?))) {
                before.metrics().retried(last != index);
            }
            let outcome = self.attempt(&node, permission, lease, job, trace).await;
            match judge(&node, permission, outcome) {
                Ok((consequence, begun)) if !tries::goes_on(consequence, job.may_be_repeated()) => {
                    self.learn_blob(job, index, begun.status());
                    return Ok(self.relay(&node, job, begun, trace));
                }
                Ok((consequence, mut begun)) => {
                    let why = format!("node {} answered {}", node.name(), begun.status());
                    tracing::debug!(node = %node.name(), number, why, "attempt failed");
                    tries.answered(index, consequence.next, why);
                    begun.give_back();
                    kept = Some((node, begun));
                }
                Err((consequence, fault)) if !tries::goes_on(consequence, job.may_be_repeated()) => {
                    if kept.is_some() {
                        break;
                    }
                    return Err(fault);
                }
                Err((consequence, fault)) => {
                    tracing::debug!(node = %node.name(), number, %fault, "attempt failed");
                    tries.failed(index, consequence.next, fault);
                }
            }
        }
        if let Some((node, begun)) = kept {
            trace.on_node(&node);
            if job.patience.is_some() {
                let text = format!("node {} answered {}", node.name(), begun.status());
                return Err(Fault::node(Kind::Died, Retry::Now, text));
            }
            return Ok(self.relay(&node, job, begun, trace));
        }
        Err(self.nobody_left(job, tries))
    }

    fn count_refused(&self, body: &Fault) {
        if let Some(reason) = Refusal::of_body(body) {
            self.0.metrics.refused(reason);
        }
    }

    fn refuse_loops(&self, head: &Parts) -> Result<(), Fault> {
        if headers::passed_here_before(&head.headers, &self.0.settings.instance) {
            let text = "this request came back to the proxy it was sent by: the node's address points at the proxy itself; set OLLAMA_URL to the GPU PC";
            return Err(Fault { kind: Kind::Loop, whose: Whose::Us, retry: Retry::Never, text: text.into() });
        }
        Ok(())
    }
}

/// What follows from an attempt, and its weight against the node. The lease is given back unless the answer has it.
fn judge(
    node: &Node,
    permission: Permission,
    outcome: Result<Begun, (Failed, Lease)>,
) -> Result<(Consequence, Begun), (Consequence, Fault)> {
    match outcome {
        Ok(mut begun) => {
            let ending = begun.ending();
            if tries::is_to_blame(ending, node) {
                node.count_failure();
                begun.failed();
            }
            Ok((ending.consequence(), begun))
        }
        Err((Failed { ending, fault }, mut lease)) => {
            let spared = permission == Permission::Spare && ending == Ending::Asleep;
            let ending = if spared { Ending::Unanswered } else { ending };
            if fault.whose == Whose::Node {
                node.count_failure();
            }
            if tries::is_to_blame(ending, node) {
                lease.failed();
            }
            Err((ending.consequence(), fault))
        }
    }
}

fn over_the_limit(limit: Duration) -> Fault {
    let text = format!("no answer within --request-limit ({})", humantime::format_duration(limit));
    Fault::node(Kind::Timeout, Retry::Never, text)
}

impl Job<'_> {
    /// Whether sending it again does no harm: an inference, or anything of which no byte was sent.
    fn may_be_repeated(&self) -> bool {
        self.ask.replayable || self.payload.unsent()
    }
}
