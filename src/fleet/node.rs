//! A cheap handle on one node: read its view, report evidence, say what is wanted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::HeaderValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::View;
use super::energy::Seconds;
use super::gate::Gate;
use super::hosts::Hosts;
use super::message::{Message, Want};
use super::metrics::NodeMetrics;
use super::power::{Event, Power};
use super::traffic::{Held, InFlight, Traffic};
use crate::config::{NodeConfig, NodeKind};
use crate::upstream::{Idle, Link, Trouble};
use crate::values::NodeName;

/// Evidence of life is fresh for so long; afterwards a sleeper is dormant.
const FRESH: Duration = Duration::from_secs(5);

/// One Ollama server with its host. A handle: cheap to clone, and good to the end of the request that holds it, whatever
/// becomes of the node in the settings.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

struct Handle {
    slot: usize,
    config: NodeConfig,
    /// `None`: nobody keeps the node (it is disabled), or this is its keeper's own handle. The keeper ends with the last
    /// handle that can tell it something.
    inbox: Option<mpsc::Sender<Message>>,
    shared: Arc<Shared>,
}

/// What goes on when mere preferences in the settings change.
pub(super) struct Shared {
    hosts: Hosts,
    view: watch::Receiver<Arc<View>>,
    traffic: Arc<Traffic>,
    /// The settings know it no more, or otherwise: only requests that began before still use it.
    retired: AtomicBool,
    idle: Idle,
    metrics: NodeMetrics,
    inferences: Gate,
    listings: Gate,
}

impl Node {
    /// A node that nobody keeps yet.
    pub(super) fn new(
        slot: usize,
        config: NodeConfig,
        view: watch::Receiver<Arc<View>>,
        traffic: Arc<Traffic>,
        metrics: NodeMetrics,
    ) -> Result<Self, hyper::header::InvalidHeaderValue> {
        let hosts = Hosts::new(&config.hosts, config.tls, view.borrow().address)?;
        let (retired, idle, inferences, listings) = (AtomicBool::new(false), Idle::default(), Gate::default(), Gate::default());
        let shared = Arc::new(Shared { hosts, view, traffic, retired, idle, metrics, inferences, listings });
        Ok(Self(Arc::new(Handle { slot, config, inbox: None, shared })))
    }

    /// The same node as its keeper's clients see it.
    pub(super) fn telling(&self, inbox: mpsc::Sender<Message>) -> Self {
        let Handle { slot, config, inbox: _, shared } = &*self.0;
        Self(Arc::new(Handle { slot: *slot, config: config.clone(), inbox: Some(inbox), shared: shared.clone() }))
    }

    /// The same node with other preferences; its keeper goes on and notices nothing.
    pub(super) fn preferring(&self, config: NodeConfig) -> Self {
        let Handle { slot, config: _, inbox, shared } = &*self.0;
        Self(Arc::new(Handle { slot: *slot, config, inbox: inbox.clone(), shared: shared.clone() }))
    }

    /// From now on only requests that began before use it; no calls of our own.
    pub(super) fn retire(&self) {
        self.0.shared.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.0.shared.retired.load(Ordering::Relaxed)
    }

