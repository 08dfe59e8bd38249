//! Carrying out a campaign: packets, URL calls, polls; what follows a wake: loads, a look at the GPU; keeping awake.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::records::{Record, Told};
use super::{Done, Keeper};
use crate::classify::Preload;
use crate::config::{KeepAwake, LocalTime, NodeConfig};
use crate::fleet::metrics::WakeEnd;
use crate::fleet::power::{Event, Means, Power};
use crate::fleet::wake::{interfaces, packet, url};
use crate::fleet::{KnownMac, Trigger, Want, v4};
use crate::telemetry::journal::Cause;
use crate::upstream::{Reply, Trouble};

/// Ollama gives a load up after five minutes without progress; beyond this even a slow one is not worth waiting for.
const LOAD: Duration = Duration::from_secs(15 * 60);

/// How long `/api/ps` may take: it can block while a model loads.
const PS: Duration = Duration::from_secs(3);

/// Keeping awake without a `--wake-interval` uses the default one.
const INTERVAL: Duration = Duration::from_secs(600);

/// A machine that is lost this long after our wake most likely fell to Windows' unattended sleep timeout of 120 s.
const UNATTENDED: std::ops::RangeInclusive<u64> = 100..=160;

const UNATTENDED_ADVICE: &str = "it went away about two minutes after it was woken: that is Windows' unattended sleep timeout; on the PC run \
     `powercfg /setacvalueindex SCHEME_CURRENT SUB_SLEEP UNATTENDSLEEP 1800` and `powercfg /setactive SCHEME_CURRENT` as administrator";

pub(super) struct Waking {
    skew: i64,
    last_call: Option<Instant>,
    pub(super) loads: WantedLoads,
    /// What started the campaign under way, or the last one.
    pub(super) trigger: Trigger,
    pub(super) record: Option<Record>,
    pub(super) told: Option<Told>,
}

impl Waking {
    pub(super) fn new() -> Self {
        let (loads, trigger) = (WantedLoads::default(), Trigger::default());
        Self { skew: 0, last_call: None, loads, trigger, record: None, told: None }
    }
}

/// Loads that waiters of one campaign asked for; more different ones than this are left to the requests themselves.
const LOADS: usize = 8;

/// What was asked for while the node was not up, each key once.
#[derive(Default)]
pub(super) struct WantedLoads(VecDeque<Preload>);

impl WantedLoads {
    fn add(&mut self, preload: Preload) {
        if self.0.len() < LOADS && self.0.iter().all(|known| known.key != preload.key) {
            self.0.push_back(preload);
        }
    }
}

/// What can be done about this node when it sleeps.
pub(in crate::fleet) fn means(config: &NodeConfig, mac: Option<KnownMac>, deadline: Duration) -> Means {
    Means { packets: mac.is_some() && !config.always_on, url: config.wake.url.is_some(), deadline }
}

impl Keeper {
    /// Somebody needs the node: wake it if that is the way, and remember what to load then.
    pub(super) fn want(&mut self, want: Want) {
        let was_in_progress = self.view.power.in_progress();
        if !was_in_progress {
            self.waking.loads = WantedLoads::default();
            self.begin_record(&want.cause);
        }
        if !want.joins || was_in_progress {
            self.observe(Event::Wanted, None);
        }
        if !self.view.power.in_progress() {
            self.drop_record();
            return;
        }
        // What is not Ollama loads by itself, and knows no request that does nothing else.
        if let Some(preload) = want.preload.filter(|_| self.node.is_ollama()) {
            self.waking.loads.add(preload);
        }
        if !was_in_progress {
            let cause = want.cause.words();
            self.waking.trigger = want.trigger;
            tracing::info!(node = %self.node.name(), cause, "wanted");
            self.view.asked_by = Some(cause);
            self.dirty = true;
        }
    }

    pub(super) fn send_packets(&mut self) {
        let Some(known) = self.view.mac else { return };
        self.waking.last_call = Some(Instant::now());
        let wake = &self.node.config().wake;
        let interfaces = interfaces::usable();
        let node = self.view.presumed_address(self.node.config());
        let address = node.and_then(v4);
        let targets = packet::targets(&interfaces, address, wake);
        let unreached =
            wake.broadcast.is_empty() && address.is_some_and(|address| !interfaces.iter().any(|own| own.reaches(address)));
        let sent = packet::send(&targets, &packet::bytes(known.mac, wake.secure_on.as_ref()));
        self.node.metrics().packets_sent(*sent.as_ref().unwrap_or(&0));
        self.record_packets(*sent.as_ref().unwrap_or(&0));
        let hindrance = match sent {
            _ if targets.is_empty() => Some(
                "no network interface of this machine can carry a magic packet (in a container use host networking)".to_owned(),
            ),
            Err(error) => Some(format!("no magic packet could be sent: {error}")),
            Ok(_) if unreached => Some(format!(
                "no interface of this machine is on its network ({}), and routers drop magic packets: put the proxy on that network, or set --wake-url or --wake-broadcast",
                address.unwrap_or(Ipv4Addr::UNSPECIFIED)
            )),
            Ok(sent) => {
                tracing::debug!(node = %self.node.name(), mac = %known.mac, sent, "magic packets");
                None
            }
        };
        self.hindered(hindrance);
    }

