//! From a chosen node to a connection: connect, start the wake early when the connect is slow, wait for what is under way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::admit::Permission;
use super::metrics::Reason;
use super::{Job, Proxy, Refusal, Trace};
use crate::fleet::power::{Power, Refused};
use crate::fleet::{Node, View, Want};
use crate::upstream::{Link, Trouble};
use crate::values::{Fault, Kind, Retry};

/// No SYN-ACK by then: the wake starts while the connect goes on. A packet to a host that is awake does no harm.
const HEDGE: Duration = Duration::from_millis(300);

/// Connects that one attempt may make: before the wake, after it, and once more if it slept again at once.
const CONNECTS: u32 = 3;

impl Proxy {
    /// A connection to the node, however long its wake takes (bounded by its keeper).
    pub(super) async fn reach(
        &self,
        node: &Node,
        permission: Permission,
        job: &Job<'_>,
        trace: &mut Trace,
    ) -> Result<Link, Fault> {
        for _ in 0..CONNECTS {
            let view = node.view();
            if must_wait(&view, job) {
                // A load under way is no sleep: whoever may not wake waits for it as the others do.
                if !permission.may_wake() && view.power.in_progress() {
                    return Err(not_waited_for(node, &view, permission));
                }
                self.wait(node, job, trace).await?;
            }
            if let Some(fault) = backing_off(node, &node.view()) {
                return Err(fault);
            }
            let began = Instant::now();
            let trouble = match self.dial(node, permission, job, trace).await {
                Ok(Some(link)) => return Ok(link),
                Ok(None) => continue,
                Err(trouble) => trouble,
            };
            node.failed_to(&trouble, began);
            let moves_on = permission == Permission::WakeOrMoveOn && matches!(trouble, Trouble::Refused(_));
            if !permission.may_wake() || moves_on {
                let missing = self.missing(job).filter(|_| !matches!(trouble, Trouble::Refused(_)));
                return Err(missing.unwrap_or_else(|| not_reached(node, &node.view(), &trouble, permission)));
            }
            self.spend_wake(node, job)?;
            node.want(want(job, trace)).await;
            let view = node.view();
            if !view.power.in_progress() && view.power != Power::Awake {
                return Err(not_reached(node, &view, &trouble, permission));
            }
        }
        Err(Fault::node(Kind::Died, Retry::Now, format!("node {} answers connects and goes away again", node.name())))
    }

    /// Refuses what may not even connect. Asked before the request itself counts as in flight, which is use of the node.
    pub(super) fn may_connect(&self, node: &Node, permission: Permission) -> Result<(), Fault> {
        let may = match permission {
            Permission::Wake | Permission::WakeOrMoveOn | Permission::Spare | Permission::Connect => true,
            Permission::ProbablyAwake => node.may_be_asked() || self.probably_awake(node),
            Permission::InUseOnly => node.may_be_asked(),
        };
        if may { Ok(()) } else { Err(asleep(node, &node.view(), permission)) }
    }

    /// `None`: it woke meanwhile. What its wake has begun goes before this request, so all is to be looked at again.
    async fn dial(&self, node: &Node, permission: Permission, job: &Job<'_>, trace: &Trace) -> Result<Option<Link>, Trouble> {
        let mut connecting = std::pin::pin!(node.connect(self.0.settings.timeouts.connect));
        if !permission.may_wake() || !node.view().means.any() {
            return connecting.await.map(Some);
        }
        tokio::select! {
            // First: after a pause of this machine both have happened, and a node that has answered needs no wake.
            biased;
            connected = &mut connecting => return connected.map(Some),
            () = tokio::time::sleep(HEDGE) => {}
        }
        // Whoever may not is told once the connect has failed: perhaps the node is only slow.
        if !self.has_wake(job) || self.spend_wake(node, job).is_err() {
            return connecting.await.map(Some);
        }
        node.want(want(job, trace)).await;
        let mut watch = node.watch();
        tokio::select! {
            connected = &mut connecting => connected.inspect(|_| self.spare_wake(job)).map(Some),
            // This connect is lost in the kernel's back-off.
            () = woken(&mut watch) => Ok(None),
        }
    }

