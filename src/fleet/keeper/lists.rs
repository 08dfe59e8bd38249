//! Reading what a node holds: lists, version, status, and the `show` of each new model. Only while it is in use.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::calls::Caller;
use super::{Done, Keeper};
use crate::catalog::{Stamp, Wanted};
use crate::fleet::power::Power;
use crate::fleet::{KnownMac, MacSource, neighbours};
use crate::provider;
use crate::translate::NodeList;
use crate::upstream::{Reply, Trouble};

/// After generations, lists are read at most this often; so is a sleeper without a list contacted.
const SELDOM: Duration = Duration::from_secs(60);

/// A list that is looked at is read anew at most this often. Longer than the freshness of evidence, or steady polling would
/// keep a node in use by our own readings.
const RARELY: Duration = Duration::from_secs(10);

/// `show` calls at once: a node that has just woken has better things to do.
const SHOWS_AT_ONCE: usize = 2;

/// What is being read.
#[derive(Default)]
pub(super) struct Reading {
    lists: bool,
    /// Something changed while they were read.
    again: bool,
    /// The node came up while they were read: worth another try if that fails, and none if it succeeds.
    came_up: bool,
    last: Option<Instant>,
    contacted: Option<Instant>,
    shows: usize,
    wanted: VecDeque<Wanted>,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// The three answers that are read together.
pub(super) struct Lists {
    /// `/api/tags`, or `/v1/models` of what is not Ollama.
    models: Reply,
    version: Option<Reply>,
    status: Option<Reply>,
}

impl Keeper {
    /// Reads the lists now; the caller has made sure that it may.
    pub(super) fn read_lists(&mut self) {
        if self.reading.lists {
            self.reading.again = true;
            return;
        }
        self.reading.lists = true;
        let (caller, limit) = (self.caller(), self.rules.timeouts.metadata);
        self.begin_job(async move { Done::Lists(lists(&caller, limit).await) });
    }

    /// As [`crate::fleet::Node::may_be_asked`], by what is known here and not yet published.
    fn may_be_asked(&self) -> bool {
        !self.node.is_retired() && (self.node.config().always_on || (self.view.power == Power::Awake && self.node.is_busy()))
    }

    pub(super) fn read_lists_if_in_use(&mut self) {
        if self.rules.health_interval.is_some() && self.may_be_asked() {
            self.read_lists();
        }
    }

    /// It came up; perhaps by the very reading that is under way.
    pub(super) fn read_lists_after_coming_up(&mut self) {
        if self.reading.lists {
            self.reading.came_up = true;
        } else {
            self.read_lists_if_in_use();
        }
    }

    /// A sleeper whose list was never read: one plain connect, at most one a minute, never a wake.
    pub(super) fn first_contact(&mut self) {
        let now = Instant::now();
        if self.reading.contacted.is_none_or(|last| now - last >= SELDOM) {
            self.reading.contacted = Some(now);
            self.read_lists();
        }
    }

    pub(super) fn list_asked(&mut self) {
        // A reading that is under way answers this wish too.
        if self.rules.health_interval.is_none() || self.reading.lists {
            return;
        }
        let old = self.view.holding.age(Instant::now()).is_none_or(|age| age >= self.rules.cache_ttl);
        if self.may_be_asked() && old && self.reading.last.is_none_or(|last| last.elapsed() >= RARELY) {
            self.read_lists();
        } else if !self.view.holding.is_known() {
            self.first_contact();
        }
    }

    /// A model was removed on the machine itself. A reading that is under way may be older; the next refusal asks again.
    pub(super) fn list_refuted(&mut self) {
        if !self.reading.lists {
            self.read_lists_if_in_use();
        }
    }

    /// An inference answer has ended: its node is in use for some seconds more.
    pub(super) fn inferred(&mut self) {
        self.last_inference = Some(Instant::now());
        self.call_awake_once_per_interval();
        if self.reading.last.is_none_or(|last| last.elapsed() >= SELDOM) {
            self.read_lists_if_in_use();
        }
    }

    pub(super) fn mutated(&mut self, tell: oneshot::Sender<Result<(), String>>) {
        if self.rules.health_interval.is_some() && self.may_be_asked() {
            self.refresh(tell);
        }
    }

    pub(super) fn refresh(&mut self, tell: oneshot::Sender<Result<(), String>>) {
        self.reading.waiting.push(tell);
        self.read_lists();
    }

    pub(super) fn have_lists(&mut self, result: Result<Lists, Trouble>, began: Instant) {
        self.reading.last = Some(Instant::now());
        let outcome = match result {
            Ok(lists) => self.keep_lists(lists),
            Err(trouble) => {
                self.missed(&trouble, began);
                if matches!(trouble, Trouble::Silent) && self.node.config().always_on {
                    // It connects and says nothing: only its life tells whether it is ill or merely slow.
                    self.check_life(oneshot::channel().0);
                }
                if !self.view.holding.is_known() {
                    let address = self.node.host().to_str().unwrap_or_default();
                    let what = if matches!(trouble, Trouble::Unfit(_)) {
                        "correct the address"
                    } else {
                        "switch it on once, or correct the address"
                    };
                    tracing::warn!(node = %self.node.name(), address, %trouble, "its model list was never read: {what}");
                }
                Err(trouble.to_string())
            }
        };
        self.reading.lists = false;
        if let Some(idle) = self.node.idle() {
            idle.sweep();
            self.next_check = self.rules.health_interval.map(|interval| Instant::now() + interval);
        }
        let changed_since = std::mem::take(&mut self.reading.again);
        let came_up_since = std::mem::take(&mut self.reading.came_up);
        let again = if outcome.is_ok() { changed_since } else { came_up_since };
        if again {
            // Whoever waits asked while this reading was under way: it may be older than what they want to see.
            self.read_lists();
            return;
        }
        self.publish();
        if outcome.is_ok() {
            self.pull_first_model();
        }
        for tell in self.reading.waiting.drain(..) {
            let _ = tell.send(outcome.clone());
        }
    }

