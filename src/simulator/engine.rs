//! Which models are loaded, who waits for a load or for a turn, and when a model leaves memory.
//!
//! A load belongs to the request that started it: when that client leaves, the load is thrown away and whoever waits for
//! the same model begins again from zero. That is Ollama's behaviour, and the reason why a proxy has to preload by itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::counters::Tally;
use super::reply::Refusal;
use super::request::KeepAlive;
use super::settings::{Settings, SimulatedModel};

use crate::values::sort_by_key;

/// The memory of one simulated server.
#[derive(Debug)]
pub(super) struct Engine {
    tally: Arc<Tally>,
    /// One load at a time, in the order of arrival.
    turn_to_load: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    runners: Mutex<Vec<Runner>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Runner {
    id: u64,
    model: SimulatedModel,
    context: u64,
    keep_alive: KeepAlive,
    users: usize,
    /// When the last request ended; `None` until one did.
    idle_since: Option<Instant>,
    gate: Arc<Semaphore>,
}

impl Runner {
    fn fits(&self, model: &SimulatedModel, context: u64) -> bool {
        self.model.content == model.content && self.context == context
    }

    fn expired(&self, now: Instant) -> bool {
        let end = self.idle_since.zip(self.keep_alive).map(|(idle, keep)| idle + keep);
        self.users == 0 && end.is_some_and(|end| end <= now)
    }
}

/// A loaded model, as `/api/ps` shows it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) model: SimulatedModel,
    pub(super) context: u64,
    /// From now to its end; `None` is for ever.
    pub(super) remaining: Option<Duration>,
}

/// What a request wants of a model's runner.
#[derive(Clone, Debug)]
pub(super) struct Want {
    pub(super) model: SimulatedModel,
    pub(super) context: u64,
    pub(super) keep_alive: KeepAlive,
}

impl Engine {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self {
            tally,
            turn_to_load: tokio::sync::Mutex::default(),
            waiting: AtomicUsize::new(0),
            runners: Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    /// Loads the model if needed, and keeps it from leaving memory for as long as the answer lives.
    pub(super) async fn load(self: &Arc<Self>, want: &Want, settings: &Settings) -> Result<Hold, Refusal> {
        let begun = Instant::now();
        if let Some(hold) = self.hold(want, begun) {
            return Ok(hold);
        }
        let _queued = Queued::enter(self, settings.max_queue)?;
        let _turn = self.turn_to_load.lock().await;
        if let Some(hold) = self.hold(want, begun) {
            return Ok(hold);
        }
        self.make_room(want, settings).await;
        let mut loading = Loading::begin(self);
        tokio::time::sleep(settings.load).await;
        loading.finish();
        let runner = Runner {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            model: want.model.clone(),
            context: want.context,
            keep_alive: want.keep_alive,
            users: 1,
            idle_since: None,
            gate: Arc::new(Semaphore::new(settings.parallel.max(1))),
        };
        let hold = Hold { engine: self.clone(), id: runner.id, gate: runner.gate.clone(), took: begun.elapsed() };
        self.lock().push(runner);
        Ok(hold)
    }

    /// Loads the model if needed and waits for a turn on it.
    pub(super) async fn seat(self: &Arc<Self>, want: &Want, settings: &Settings) -> Result<Seat, Refusal> {
        loop {
            let hold = self.load(want, settings).await?;
            let closed = || Refusal::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "the model was unloaded");
            let turn = hold.gate.clone().acquire_owned().await.map_err(|_| closed())?;
            if self.lock().iter().any(|r| r.id == hold.id) {
                return Ok(Seat { _turn: turn, hold });
            }
        }
    }

    /// Unloads the model, now or when its last request ends.
    pub(super) fn unload(&self, model: &SimulatedModel) {
        let mut runners = self.lock();
        for runner in runners.iter_mut().filter(|r| r.model.content == model.content) {
            runner.keep_alive = Some(Duration::ZERO);
        }
        runners.retain(|r| r.users > 0 || r.model.content != model.content);
    }