    /// Room for one more request that waits.
    pub(super) fn hold(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.0.held.clone().try_acquire_owned().map_err(|_| {
            self.0.metrics.refused(Refusal::Held);
            let text = "server busy, please try again.  maximum pending requests exceeded";
            Fault::ours(Kind::Busy, Retry::After(Duration::from_secs(10)), text)
        })
    }

    /// Waits for the wake, the boot or the load that is under way. The work is the keeper's: leaving cancels nothing.
    async fn wait(&self, node: &Node, job: &Job<'_>, trace: &mut Trace) -> Result<(), Fault> {
        let _place = self.hold()?;
        let _held = node.hold();
        trace.holds(Reason::Wake);
        // Registers what to load, and that somebody waits, with the campaign that is already under way.
        node.want(Want { joins: true, ..want(job, trace) }).await;
        let wait = self.0.metrics.waits(Reason::Wake);
        let (mut watch, mut end) = (node.watch(), self.0.end.clone());
        let waited = tokio::select! {
            seen = watch.wait_for(|view| !must_wait(view, job)) => seen.map(|view| view.clone()).ok(),
            _ = end.wait_for(|ending| *ending) => None,
            fault = over(node, job) => {
                trace.was_held(Reason::Wake, wait.so_far());
                return Err(fault);
            }
        };
        trace.was_held(Reason::Wake, wait.so_far());
        let Some(view) = waited else {
            let text = "the proxy is shutting down; the PC was being woken, so try again in a moment";
            return Err(Fault::ours(Kind::Draining, Retry::After(Duration::from_secs(5)), text));
        };
        match view.power {
            Power::WakeFailed { refused, .. } => Err(wake_failed(node, &view, refused, self.0.settings.timeouts.wake)),
            Power::ServiceDown(Refused::GivenUp { .. }) => Err(refusing(node)),
            Power::ServiceDown(_)
            | Power::Unknown
            | Power::Awake
            | Power::Asleep
            | Power::Waking(_)
            | Power::Suspending { .. } => Ok(()),
        }
    }
}

/// What a request wants of a node that it needs.
pub(super) fn want(job: &Job<'_>, trace: &Trace) -> Want {
    Want { cause: trace.cause(), preload: job.ask.preload.clone(), ..Want::default() }
}

/// When it has been waited for long enough, because another model could stand in.
async fn over(node: &Node, job: &Job<'_>) -> Fault {
    let down = matches!(node.view().power, Power::ServiceDown(_));
    match job.patience.and_then(|patience| Some((patience, patience.ends(down)?))) {
        Some((patience, end)) => {
            tokio::time::sleep_until(end).await;
            patience.over(&who(node))
        }
        None => std::future::pending().await,
    }
}