    pub(super) fn call_url(&mut self) {
        let Some(wake) = self.node.config().wake.url.clone() else { return };
        self.waking.last_call = Some(Instant::now());
        let ip = self.view.presumed_address(self.node.config());
        let fill = url::Fill { node: self.node.name().clone(), mac: self.view.mac.map(|known| known.mac), ip };
        let skew = self.waking.skew;
        self.node.metrics().url_called();
        self.record_call();
        self.begin_job(async move { Done::Called(url::call(&wake, &fill, skew).await) });
    }

    pub(super) fn called(&mut self, called: url::Called) {
        self.waking.skew = called.skew;
        match called.result {
            Ok(()) => tracing::debug!(node = %self.node.name(), "wake URL called"),
            Err(why) => self.hindered(Some(format!("the wake URL failed: {why}"))),
        }
        self.observe(Event::Called, None);
    }

    fn hindered(&mut self, hindrance: Option<String>) {
        if hindrance.is_some() && hindrance != self.view.hindrance {
            tracing::warn!(node = %self.node.name(), why = hindrance.as_deref().unwrap_or_default(), "waking is hindered");
            self.view.hindrance = hindrance;
            self.dirty = true;
        }
    }

    pub(super) fn poll(&mut self) {
        let caller = self.caller();
        self.begin_job(async move { Done::Polled(caller.version().await) });
    }

    pub(super) fn polled(&mut self, result: Result<Reply, Trouble>, began: Instant) {
        match result {
            // So llama.cpp tells that it still loads; Ollama's own polls never see it.
            Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE && !self.node.is_ollama() => {}
            Ok(reply) => self.answered(&reply),
            // Connected without an answer: the service is starting, which the deadline bounds.
            Err(trouble) => {
                self.record_trouble(&trouble, began);
                self.missed(&trouble, began);
            }
        }
    }

    pub(super) fn gave_up(&mut self) {
        if let Power::WakeFailed { refused, .. } = self.view.power {
            let end = if refused || self.view.hindrance.is_some() { WakeEnd::Error } else { WakeEnd::Timeout };
            self.node.metrics().wake_ended(self.waking.trigger, end);
        }
        let result = match self.view.power {
            Power::WakeFailed { refused: true, .. } => "refused",
            Power::WakeFailed { .. } => "failed",
            _ => "given_up",
        };
        self.end_record(result, true);
        self.waking.loads = WantedLoads::default();
        let last = self.view.trouble.as_deref().unwrap_or_default();
        tracing::warn!(node = %self.node.name(), last, hindrance = self.view.hindrance.as_deref().unwrap_or_default(), "did not come up");
    }

    /// Loads what the waiters asked for, in our name: a client that leaves during a load throws it away for everybody.
    pub(super) fn load_wanted(&mut self) {
        let wanted = std::mem::take(&mut self.waking.loads);
        if self.rules.health_interval.is_none() {
            return;
        }
        for preload in wanted.0 {
            let (caller, key, body) = (self.caller(), preload.key.clone(), preload.body());
            self.view.loading.push(preload.key);
            let model = preload.model;
            self.begin_job(async move { Done::Loaded { key, model, result: caller.post(preload.path, body, LOAD).await } });
        }
        self.dirty = true;
    }

    /// A failed load is nobody's failure: the ask itself is forwarded and tells the truth.
    pub(super) fn loaded(&mut self, key: &str, model: &str, result: Result<Reply, Trouble>, began: Instant) {
        self.view.loading.retain(|loading| loading != key);
        self.dirty = true;
        match result {
            Ok(reply) => {
                self.answered(&reply);
                if reply.status.is_success() {
                    self.count_load(model, began.elapsed());
                }
                let caller = self.caller();
                self.begin_job(async move { Done::OnGpu(caller.get("/api/ps", PS).await) });
            }
            Err(trouble) => {
                self.missed(&trouble, began);
            }
        }
    }

    /// The answer to a load tells no times; what it took is what its waiters waited.
    fn count_load(&self, model: &str, took: Duration) {
        if let Some(listed) = self.view.holding.find(model) {
            let metrics = self.node.metrics();
            metrics.load_seconds(metrics.label(&listed.name)).took(took);
        }
    }

    /// After a resume NVIDIA's driver may have lost the GPU, and Ollama then computes on the CPU without a word.
    pub(super) fn seen_on_gpu(&mut self, result: Result<Reply, Trouble>) {
        let Ok(reply) = result else { return };
        self.node.seen_now();
        let loaded = serde_json::from_slice::<serde_json::Value>(&reply.body).ok();
        let on_cpu = loaded.as_ref().and_then(|ps| ps["models"].as_array()).is_some_and(|models| {
            models.iter().any(|model| model["size_vram"].as_u64() == Some(0) && model["size"].as_u64() > Some(0))
        });
        let advice = "on CPU after resume: the GPU was lost in sleep; restart Ollama on the PC (Linux with NVIDIA: preserve video memory over suspend)";
        if on_cpu {
            tracing::warn!(node = %self.node.name(), "{advice}");
        }
        self.view.advice = on_cpu.then(|| advice.to_owned());
        self.dirty = true;
    }

