//! One task per node: the only writer of what is known of it, and the only sender on our own account.
//!
//! It hears evidence and wants, asks the power machine, carries out its acts, and publishes the result. Work that takes
//! time runs in its own [`JoinSet`], so that no request's departure ends it (law 4), and comes back as [`Done`].

mod calls;
mod first_model;
mod lists;
mod records;
mod sleeping;
mod waking;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::holders::Holders;
use super::message::Message;
use super::node::{Node, event_of};
use super::power::{self, Act, Event, Power};
use super::traffic::Traffic;
use super::view::View;
use super::{Common, Rules, wake};
use crate::catalog::Shows;
use crate::config::NodeConfig;
use crate::upstream::{Reply, Trouble};
use crate::values::boxed;
use calls::Caller;
pub use first_model::FirstModel;
pub(super) use first_model::Wish;
use records::Before;
pub(super) use sleeping::Told;
pub(super) use waking::means;

/// Evidence and wants wait here; more than this many at once say nothing new.
const INBOX: usize = 64;

/// So many wake times are kept to learn from.
const WAKES: usize = 20;

pub(super) struct Keeper {
    node: Node,
    rules: Rules,
    inbox: mpsc::Receiver<Message>,
    publish: watch::Sender<Arc<View>>,
    view: View,
    /// Something in `view` differs from what was published.
    dirty: bool,
    /// Its list has other names than before.
    relisted: bool,
    holders: Holders,
    shows: Shows,
    changed: Arc<Notify>,
    wish: Wish,
    jobs: JoinSet<(Instant, Done)>,
    reading: lists::Reading,
    waking: waking::Waking,
    life: Vec<oneshot::Sender<bool>>,
    next_check: Option<Instant>,
    last_inference: Option<Instant>,
    /// When it last refused a call of ours.
    refused: Option<Instant>,
    /// When it was said to go to sleep.
    announced: Option<Instant>,
    /// Who wants it to sleep.
    sleeping: Vec<Told>,
}

/// What a job of the keeper brings back.
enum Done {
    Polled(Result<Reply, Trouble>),
    Called(wake::url::Called),
    Lists(Result<lists::Lists, Trouble>),
    Show { digest: String, body: Result<Reply, Trouble> },
    Loaded { key: String, model: String, result: Result<Reply, Trouble> },
    OnGpu(Result<Reply, Trouble>),
    Alive(Result<Reply, Trouble>),
    Pulled(Result<(), String>),
    Unloaded(Result<(), Trouble>),
    Slept(Result<(), String>),
}

impl Keeper {
    /// A node and who keeps it; `view` and `traffic` are what was known of it before.
    pub(super) fn new(
        slot: usize,
        config: NodeConfig,
        view: View,
        traffic: Arc<Traffic>,
        common: &Common,
    ) -> anyhow::Result<(Node, Self)> {
        let (tell, inbox) = mpsc::channel(INBOX);
        let (publish, published) = watch::channel(Arc::new(view.clone()));
        let waking = waking::Waking::new();
        let metrics = common.metrics.of_node(config.name.as_str());
        // Its own handle tells nobody anything, or it would keep itself alive.
        let node = Node::new(slot, config, published, traffic, metrics)?;
        let keeper = Self {
            node: node.clone(),
            rules: common.rules.clone(),
            inbox,
            publish,
            view,
            dirty: false,
            relisted: false,
            holders: common.holders.clone(),
            shows: common.shows.clone(),
            changed: common.changed.clone(),
            wish: common.wish.clone(),
            jobs: JoinSet::new(),
            reading: lists::Reading::default(),
            waking,
            life: Vec::new(),
            next_check: None,
            last_inference: None,
            refused: None,
            announced: None,
            sleeping: Vec::new(),
        };
        Ok((node.telling(tell), keeper))
    }