async fn woken(watch: &mut watch::Receiver<Arc<View>>) {
    // The borrow must end here: it is a lock.
    if watch.wait_for(|view| view.power == Power::Awake).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A wake is under way, or the load that this very ask needs.
fn must_wait(view: &View, job: &Job<'_>) -> bool {
    let loading = job.ask.preload.as_ref().is_some_and(|preload| view.loading.contains(&preload.key));
    view.power.in_progress() || loading
}

/// Just failed: the next ask is told at once instead of waiting a whole deadline again.
fn backing_off(node: &Node, view: &View) -> Option<Fault> {
    let Power::WakeFailed { until, refused } = view.power else { return None };
    let left = until.checked_duration_since(Instant::now())?;
    let text = format!(
        "{} could not be woken a moment ago{}; trying again in {} s may help",
        who(node),
        details(view),
        left.as_secs() + 1
    );
    let kind = if refused { Kind::Refusing } else { Kind::Asleep };
    Some(Fault::node(kind, Retry::After(left + Duration::from_secs(1)), text))
}

fn who(node: &Node) -> String {
    format!("GPU host \"{}\"", node.name())
}

/// What is known to hinder it, for the owner.
fn details(view: &View) -> String {
    let parts = [view.trouble.clone(), view.hindrance.clone(), view.advice.clone()];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
}

fn retry_after(view: &View) -> Retry {
    Retry::After(view.usual_wake().unwrap_or(Duration::from_secs(30)).max(Duration::from_secs(1)))
}

fn wake_failed(node: &Node, view: &View, refused: bool, deadline: Duration) -> Fault {
    let deadline = humantime::format_duration(deadline);
    if refused {
        let text = format!(
            "{} woke up, but Ollama on it refused connections for {deadline}: start Ollama there, and let it listen on 0.0.0.0",
            who(node)
        );
        return Fault::node(Kind::WakeFailed, retry_after(view), text);
    }
    let how = match (view.mac, view.means.url) {
        (Some(known), true) => format!("magic packets for {} and the wake URL were sent", known.mac),
        (Some(known), false) => format!("magic packets for {} were sent", known.mac),
        (None, _) => "the wake URL was called".to_owned(),
    };
    let look = match view.mac {
        Some(_) => "whether this MAC is its own and Wake-on-LAN is enabled in its firmware and system",
        None => "the wake URL, and whether Wake-on-LAN is enabled in its firmware and system",
    };
    let text = format!(
        "{} did not become ready within {deadline}: {how}{}; check {look} (`ollama-proxy check` helps)",
        who(node),
        details(view)
    );
    Fault::node(Kind::WakeFailed, retry_after(view), text)
}

fn refusing(node: &Node) -> Fault {
    let host = node.host().to_str().unwrap_or_default();
    let text =
        format!("Ollama on \"{}\" ({host}) is not answering (connection refused): the PC is on, start Ollama there", node.name());
    Fault::node(Kind::Refusing, Retry::After(Duration::from_secs(10)), text)
}

/// It is on its way up, and this ask waits for nothing.
fn not_waited_for(node: &Node, view: &View, permission: Permission) -> Fault {
    match view.power {
        Power::ServiceDown(_) => refusing(node),
        _ => asleep(node, view, permission),
    }
}

/// It sleeps, and this ask may not wake it.
fn asleep(node: &Node, view: &View, permission: Permission) -> Fault {
    let text = match permission {
        Permission::Wake | Permission::WakeOrMoveOn | Permission::Connect => {
            format!("{} is asleep, and this request does not wake it", who(node))
        }
        Permission::Spare => format!("{} does not answer, and another node can serve without a wake", who(node)),
        Permission::ProbablyAwake | Permission::InUseOnly => {
            format!("{} is not in use, and this request may not wake it", who(node))
        }
    };
    Fault::node(Kind::Asleep, retry_after(view), text)
}

fn not_reached(node: &Node, view: &View, trouble: &Trouble, permission: Permission) -> Fault {
    match (&view.power, trouble) {
        (Power::WakeFailed { .. }, _) => backing_off(node, view).unwrap_or_else(|| asleep(node, view, permission)),
        (_, Trouble::Refused(_)) => refusing(node),
        (_, Trouble::NoAddress(_)) => {
            let text = format!("{}: {trouble}; check the host name in OLLAMA_URL, or use its address", who(node));
            Fault::node(Kind::NoNode, Retry::After(Duration::from_secs(10)), text)
        }
        _ if node.config().always_on => {
            let text = format!("{} is declared always on and does not answer ({trouble})", who(node));
            Fault::node(Kind::NoNode, Retry::Now, text)
        }
        _ if !permission.may_wake() => asleep(node, view, permission),
        _ => {
            let text = format!(
                "{} at {} is asleep or off ({trouble}), and its MAC is not known yet: switch it on once, or set --wake-mac or \
                 --wake-url; if it is on, check this address, its firewall, and that Ollama there listens on 0.0.0.0",
                who(node),
                node.host().to_str().unwrap_or_default()
            );
            Fault::node(Kind::Asleep, Retry::After(Duration::from_secs(30)), text)
        }
    }
}