    fn keep_lists(&mut self, lists: Lists) -> Result<(), String> {
        self.answered(&lists.models);
        let stamp = || Stamp { at: Instant::now(), wall: SystemTime::now() };
        let NodeList { tags, shows } = self.in_ollamas_words(lists.models.body).inspect_err(|bad| self.unreadable(bad))?;
        let holding = self.view.holding.with_list(tags.into(), stamp()).map_err(|bad| bad.to_string());
        let holding = holding.inspect_err(|bad| self.unreadable(bad))?;
        let holding = lists.version.and_then(|reply| holding.with_version(reply.body, stamp()).ok()).unwrap_or(holding);
        let holding = lists.status.and_then(|reply| holding.with_status(reply.body, stamp()).ok()).unwrap_or(holding);
        for (digest, show) in shows {
            // Made here, so it is an object.
            self.shows.put(self.node.name(), &digest, show.into()).ok();
        }
        self.shows.forget_unlisted(self.node.name(), &holding);
        self.reading.wanted = self.shows.missing(self.node.name(), &holding).into();
        if !self.view.holding.is_known() {
            // From now on the PC may sleep: whoever set this up waits for this line.
            tracing::info!(node = %self.node.name(), models = holding.models().len(), "model list read");
        }
        self.relisted |= !holding.lists_the_same_names(&self.view.holding);
        self.view.holding = holding;
        self.dirty = true;
        self.changed.notify_one();
        self.read_shows();
        Ok(())
    }

    fn unreadable(&self, bad: &str) {
        tracing::warn!(node = %self.node.name(), bad, "its model list cannot be read; the old one stays");
    }

    /// The list of Ollama as it came; that of another server with the shows that follow from it.
    fn in_ollamas_words(&self, body: Bytes) -> Result<NodeList, String> {
        if self.node.is_ollama() {
            return Ok(NodeList { tags: body.into(), shows: Vec::new() });
        }
        let known = |name: &str| self.view.holding.find(name).map(|model| model.modified_at.clone());
        NodeList::read(&body, provider::digest, known, SystemTime::now()).map_err(|fault| fault.text.into_owned())
    }

    fn read_shows(&mut self) {
        while self.reading.shows < SHOWS_AT_ONCE && self.may_be_asked() {
            let Some(Wanted { name, digest }) = self.reading.wanted.pop_front() else { return };
            self.reading.shows += 1;
            let (caller, limit) = (self.caller(), self.rules.timeouts.metadata);
            let body = Bytes::from(serde_json::json!({ "model": name }).to_string());
            self.begin_job(async move { Done::Show { digest, body: caller.post("/api/show", body, limit).await } });
        }
    }

    pub(super) fn have_show(&mut self, digest: &str, body: Result<Reply, Trouble>, began: Instant) {
        self.reading.shows -= 1;
        match body {
            Ok(reply) if reply.status.is_success() => {
                self.node.seen_now();
                if self.shows.put(self.node.name(), digest, reply.body).is_ok() {
                    self.changed.notify_one();
                }
            }
            Ok(_) => {}
            Err(trouble) => {
                // The rest would fare no better; the next reading of the lists asks again.
                self.reading.wanted.clear();
                self.missed(&trouble, began);
            }
        }
        self.read_shows();
    }

    /// A MAC is learnt only from a fresh neighbour entry, right after an answer.
    pub(super) fn learn_mac(&mut self, peer: std::net::IpAddr) {
        if self.node.config().wake.mac.is_some() || self.node.config().always_on || peer.is_loopback() {
            return;
        }
        let Some(mac) = neighbours::mac_of(peer) else { return };
        if self.view.mac.is_some_and(|known| known.mac == mac) {
            return;
        }
        match self.view.mac {
            Some(before) => tracing::warn!(node = %self.node.name(), before = %before.mac, %mac, "its MAC has changed"),
            None => tracing::info!(node = %self.node.name(), %mac, "MAC learnt"),
        }
        self.view.mac = Some(KnownMac { mac, source: MacSource::Learnt });
        self.view.means = super::waking::means(self.node.config(), self.view.mac, self.rules.timeouts.wake);
        self.dirty = true;
        self.changed.notify_one();
    }
}

/// The list must come; version and status are welcome (`/api/status` exists only since 0.16.2).
async fn lists(caller: &Caller, limit: Duration) -> Result<Lists, Trouble> {
    let path = if caller.calls_ollama() { "/api/tags" } else { "/v1/models" };
    if !caller.calls_ollama() && !caller.is_at_rest(limit).await {
        return Err(Trouble::Unfit("it is at work, and some servers stop a generation for a list: later".to_owned()));
    }
    let models = caller.get(path, limit).await?;
    if !models.status.is_success() {
        return Err(Trouble::Unfit(format!("what answers there is no Ollama: {path} gave {}", models.status)));
    }
    if !caller.calls_ollama() {
        return Ok(Lists { models, version: None, status: None });
    }
    let good = |reply: Result<Reply, Trouble>| reply.ok().filter(|reply| reply.status.is_success());
    let version = good(caller.get("/api/version", limit).await);
    let status = good(caller.get("/api/status", limit).await);
    Ok(Lists { models, version, status })
}
