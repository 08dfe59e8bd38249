//! A cheap handle on one node: read its view, report evidence, say what is wanted.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::View;
use super::energy::{KeptLedger, Seconds};
use super::metrics::NodeMetrics;
use super::power::{Event, Power};
use crate::classify::Preload;
use crate::config::NodeConfig;
use crate::telemetry::journal::Cause;
use crate::upstream::{self, Idle, Trouble};
use crate::values::NodeName;

/// Evidence of life is fresh for so long; afterwards a sleeper is dormant.
const FRESH: Duration = Duration::from_secs(5);

/// One Ollama server with its host.
#[derive(Clone)]
pub struct Node(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) config: NodeConfig,
    pub(super) host: HeaderValue,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) born: Instant,
    /// Milliseconds from `born` to the last answer, plus one; 0: none yet. Kept apart from the view, so that the
    /// answers of an awake node cost its keeper nothing.
    pub(super) seen: AtomicU64,
    /// When it last answered before this start, in Unix seconds.
    seen_before: Option<u64>,
    in_flight: AtomicUsize,
    total: AtomicU64,
    failed: AtomicU64,
    held: AtomicUsize,
    idle: Idle,
    metrics: NodeMetrics,
}

/// What requests tell a keeper.
pub(super) enum Message {
    /// Something was observed.
    Evidence { event: Event, words: Option<String>, peer: Option<IpAddr> },
    /// A request needs the node; `heard` is answered when the view says what follows.
    Want { want: Want, heard: oneshot::Sender<()> },
    /// A request met silence: is the node alive? One check serves all who ask.
    CheckLife(oneshot::Sender<bool>),
    /// An inference answer has ended.
    Inferred,
    /// A request that waited for a wake has its first byte.
    FirstByte,
    /// The models it holds have changed.
    Mutated(oneshot::Sender<Result<(), String>>),
    /// Somebody looks at a list that is old or missing.
    ListAsked,
    /// A person wants the lists read now.
    Refresh(oneshot::Sender<Result<(), String>>),
}

/// Why a node is wanted.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Who and what for, for the log and the journal.
    pub cause: Cause,
    /// What to load once it is up.
    pub preload: Option<Preload>,
    /// Only joins what is under way; starts nothing.
    pub joins: bool,
    /// What makes it wanted, for the count of wakes.
    pub trigger: Trigger,
}

/// What starts a wake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// A request that needs the GPU.
    #[default]
    Request,
    /// A person's explicit wish.
    Manual,
}

impl Trigger {
    pub(super) const ALL: [Self; 2] = [Self::Request, Self::Manual];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Manual => "manual",
        }
    }
}