    /// Whether what is entered of one holds for the other: the same keeper, and the same word of its owner.
    pub(super) fn is_entered_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.shared, &other.0.shared) && self.config().models == other.config().models
    }

    /// Dangles when the last request has left it and its keeper, if it had one, has ended.
    pub(super) fn remains(&self) -> Weak<Shared> {
        Arc::downgrade(&self.0.shared)
    }

    /// The number that belongs to its name for the life of this process.
    pub fn slot(&self) -> usize {
        self.0.slot
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.0.config.name
    }

    /// Its settings.
    pub fn config(&self) -> &NodeConfig {
        &self.0.config
    }

    /// How it stands, in the word of pages and JSON.
    pub fn state(&self) -> &'static str {
        if self.config().enabled { self.view().power.word() } else { "disabled" }
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.0.shared.traffic
    }

    /// The `host:port` where it was reached last, for the `Host` header.
    pub fn host(&self) -> &HeaderValue {
        self.0.shared.hosts.header()
    }

    /// Where its connections rest between requests: only those of an always-on node do.
    pub fn idle(&self) -> Option<&Idle> {
        self.config().always_on.then_some(&self.0.shared.idle)
    }

    /// What is counted of it.
    pub fn metrics(&self) -> &NodeMetrics {
        &self.0.shared.metrics
    }

    /// What is known now.
    pub fn view(&self) -> Arc<View> {
        self.0.shared.view.borrow().clone()
    }

    /// Follows what is known.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.shared.view.clone()
    }

    /// Connects to it: its hosts in order, after the one that worked last. That one is remembered.
    ///
    /// # Errors
    /// The most telling trouble of all hosts.
    pub async fn connect(&self, limit: Duration) -> Result<Link, Trouble> {
        let last = self.0.shared.view.borrow().address;
        let (link, moved) = self.0.shared.hosts.connect(last, limit).await?;
        if let Some(host) = moved {
            tracing::info!(node = %self.name(), %host, "reached at another of its hosts");
        }
        Ok(link)
    }

    /// When it last answered.
    pub fn last_seen(&self) -> Option<Instant> {
        self.0.shared.traffic.last_seen()
    }

    /// Whether it has answered after this moment: then trouble that began before it is old news.
    pub(super) fn answered_since(&self, began: Instant) -> bool {
        self.last_seen().is_some_and(|seen| seen > began)
    }

    /// When it last answered, in Unix seconds.
    pub fn last_seen_unix(&self) -> Option<u64> {
        let Some(seen) = self.last_seen() else { return self.view().energy.seen_before() };
        let wall = SystemTime::now().checked_sub(seen.elapsed())?;
        wall.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
    }

    /// How long it was awake and asleep, as far as evidence tells at this moment.
    pub fn seconds(&self) -> Seconds {
        self.view().energy.seconds(self.last_seen())
    }

    /// Whether own calls may be made to it without breaking a sleep. A request that is only waiting for a sleeping node
    /// proves nothing, so its power must be known to be on.
    pub fn in_use(&self) -> bool {
        self.is_busy() && self.0.shared.view.borrow().power == Power::Awake
    }

    /// A request is in flight and not held for a wake, or it answered just now.
    pub(super) fn is_busy(&self) -> bool {
        self.works() || self.last_seen().is_some_and(|seen| seen.elapsed() < FRESH)
    }

    /// Whether it is an Ollama: others have neither its metadata routes nor its mutations, and cannot be told to load.
    pub fn is_ollama(&self) -> bool {
        self.config().kind == NodeKind::Ollama
    }

    /// Whether it works for a request at this moment. What waits for its wake does not count.
    pub(super) fn works(&self) -> bool {
        self.active() > self.held()
    }

    /// Whether a listing, a show or a ps may be asked of it now.
    pub fn may_be_asked(&self) -> bool {
        self.config().enabled && (self.config().always_on || self.in_use())
    }

    /// It answered. Costs its keeper nothing while it is known to be awake, at this address.
    pub fn answered(&self, peer: IpAddr) {
        self.seen_now();
        if self.0.shared.hosts.have_moved() || self.0.shared.view.borrow().power != Power::Awake {
            self.tell(Message::Evidence { event: Event::Answered, words: None, peer: Some(peer) });
        }
    }

    /// It says that it goes to sleep.
    pub fn goes_to_sleep(&self) {
        let words = Some("its worker said that it goes to sleep".to_owned());
        self.tell(Message::Evidence { event: Event::GoesToSleep, words, peer: None });
    }

    /// Its host is up, and says that its Ollama does not answer.
    pub fn service_is_down(&self) {
        self.seen_now();
        let words = Some("its worker says that its Ollama does not answer".to_owned());
        self.tell(Message::Evidence { event: Event::Refused(Duration::ZERO), words, peer: None });
    }

    /// It said nothing any more. Costs its keeper nothing while it is known to sleep.
    pub fn fell_silent(&self, words: &str) {
        if matches!(self.0.shared.view.borrow().power, Power::Awake | Power::ServiceDown(_)) {
            self.tell(Message::Evidence { event: Event::NoAnswer, words: Some(words.to_owned()), peer: None });
        }
    }

    /// It gave a sign of life.
    pub fn seen_now(&self) {
        self.0.shared.traffic.seen_now();
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
        if self.0.shared.inferences.passes() {
            self.tell(Message::Inferred);
        }
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

    /// Its worker says that it has another list than before. Never waits.
    pub fn relisted(&self) {
        self.tell(Message::Mutated(oneshot::channel().0));
    }

    /// Something that is regular anyway takes a look at it along: its lists are read now. Never waits.
    pub fn check(&self) {
        self.tell(Message::Mutated(oneshot::channel().0));
    }

    /// Somebody looks at a list that is old or missing. Never waits.
    pub fn list_asked(&self) {
        if self.0.shared.listings.passes() {
            self.tell(Message::ListAsked);
        }
    }

    /// It said that this model is not there. If it is on its list, the list is old. Never waits.
    pub fn lacks(&self, model: &str) {
        if self.view().holding.find(model).is_some() {
            self.tell(Message::ListRefuted);
        }
    }

    /// Asks for the node. When this returns, the view says what follows: under way, failed, or no means.
    pub async fn want(&self, want: Want) {
        let (heard, when_heard) = oneshot::channel();
        if self.send(Message::Want { want, heard }).await {
            let _ = when_heard.await;
        }
    }

    /// Law 3: whether a silent node still answers. Joins a check that is already under way.
    pub async fn alive(&self) -> bool {
        let (tell, told) = oneshot::channel();
        self.send(Message::CheckLife(tell)).await && told.await.unwrap_or(false)
    }

    /// Reads its lists now, sleeping or not, without a wake.
    ///
    /// # Errors
    /// Why they could not be read, in words.
    pub async fn refresh(&self) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        if !self.send(Message::Refresh(tell)).await {
            return Err("it takes no part now: it is disabled, or the proxy is shutting down".to_owned());
        }
        told.await.map_err(|_| "the proxy is shutting down".to_owned())?
    }

    /// Evidence that finds the inbox full is dropped: sixty-four others say the same.
    pub(super) fn tell(&self, message: Message) {
        if let Some(inbox) = &self.0.inbox {
            let _ = inbox.try_send(message);
        }
    }

    /// `false`: nobody keeps it.
    pub(super) async fn send(&self, message: Message) -> bool {
        match &self.0.inbox {
            Some(inbox) => inbox.send(message).await.is_ok(),
            None => false,
        }
    }

    /// Takes part in a request until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.0.shared.traffic.enter()
    }

    /// Waits for a wake until the guard is dropped.
    pub fn hold(&self) -> Held {
        self.0.shared.traffic.hold()
    }

    /// Requests in flight now.
    pub fn active(&self) -> usize {
        self.0.shared.traffic.active()
    }

    /// Requests that wait for a wake now.
    pub fn held(&self) -> usize {
        self.0.shared.traffic.held()
    }

    /// Requests so far, and those that failed by the node's fault.
    pub fn totals(&self) -> (u64, u64) {
        self.0.shared.traffic.totals()
    }

    /// Counts a failure by the node's fault.
    pub fn count_failure(&self) {
        self.0.shared.traffic.count_failure();
    }
}

/// What a trouble means to the power machine. A connection that the other end closed says nothing about sleep: the host
/// was there to close it. Silence behind a standing connection asks for a life check first.
pub(super) fn event_of(trouble: &Trouble) -> Option<Event> {
    match trouble {
        Trouble::Refused(after) => Some(Event::Refused(*after)),
        Trouble::Unreachable(_) | Trouble::NoAnswer | Trouble::NoAddress(_) | Trouble::Lost(_) => Some(Event::NoAnswer),
        Trouble::Broken(_) | Trouble::Silent | Trouble::Unfit(_) => None,
    }
}