    /// Forgets everything, as when the machine was off.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// What is loaded now, the last to leave first.
    pub(super) fn loaded(&self) -> Vec<Loaded> {
        let now = Instant::now();
        let mut runners = self.lock();
        runners.retain(|r| !r.expired(now));
        let remaining = |r: &Runner| r.keep_alive.map(|keep| (r.idle_since.unwrap_or(now) + keep).duration_since(now));
        let mut loaded: Vec<Loaded> =
            runners.iter().map(|r| Loaded { model: r.model.clone(), context: r.context, remaining: remaining(r) }).collect();
        sort_by_key(&mut loaded, |l| std::cmp::Reverse(l.remaining.unwrap_or(Duration::MAX)));
        loaded
    }

    /// A hold on a runner that fits; the newest request decides how long the model stays.
    fn hold(self: &Arc<Self>, want: &Want, begun: Instant) -> Option<Hold> {
        let now = Instant::now();
        let mut runners = self.lock();
        runners.retain(|r| !r.expired(now));
        let runner = runners.iter_mut().find(|r| r.fits(&want.model, want.context))?;
        runner.users += 1;
        runner.keep_alive = want.keep_alive;
        Some(Hold { engine: self.clone(), id: runner.id, gate: runner.gate.clone(), took: begun.elapsed() })
    }

    /// Evicts the same model with other options, and the one nearest to its end when memory is full.
    /// A victim is waited for: its running generations come to their end first.
    async fn make_room(&self, want: &Want, settings: &Settings) {
        loop {
            let victim = {
                let runners = self.lock();
                let same = runners.iter().find(|r| r.model.content == want.model.content);
                let oldest = || runners.iter().min_by_key(|r| (r.users, r.idle_since));
                let victim = same.or_else(|| if runners.len() >= settings.max_loaded.max(1) { oldest() } else { None });
                victim.map(|r| (r.id, r.gate.clone()))
            };
            let Some((id, gate)) = victim else { return };
            let all = u32::try_from(settings.parallel.max(1)).unwrap_or(1);
            let _alone = gate.acquire_many(all).await;
            self.lock().retain(|r| r.id != id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Runner>> {
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a loaded model in memory. When the last one goes, the model's `keep_alive` starts to run.
#[derive(Debug)]
pub(super) struct Hold {
    engine: Arc<Engine>,
    id: u64,
    gate: Arc<Semaphore>,
    /// How long the request waited for the load.
    pub(super) took: Duration,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut runners = self.engine.lock();
        if let Some(runner) = runners.iter_mut().find(|r| r.id == self.id) {
            runner.users -= 1;
            if runner.users == 0 {
                runner.idle_since = Some(now);
            }
        }
        runners.retain(|r| !r.expired(now));
    }
}

/// A turn on a loaded model: one generation.
#[derive(Debug)]
pub(super) struct Seat {
    _turn: OwnedSemaphorePermit,
    pub(super) hold: Hold,
}

/// A place in the bounded queue of those who need a load.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(engine: &'a Engine, limit: usize) -> Result<Self, Refusal> {
        let next = |waiting: usize| (waiting < limit.max(1)).then_some(waiting + 1);
        match engine.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(_) => Ok(Self(&engine.waiting)),
            Err(_) => Err(Refusal::busy()),
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A load under way; dropped before its end it counts as thrown away.
struct Loading {
    tally: Arc<Tally>,
    finished: bool,
}

impl Loading {
    fn begin(engine: &Engine) -> Self {
        engine.tally.note(|c| c.loads_started += 1);
        Self { tally: engine.tally.clone(), finished: false }
    }

    fn finish(&mut self) {
        self.finished = true;
        self.tally.note(|c| c.loads_finished += 1);
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        if !self.finished {
            self.tally.note(|c| c.loads_aborted += 1);
        }
    }
}