impl Node {
    pub(super) fn new(
        config: NodeConfig,
        inbox: mpsc::Sender<Message>,
        view: watch::Receiver<Arc<View>>,
        metrics: NodeMetrics,
        seen_before: Option<u64>,
    ) -> Result<Self, hyper::header::InvalidHeaderValue> {
        let host = HeaderValue::from_str(&config.hosts.first().map(ToString::to_string).unwrap_or_default())?;
        let counters = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicUsize::new(0));
        let (in_flight, total, failed, held) = counters;
        let seen = AtomicU64::new(0);
        Ok(Self(Arc::new(Shared {
            config,
            host,
            inbox,
            view,
            born: Instant::now(),
            seen,
            seen_before,
            in_flight,
            total,
            failed,
            held,
            idle: Idle::default(),
            metrics,
        })))
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.0.config.name
    }

    /// Its settings.
    pub fn config(&self) -> &NodeConfig {
        &self.0.config
    }

    /// Its own `host:port`, for the `Host` header.
    pub fn host(&self) -> &HeaderValue {
        &self.0.host
    }

    /// Where its connections rest between requests: only those of an always-on node do.
    pub fn idle(&self) -> Option<&Idle> {
        self.config().always_on.then_some(&self.0.idle)
    }

    /// What is counted of it.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.0.metrics
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.0.view.borrow().clone()
    }

    /// Follows what is known.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.view.clone()
    }

    /// Its addresses, at most one name resolution away.
    ///
    /// # Errors
    /// `NoAddress`.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Trouble> {
        let last = self.0.view.borrow().address;
        let mut trouble = None;
        for host in &self.0.config.hosts {
            match upstream::resolve(&host.host, host.port, last).await {
                Ok(addresses) => return Ok(addresses),
                Err(found) => trouble = Some(found),
            }
        }
        Err(trouble.unwrap_or(Trouble::NoAnswer))
    }

    /// When it last answered.
    pub fn last_seen(&self) -> Option<Instant> {
        let seen = self.0.seen.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.0.born + Duration::from_millis(seen))
    }

    /// Whether it has answered after this moment: then trouble that began before it is old news.
    pub(super) fn answered_since(&self, began: Instant) -> bool {
        self.last_seen().is_some_and(|seen| seen > began)
    }

    /// When it last answered, in Unix seconds.
    pub fn last_seen_unix(&self) -> Option<u64> {
        let Some(seen) = self.last_seen() else { return self.0.seen_before };
        let wall = SystemTime::now().checked_sub(seen.elapsed())?;
        wall.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    /// Seconds from the start of its keeper to this moment: the axis of its energy account.
    pub(super) fn age(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.0.born).as_secs_f64()
    }

    /// How long it was awake and asleep, as far as evidence tells at this moment.
    pub fn seconds(&self) -> Seconds {
        self.view().energy.seconds(self.age(Instant::now()), self.contact())
    }

    pub(super) fn kept_energy(&self, view: &View) -> KeptLedger {
        view.energy.kept(self.age(Instant::now()), self.contact())
    }

    fn contact(&self) -> Option<f64> {
        self.last_seen().map(|seen| self.age(seen))
    }

    /// Whether own calls may be made to it without breaking a sleep. A request that is only waiting for a sleeping node
    /// proves nothing, so its power must be known to be on.
    pub fn in_use(&self) -> bool {
        self.is_busy() && self.0.view.borrow().power == Power::Awake
    }

    /// A request is in flight and not held for a wake, or it answered just now.
    pub(super) fn is_busy(&self) -> bool {
        self.active() > self.held() || self.last_seen().is_some_and(|seen| seen.elapsed() < FRESH)
    }

    /// Whether a listing, a show or a ps may be asked of it now.
    pub fn may_be_asked(&self) -> bool {
        self.config().always_on || self.in_use()
    }

    /// It answered. Costs its keeper nothing while it is known to be awake.
    pub fn answered(&self, peer: IpAddr) {
        self.seen_now();
        if self.0.view.borrow().power != Power::Awake {
            self.tell(Message::Evidence { event: Event::Answered, words: None, peer: Some(peer) });
        }
    }

    /// It gave a sign of life.
    pub fn seen_now(&self) {
        let now = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.seen.store(now + 1, Ordering::Relaxed);
    }

    /// It did not answer as hoped to something begun at `since`. Old news is dropped: it has answered since then.
    pub fn failed_to(&self, trouble: &Trouble, since: Instant) {
        if self.answered_since(since) {
            return;
        }
        if let Some(event) = event_of(trouble) {
            self.tell(Message::Evidence { event, words: Some(trouble.to_string()), peer: None });
        }
    }

    /// An inference answer has ended.
    pub fn inferred(&self) {
        self.tell(Message::Inferred);
    }

    /// A request that waited for a wake has its first byte.
    pub fn first_byte(&self) {
        self.tell(Message::FirstByte);
    }

    /// The models it holds have changed. Ready when its lists were read again, after two seconds at the latest: whoever
    /// changed them shall find the change in the next list.
    pub async fn mutated(&self) {
        const PATIENCE: Duration = Duration::from_secs(2);
        let (tell, told) = oneshot::channel();
        self.tell(Message::Mutated(tell));
        let _ = tokio::time::timeout(PATIENCE, told).await;
    }

    /// Somebody looks at a list that is old or missing. Never waits.
    pub fn list_asked(&self) {
        self.tell(Message::ListAsked);
    }

    /// Asks for the node. When this returns, the view says what follows: under way, failed, or no means.
    pub async fn want(&self, want: Want) {
        let (heard, when_heard) = oneshot::channel();
        if self.0.inbox.send(Message::Want { want, heard }).await.is_ok() {
            let _ = when_heard.await;
        }
    }

    /// Law 3: whether a silent node still answers. Joins a check that is already under way.
    pub async fn alive(&self) -> bool {
        let (tell, told) = oneshot::channel();
        match self.0.inbox.send(Message::CheckLife(tell)).await {
            Ok(()) => told.await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Reads its lists now, sleeping or not, without a wake.
    ///
    /// # Errors
    /// Why they could not be read, in words.
    pub async fn refresh(&self) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        let gone = || "the proxy is shutting down".to_owned();
        self.0.inbox.send(Message::Refresh(tell)).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Evidence that finds the inbox full is dropped: sixty-four others say the same.
    fn tell(&self, message: Message) {
        let _ = self.0.inbox.try_send(message);
    }

    /// Takes part in a request until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        self.0.total.fetch_add(1, Ordering::Relaxed);
        InFlight(self.0.clone())
    }

    /// Waits for a wake until the guard is dropped.
    pub fn hold(&self) -> Held {
        self.0.held.fetch_add(1, Ordering::Relaxed);
        Held(self.0.clone())
    }

    /// Requests in flight now.
    pub fn active(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that wait for a wake now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Requests so far, and those that failed by the node's fault.
    pub fn totals(&self) -> (u64, u64) {
        (self.0.total.load(Ordering::Relaxed), self.0.failed.load(Ordering::Relaxed))
    }

    /// Counts a failure by the node's fault.
    pub fn count_failure(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a trouble means to the power machine. A connection that the other end closed says nothing about sleep: the host
/// was there to close it. Silence behind a standing connection asks for a life check first.
pub(super) fn event_of(trouble: &Trouble) -> Option<Event> {
    match trouble {
        Trouble::Refused(after) => Some(Event::Refused(*after)),
        Trouble::Unreachable(_) | Trouble::NoAnswer | Trouble::NoAddress(_) | Trouble::Lost(_) => Some(Event::NoAnswer),
        Trouble::Broken(_) | Trouble::Silent => None,
    }
}

/// One request in flight on a node.
pub struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request that waits for a node to wake.
pub struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}
