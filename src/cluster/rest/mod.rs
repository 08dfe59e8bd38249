//! Sleep when idle: an opt-in that puts this machine to sleep when nobody needs it, and a person's wish for it. Whoever goes to
//! sleep says so first, and says so when it is awake again.
//!
//! While the machine is used, or `--suspend-after` is off, this costs nothing: it waits for the end of work.

mod clock;
mod decide;
mod loaded;
mod suspend;
mod system;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::hold::{Book, Holds};
use super::{Announcer, Condition};
use crate::config::{KeepAwake, LocalTime, RestConfig};
use crate::exporter::Exporter;
use crate::fleet::Node;

pub use clock::{Reading, SleepWatch};
pub use decide::{Facts, Person, Verdict, decide};
pub use loaded::Loaded;
pub use suspend::usual_command;

/// After work, what is loaded is looked at once things have settled: what moves from then on was moved by others.
const SETTLES: Duration = Duration::from_secs(5);

/// How long the hold may take to be given back before a sleep.
const LETS_GO: Duration = Duration::from_secs(5);

/// The answer to whoever wished the sleep leaves before the network does.
const ANSWERS: Duration = Duration::from_millis(300);

/// A connection that is seen in all of these looks stays.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Wishes that wait. A second one is the same as the first.
const WISHES: usize = 4;

/// Why a machine is not put to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A request runs.
    Busy,
    /// The system does not sleep; why.
    Failed(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => f.write_str("a request runs there; try again when it has ended"),
            Self::Failed(why) => write!(f, "the system does not sleep: {why}"),
        }
    }
}

enum Message {
    Sleep(oneshot::Sender<Result<(), Refusal>>),
    Woke(Duration),
}

/// Looked at by whoever wakes up anyway.
type Clock = Arc<Mutex<SleepWatch>>;

fn slept(clock: &Clock) -> Option<Duration> {
    clock.lock().unwrap_or_else(PoisonError::into_inner).slept()
}

/// The machine of a worker.
pub struct Machine {
    /// Who holds it awake.
    pub holds: Holds,
    /// The Ollama on it.
    pub node: Node,
    /// Watches the port of that Ollama, where it can be seen.
    pub exporter: Option<Exporter>,
    /// Tells controllers.
    pub announcer: Announcer,
    /// After a resume it stays awake at least for so long.
    pub quiet_after: Duration,
}

/// Tells the one who puts this machine to sleep. Cheap to clone.
#[derive(Clone)]
pub struct Wishes {
    tell: mpsc::Sender<Message>,
    clock: Clock,
    why: watch::Receiver<Option<String>>,
}

impl Wishes {
    /// A person wants this machine to sleep. Ready when it is about to, and its controllers know.
    ///
    /// # Errors
    /// Why not.
    pub async fn sleep(&self) -> Result<(), Refusal> {
        let (tell, told) = oneshot::channel();
        let gone = || Refusal::Failed("this worker is shutting down".to_owned());
        self.tell.send(Message::Sleep(tell)).await.map_err(|_| gone())?;
        told.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Whether the machine slept since this was last asked, by another's will: then it is awake now, and that is told.
    pub fn look_at_clock(&self) {
        if let Some(gap) = slept(&self.clock) {
            let _ = self.tell.try_send(Message::Woke(gap));
        }
    }

    /// Why it is not asleep although nobody uses it, if that was looked at.
    pub fn why_awake(&self) -> Option<String> {
        self.why.borrow().clone()
    }
}

/// Puts this machine to sleep.
pub struct Rest {
    config: RestConfig,
    machine: Machine,
    clock: Clock,
    inbox: mpsc::Receiver<Message>,
    why: watch::Sender<Option<String>>,
    /// The next look at whether it may sleep; `None`: it is at work, or sleeping when idle is off.
    next: Option<Next>,
    /// What was loaded when it was last looked at.
    loaded: Loaded,
    local_use: Option<Instant>,
    /// It slept, and no model was seen on the GPU since then.
    gpu_unproved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Settle(Instant),
    Look(Instant),
}

impl Rest {
    /// Who puts this machine to sleep, and how to tell it.
    pub fn new(config: RestConfig, machine: Machine) -> (Self, Wishes) {
        let (tell, inbox) = mpsc::channel(WISHES);
        let (why, told) = watch::channel(None);
        let (loaded, next) = (Loaded::default(), None);
        let clock = Clock::default();
        let wishes = Wishes { tell, clock: clock.clone(), why: told };
        let rest = Self { config, machine, clock, inbox, why, next, loaded, local_use: None, gpu_unproved: false };
        (rest, wishes)
    }