    /// It went away; perhaps in the way that Windows does.
    pub(super) fn lost(&mut self) {
        if self.view.woken.take().is_some_and(|woken| UNATTENDED.contains(&woken.elapsed().as_secs())) {
            tracing::warn!(node = %self.node.name(), "{UNATTENDED_ADVICE}");
            self.view.advice = Some(UNATTENDED_ADVICE.to_owned());
        }
    }

    /// The seed's preventive call: with traffic, one per interval, in the background; never to a node that refuses.
    pub(super) fn call_awake_once_per_interval(&mut self) {
        let Some(interval) = self.rules.wake.interval else { return };
        if self.node.is_retired() {
            return;
        }
        if self.view.power == Power::Awake && self.waking.last_call.is_none_or(|last| last.elapsed() >= interval) {
            self.wake_call("interval");
        }
    }

    fn wake_call(&mut self, trigger: &'static str) {
        if !self.view.means.any() {
            return;
        }
        let counts_elsewhere = self.waking.record.is_some();
        if !counts_elsewhere {
            self.begin_record(&Cause::default());
        }
        if self.view.means.packets {
            self.send_packets();
        }
        if self.view.means.url {
            self.call_url();
        }
        if !counts_elsewhere {
            self.record_wake_call(trigger);
        }
    }

    /// When `--keep-awake` wants to be looked at next.
    pub(super) fn keep_awake_due(&self) -> Option<Instant> {
        let rule = &self.rules.wake.keep_awake;
        if *rule == KeepAwake::Off || !self.view.means.any() || self.node.is_retired() {
            return None;
        }
        let (local, since) = (LocalTime::now(), self.last_inference.map(|last| last.elapsed()));
        let interval = self.rules.wake.interval.unwrap_or(INTERVAL);
        if rule.wants(local, since) {
            return Some(self.waking.last_call.map_or_else(Instant::now, |last| last + interval));
        }
        match rule {
            KeepAwake::Windows(_) => Some(Instant::now() + rule.next_change(local)),
            KeepAwake::Off | KeepAwake::After(_) => None,
        }
    }

    pub(super) fn keep_awake(&mut self) {
        let rule = &self.rules.wake.keep_awake;
        let wanted = *rule != KeepAwake::Off && rule.wants(LocalTime::now(), self.last_inference.map(|last| last.elapsed()));
        let interval = self.rules.wake.interval.unwrap_or(INTERVAL);
        if wanted && self.view.means.any() && self.waking.last_call.is_none_or(|last| last.elapsed() >= interval) {
            self.wake_call("keep_awake");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    use crate::catalog::Snapshot;
    use crate::config::{Env, ServeArgs, load};
    use crate::fleet::{Fleet, Metrics, Rules};
    use crate::telemetry::journal::Journal;
    use crate::telemetry::metrics::Registry;

    /// The keeper of a node that does not answer; its packets go no further than this machine.
    fn keeper() -> Keeper {
        let args = ServeArgs::default()
            .with("ollama-url", "http://127.0.0.1:1")
            .with("wake-mac", "02:00:00:00:00:01")
            .with("wake-broadcast", "127.0.0.1");
        let nowhere = std::env::temp_dir().join("ollama-proxy-waking-has-no-settings");
        let config = load(&args, &Env::new(), &nowhere).unwrap();
        let rules = Rules {
            timeouts: config.timeouts.clone(),
            wake: config.wake.clone(),
            health_interval: None,
            cache_ttl: config.cache_ttl,
            journal: Journal::default(),
        };
        let metrics = Metrics::register(&Registry::default());
        let fleet = Fleet::start(&[], &rules, &Snapshot::default(), &metrics, &mut JoinSet::new()).unwrap();
        let mut plan = fleet.plan(&config.nodes).unwrap();
        plan.keepers.pop().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_hindered_one_wake_is_not_told_of_the_next() {
        let mut keeper = keeper();
        keeper.want(Want::default());
        keeper.called(url::Called { result: Err("it answered 500".to_owned()), skew: 0, ahead: None });
        tokio::time::advance(keeper.rules.timeouts.wake).await;
        keeper.observe(Event::Tick, None);
        assert!(matches!(keeper.view.power, Power::WakeFailed { .. }) && keeper.view.hindrance.is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        keeper.want(Want::default());
        assert!(keeper.view.hindrance.is_some(), "it is still the reason for the refusal");
        tokio::time::advance(Duration::from_secs(10)).await;
        keeper.want(Want::default());
        assert!(matches!(keeper.view.power, Power::Waking(_)));
        assert_eq!(keeper.view.hindrance, None);
    }
}
