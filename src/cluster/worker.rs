//! The worker's side: one link to each controller, and an orderly farewell.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::announcer::{Announcer, Condition};
use super::hold::Holds;
use super::link::Link;
use super::machine;
use super::message::{Heartbeat, PowerWord, Registration, Slots, Status};
use super::rest::Wishes;
use crate::config::WorkerConfig;
use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node};
use crate::upstream::{self, Call, Trouble};
use crate::values::boxed;

/// What controllers get to hear the farewell; then it ends all the same.
const FAREWELL: Duration = Duration::from_secs(3);

/// What the Ollama of this machine gets to tell what it holds, before controllers hear of it.
const LISTING: Duration = Duration::from_secs(3);

/// What the Ollama of this machine gets to tell what is loaded.
const PS: Duration = Duration::from_millis(500);

/// A worker as its controllers know it.
pub struct Worker {
    /// What it goes by.
    pub config: WorkerConfig,
    /// Where it listens.
    pub port: u16,
    /// Its one node: the Ollama of this machine.
    pub fleet: Fleet,
    /// How often it looks whether that Ollama answers; `None`: it asks nothing of it by itself.
    pub health_interval: Option<Duration>,
    /// What its machine is about to do.
    pub announcer: Announcer,
    /// Who holds its machine awake.
    pub holds: Holds,
    /// Who puts it to sleep.
    pub wishes: Wishes,
}

/// What all links tell.
pub(super) struct Tale {
    pub(super) config: WorkerConfig,
    port: u16,
    fleet: Fleet,
    holds: Holds,
    wishes: Wishes,
    instance: String,
    health_interval: Option<Duration>,
    /// When its Ollama is looked at again: by the next word that is said after this, so that nothing but words is regular.
    next_check: Mutex<Instant>,
    /// Words said so far, whoever they were said to.
    words: AtomicU64,
}

impl Worker {
    /// Registers and tells until `end` turns true; says farewell, and then lets `left` turn true. Never ends.
    ///
    /// # Errors
    /// None; the type is that of all long-lived tasks.
    pub async fn run(self, mut end: watch::Receiver<bool>, left: watch::Sender<bool>) -> anyhow::Result<()> {
        let Self { config, port, fleet, health_interval, announcer, holds, wishes } = self;
        let (instance, words) = (machine::instance(), AtomicU64::new(0));
        let next_check = Mutex::new(Instant::now() + health_interval.unwrap_or_default());
        let tale = Tale { config, port, fleet, holds, wishes, instance, health_interval, next_check, words };
        let tale = Arc::new(tale);
        let mut links = JoinSet::new();
        // Whoever registers is asked for its list at once: better that there is one.
        tale.until_listed(&mut end).await;
        for (place, controller) in tale.config.controllers.iter().enumerate() {
            let link = Link::new(place, controller.clone(), tale.clone(), announcer.clone());
            links.spawn(boxed(link.run(end.clone())));
        }
        let _ = end.wait_for(|asked| *asked).await;
        let all = async { while links.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
        left.send_replace(true);
        std::future::pending().await
    }
}

impl Tale {
    /// Ready when the list of its Ollama is known, after some seconds at the latest.
    async fn until_listed(&self, end: &mut watch::Receiver<bool>) {
        let Some(mut view) = self.node().map(|node| node.watch()) else { return };
        tokio::select! {
            _ = view.wait_for(|view| view.holding.is_known()) => {}
            _ = end.wait_for(|asked| *asked) => {}
            () = tokio::time::sleep(LISTING) => {}
        }
    }

    /// Changes whenever the list of its Ollama does; `None` until that is known.
    fn list(&self) -> Option<String> {
        let view = self.node()?.view();
        let mut hash = DefaultHasher::new();
        view.holding.models().iter().for_each(|model| (&model.name, &model.digest).hash(&mut hash));
        view.holding.is_known().then(|| format!("{:016x}", hash.finish()))
    }

    fn node(&self) -> Option<Node> {
        self.fleet.nodes().first().cloned()
    }