    /// Never ends.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut book = self.machine.holds.watch();
        self.plan(*book.borrow_and_update());
        loop {
            let due = self.next.map(|next| match next {
                Next::Settle(at) | Next::Look(at) => at,
            });
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(Message::Sleep(tell)) => self.wished(tell).await,
                    Some(Message::Woke(gap)) => self.woke(Some(gap)).await,
                    None => std::future::pending().await,
                },
                changed = book.changed() => {
                    anyhow::ensure!(changed.is_ok(), "the book of holds is gone");
                    let book = *book.borrow_and_update();
                    self.plan(book);
                }
                () = until(due) => self.due().await,
            }
        }
    }

    /// Work began or ended: a look is due when it has been idle for long enough.
    fn plan(&mut self, book: Book) {
        if book.working > 0 {
            self.next = None;
        } else if let Some(after) = self.config.after {
            self.next = Some(Next::Settle(book.last_work + SETTLES.min(after / 2)));
        } else if self.gpu_unproved {
            self.next = Some(Next::Settle(book.last_work + SETTLES));
        }
    }

    async fn due(&mut self) {
        match self.next.take() {
            Some(Next::Settle(_)) => {
                self.loaded = loaded::look(&self.machine.node).await.unwrap_or_default();
                self.prove_gpu();
                let book = self.machine.holds.book();
                self.next = self.config.after.map(|after| Next::Look((book.last_work + after).max(Instant::now())));
            }
            Some(Next::Look(_)) => self.look().await,
            None => {}
        }
    }

    async fn look(&mut self) {
        let Some(after) = self.config.after else { return };
        let facts = self.facts().await;
        match decide(&facts, after) {
            Verdict::Wait { again, why } => {
                if self.why.borrow().as_ref() != Some(&why) {
                    tracing::info!(why, "nobody uses Ollama, and the machine stays awake");
                    self.why.send_replace(Some(why));
                }
                self.next = Some(Next::Look(Instant::now() + again));
            }
            Verdict::Sleep => {
                self.why.send_replace(None);
                tracing::info!(unused_for = %humantime::format_duration(Duration::from_secs(facts.last_work.as_secs())), "nobody uses this machine: it goes to sleep");
                if let Err(why) = self.sleep(None).await {
                    tracing::warn!(%why, "the machine was to sleep and does not");
                    self.next = Some(Next::Look(Instant::now() + after));
                }
            }
        }
    }

    async fn facts(&mut self) -> Facts {
        if let Some(now) = loaded::look(&self.machine.node).await {
            if now.was_used_since(&self.loaded) {
                self.local_use = Some(Instant::now());
            }
            self.loaded = now;
        }
        let told = system::ask().await;
        // Our own are at rest, and in nobody's way.
        if let Some(idle) = self.machine.node.idle() {
            idle.clear();
        }
        let connections = self.connections().await;
        let (book, now) = (self.machine.holds.book(), Instant::now());
        let (local, rule) = (LocalTime::now(), &self.config.keep_awake);
        let last_work = now.saturating_duration_since(book.last_work);
        let kept = *rule != KeepAwake::Off && rule.wants(local, Some(last_work));
        Facts {
            busy: book.is_busy(now),
            last_work,
            local_use: self.local_use.map(|used| now.saturating_duration_since(used)),
            connections,
            inhibitors: told.inhibitors,
            person: told.person,
            kept_awake: kept.then(|| rule.next_change(local)),
        }
    }

    /// Of others, and of them those that stay: our own heartbeat asks what is loaded, and is gone at once.
    async fn connections(&self) -> Option<u64> {
        let exporter = self.machine.exporter.as_ref();
        let Some(exporter) = exporter else { return Some(0) };
        let mut open = None;
        for _ in 0..LOOKS {
            open = exporter.open_connections().await;
            if open == Some(0) {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        open
    }

    async fn wished(&mut self, tell: oneshot::Sender<Result<(), Refusal>>) {
        self.machine.holds.end_leases();
        tracing::info!("a person wants this machine to sleep");
        if let Err(why) = self.sleep(Some(tell)).await {
            tracing::warn!(%why, "the machine was to sleep and does not");
        }
    }

    /// Unload, say so, let go, sleep. Work that comes meanwhile goes before; `tell` hears when nothing stands in the way.
    async fn sleep(&mut self, tell: Option<oneshot::Sender<Result<(), Refusal>>>) -> Result<(), Refusal> {
        let before = Reading::now();
        let said = self.prepare().await;
        let pause = if tell.is_some() { ANSWERS } else { Duration::ZERO };
        if let Some(tell) = tell {
            let _ = tell.send(said.clone());
        }
        said?;
        if let Some(gap) = suspend::pause(pause, before).await {
            // By another's will, in the midst of this. Whatever woke it would not want it to sleep again at once.
            let _ = slept(&self.clock);
            self.woke(Some(gap)).await;
            return Ok(());
        }
        let command = self.config.command.clone().unwrap_or_else(|| usual_command().to_owned());
        let gone =
            if self.is_busy() { Err(Refusal::Busy) } else { suspend::run(&command, before).await.map_err(Refusal::Failed) };
        let gap = match gone {
            Ok(gap) => gap,
            Err(why) => {
                self.machine.announcer.announce(self.awake(None)).await;
                return Err(why);
            }
        };
        // What the other clock-watcher would find is this same sleep.
        let _ = slept(&self.clock);
        self.woke(gap).await;
        gap.map(|_| ()).ok_or_else(|| Refusal::Failed(format!("`{command}` ended well, and the system went on running")))
    }

    async fn prepare(&mut self) -> Result<(), Refusal> {
        if self.is_busy() {
            return Err(Refusal::Busy);
        }
        // A GPU that sleeps with a model in it may be lost; yet a model that does not go must not keep the machine awake.
        if !loaded::unload(&self.machine.node).await {
            tracing::warn!("a model could not be unloaded; the GPU may be lost by the sleep");
        }
        if self.is_busy() {
            return Err(Refusal::Busy);
        }
        let sleeping = Condition { sleeping: true, held: false, gap: None };
        if !self.machine.announcer.announce(sleeping).await {
            tracing::warn!("not every controller heard that this machine goes to sleep");
        }
        if let Some(idle) = self.machine.node.idle() {
            idle.clear();
        }
        let mut book = self.machine.holds.watch();
        let _ = tokio::time::timeout(LETS_GO, book.wait_for(|book| !book.held)).await;
        if self.is_busy() {
            self.machine.announcer.announce(self.awake(None)).await;
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.machine.holds.book().is_busy(Instant::now())
    }

    fn awake(&self, gap: Option<Duration>) -> Condition {
        Condition { sleeping: false, held: self.machine.holds.book().held, gap }
    }

    /// Whatever woke it wants something of it, and Windows would sleep again in two minutes: it is held from the first moment on.
    async fn woke(&mut self, gap: Option<Duration>) {
        if let Some(gap) = gap {
            self.machine.holds.lease(self.machine.quiet_after);
            self.gpu_unproved = true;
            self.loaded = Loaded::default();
            tracing::info!(slept = %humantime::format_duration(Duration::from_secs(gap.as_secs())), "this machine is awake");
        }
        self.machine.announcer.announce(Condition { held: gap.is_some(), ..self.awake(gap) }).await;
        let after = self.config.after.map(|after| after.max(self.machine.quiet_after));
        self.next = after.map(|after| Next::Look(Instant::now() + after));
    }

    /// After a resume NVIDIA's driver may have lost the GPU, and Ollama then computes on the processor without a word.
    fn prove_gpu(&mut self) {
        if !self.gpu_unproved || self.loaded.is_empty() {
            return;
        }
        self.gpu_unproved = false;
        if let Some(model) = self.loaded.on_cpu() {
            tracing::warn!(
                model,
                "it runs on the CPU after the resume: the GPU was lost in sleep; restart Ollama (Linux with NVIDIA: preserve video \
                 memory over suspend)"
            );
        }
    }
}

/// Sleeps until then; for ever without a time, so that an idle task has no timer.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