    /// Ends when nobody is left who could tell it something: its node is not in the settings any more, and the last
    /// request has left it.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        self.begin();
        loop {
            self.publish();
            let due = self.next_due();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return Ok(()),
                },
                Some(ended) = self.jobs.join_next() => self.ended(ended),
                () = until(due) => self.tick(),
            }
        }
    }

    /// A sleeper whose list was never read gets one plain connect; an always-on node its first check. Nobody else
    /// gets anything.
    fn begin(&mut self) {
        if self.rules.health_interval.is_none() {
            return;
        }
        if self.node.config().always_on {
            self.read_lists();
        } else if !self.view.holding.is_known() {
            self.first_contact();
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Evidence { event, words, peer } => {
                self.met(peer);
                self.observe(event, words);
            }
            Message::Want { want, heard } => {
                self.want(want);
                self.publish();
                let _ = heard.send(());
            }
            Message::CheckLife(tell) => self.check_life(tell),
            Message::Inferred => self.inferred(),
            Message::FirstByte => self.first_byte(),
            Message::Mutated(tell) => self.mutated(tell),
            Message::ListAsked => self.list_asked(),
            Message::ListRefuted => self.list_refuted(),
            Message::Refresh(tell) => self.refresh(tell),
            Message::PutToSleep(tell) => self.put_to_sleep(tell),
        }
    }

    /// Begins work that takes time; it comes back with the moment it began.
    fn begin_job(&mut self, job: impl Future<Output = Done> + Send + 'static) {
        let began = Instant::now();
        self.jobs.spawn(boxed(async move { (began, job.await) }));
    }

    fn ended(&mut self, ended: Result<(Instant, Done), JoinError>) {
        match ended {
            Ok((began, done)) => self.done(done, began),
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => {}
        }
    }

    fn done(&mut self, done: Done, began: Instant) {
        match done {
            Done::Polled(result) => self.polled(result, began),
            Done::Called(called) => self.called(called),
            Done::Lists(result) => self.have_lists(result, began),
            Done::Show { digest, body } => self.have_show(&digest, body, began),
            Done::Loaded { key, model, result } => self.loaded(&key, &model, result, began),
            Done::OnGpu(result) => self.seen_on_gpu(result),
            Done::Alive(result) => self.life_checked(result, began),
            Done::Pulled(result) => self.have_first_model(result),
            Done::Unloaded(result) => self.unloaded(result),
            Done::Slept(result) => self.slept(result),
        }
    }

    /// Something begun at `began` met trouble. Old news is dropped: the node has answered or refused since then. A poll that
    /// began just before the resume ends in silence when later ones are refused already.
    fn missed(&mut self, trouble: &Trouble, began: Instant) {
        let heard_since = self.node.answered_since(began) || self.refused.is_some_and(|refused| refused > began);
        if let Some(event) = event_of(trouble).filter(|_| !heard_since) {
            if matches!(event, Event::Refused(_)) {
                self.refused = Some(Instant::now());
            }
            self.observe(event, Some(trouble.to_string()));
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let tick = self.view.power.next_tick(self.view.means);
        [tick, self.next_check, self.keep_awake_due()].into_iter().flatten().min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.observe(Event::Tick, None);
        if self.node.is_retired() {
            // Whoever still waits for it is served; nothing is sent for its own sake.
            self.next_check = None;
            return;
        }
        if self.next_check.is_some_and(|due| due <= now) {
            self.next_check = None;
            self.read_lists();
        }
        self.keep_awake();
    }

    /// Lets the power machine judge an event, and does what it says.
    fn observe(&mut self, event: Event, words: Option<String>) {
        let before = Before::of(&self.view.power);
        let power = std::mem::replace(&mut self.view.power, Power::Unknown);
        let (power, acts) = power::next(power, event, Instant::now(), self.view.means);
        self.view.power = power;
        if words.is_some() {
            self.view.trouble = words;
        }
        self.dirty = true;
        let after = self.view.power.word();
        self.account(event, &before);
        if before.word() != after {
            self.turned(before.word(), after);
        }
        for act in acts {
            self.act(act);
        }
        if !self.view.power.in_progress() && matches!(event, Event::GoesToSleep) {
            self.end_record("given_up", before.word() == "waking");
        }
    }

    /// The node stands otherwise than before: one line for the operator.
    fn turned(&mut self, before: &'static str, after: &'static str) {
        self.view.since = SystemTime::now();
        match after {
            "asleep" => self.lost(),
            // What hindered the wake before this one may be mended.
            "waking" => self.view.hindrance = None,
            _ => {}
        }
        let why = self.view.trouble.as_deref().filter(|_| after != "awake");
        tracing::info!(node = %self.node.name(), from = before, to = after, why, "power");
        let why = why.map(str::to_owned);
        self.record_turn(before, after, why.as_deref());
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::SendPackets => self.send_packets(),
            Act::CallUrl => self.call_url(),
            Act::Poll => self.poll(),
            Act::CameUp(took) => self.came_up(took),
            Act::GaveUp => self.gave_up(),
        }
    }

    /// It is up: learn from how long it took, load what was asked for, see what it holds.
    fn came_up(&mut self, took: Option<Duration>) {
        self.view.trouble = None;
        self.view.hindrance = None;
        self.end_record("awake", took.is_some());
        if let Some(took) = took {
            self.view.woken = Some(Instant::now());
            self.node.metrics().woken(self.waking.trigger, took);
            self.view.wake_history.push(took.as_secs_f64());
            let surplus = self.view.wake_history.len().saturating_sub(WAKES);
            self.view.wake_history.drain(..surplus);
            tracing::info!(node = %self.node.name(), seconds = format!("{:.1}", took.as_secs_f64()), "woken");
            self.changed.notify_one();
        }
        self.load_wanted();
        self.read_lists_after_coming_up();
    }

    /// Remembers the address that answered.
    fn met(&mut self, peer: Option<IpAddr>) {
        if peer.is_some() && peer != self.view.address {
            self.view.address = peer;
            self.dirty = true;
            self.changed.notify_one();
        }
    }

    /// It answered one of our own calls.
    fn answered(&mut self, reply: &Reply) {
        self.node.seen_now();
        self.met(Some(reply.peer.ip()));
        self.record_connect(reply.connected);
        self.observe(Event::Answered, None);
        self.learn_mac(reply.peer.ip());
    }

    fn caller(&self) -> Caller {
        Caller::new(&self.node, self.rules.timeouts.connect)
    }

    fn publish(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.publish.send_replace(Arc::new(self.view.clone()));
            self.rules.journal.stir();
            if std::mem::take(&mut self.relisted) {
                self.holders.relisted(&self.node, &self.view.holding);
            }
        }
    }
}

/// Sleeps until then; for ever without a time, so that an idle keeper has no timer.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