    /// Who it is.
    pub(super) async fn registration(&self, condition: Condition) -> Registration {
        self.check_if_due();
        let (interfaces, config) = (machine::interfaces(), &self.config);
        Registration {
            worker_id: config.id.clone(),
            model_id: config.model.clone(),
            endpoint: Some(format!("http://localhost:{}", self.port)),
            capacity: config.capacity,
            node_name: (config.node_name != config.id).then(|| config.node_name.clone()),
            instance: Some(self.instance.clone()),
            mac: interfaces.first().map(|interface| interface.mac.clone()),
            interfaces,
            os: Some(machine::os()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            power: self.power(condition),
            loaded_models: self.loaded().await.unwrap_or_default(),
            slots: self.slots(),
            list: self.list(),
        }
    }

    /// How it is, under the name that this controller has for it.
    pub(super) async fn heartbeat(&self, id: &str, condition: Condition) -> Heartbeat {
        // The one thing that is done regularly is also what notices that the machine slept by another's will.
        self.wishes.look_at_clock();
        if !condition.sleeping {
            self.check_if_due();
        }
        // Who is about to sleep does not touch its Ollama any more.
        let loaded_models = if condition.sleeping { Some(Vec::new()) } else { self.loaded().await };
        Heartbeat {
            worker_id: id.to_owned(),
            instance: Some(self.instance.clone()),
            number: Some(self.words.fetch_add(1, Ordering::Relaxed)),
            current_load: self.load(),
            status: Some(self.status(condition).word().to_owned()),
            power: self.power(condition),
            loaded_models,
            slots: self.slots(),
            list: self.list(),
        }
    }

    /// Looks along whether its Ollama answers; the next word tells.
    fn check_if_due(&self) {
        let (Some(interval), Some(node), now) = (self.health_interval, self.node(), Instant::now()) else { return };
        let mut next = self.next_check.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= *next {
            *next = now + interval;
            node.check();
        }
    }

    fn load(&self) -> u32 {
        self.node().map_or(0, |node| u32::try_from(node.active()).unwrap_or(u32::MAX))
    }

    fn status(&self, condition: Condition) -> Status {
        match self.node().map(|node| node.view().power.clone()) {
            _ if condition.sleeping => Status::Sleeping,
            Some(Power::Awake | Power::Unknown) => Status::Healthy,
            Some(_) | None => Status::Unhealthy,
        }
    }

    fn power(&self, condition: Condition) -> PowerWord {
        let state = if condition.sleeping { "sleeping" } else { "awake" };
        let (book, now) = (self.holds.book(), Instant::now());
        PowerWord {
            always_on: self.config.always_on,
            state: Some(state.to_owned()),
            gap: condition.gap.map(|gap| gap.as_secs_f64()),
            held: book.held,
            can_sleep: !self.config.always_on,
            unused: (!book.is_busy(now)).then(|| now.saturating_duration_since(book.last_work).as_secs_f64()),
            why_awake: self.wishes.why_awake(),
        }
    }

    fn slots(&self) -> Slots {
        let total = self.config.capacity;
        Slots { total, free: total.map(|total| total.saturating_sub(self.load())) }
    }

    /// What its Ollama has in memory; `None`: it did not tell at once.
    async fn loaded(&self) -> Option<Vec<String>> {
        #[derive(Deserialize)]
        struct Loaded {
            models: Vec<Model>,
        }
        #[derive(Deserialize)]
        struct Model {
            name: String,
        }
        let asked = async {
            let node = self.node().filter(|node| self.health_interval.is_some() && node.view().power == Power::Awake)?;
            let path = format!("{}/api/ps", node.config().path_prefix);
            let host = node.host().clone();
            let began = Instant::now();
            let link = node.connect(PS).await;
            // A refusal is news; silence of half a second is none.
            link.as_ref()
                .err()
                .filter(|met| matches!(met, Trouble::Refused(_)))
                .into_iter()
                .for_each(|met| node.failed_to(met, began));
            let link = link.ok()?;
            let call = Call { method: Method::GET, path, host, authorization: None, body: Bytes::new() };
            let reply = upstream::call_over(link, PS, call).await.ok()?;
            serde_json::from_slice::<Loaded>(&reply.body).ok()
        };
        asked.await.map(|loaded| loaded.models.into_iter().map(|model| model.name).collect())
    }
}
