//! What the keeper writes down of its node: wakes with their cause and times, changes of state, sleeps, and the account
//! of its energy. It writes what it has observed anyway; nothing here sends anything.

use std::time::SystemTime;

use tokio::time::Instant;

use super::Keeper;
use crate::fleet::energy::Standing;
use crate::fleet::power::{Event, Power};
use crate::telemetry::journal::{self, Cause, Sleep, Turn, Wake};
use crate::upstream::Trouble;

/// The wake under way, as far as it can be told yet.
pub(super) struct Record {
    cause: Cause,
    began: Instant,
    packets: u64,
    calls: u64,
    connected: Option<f64>,
}

/// A wake that was told, and of which the first byte for those who waited is still to come.
pub(super) struct Told {
    seq: u64,
    began: Instant,
}

/// How the node stood before an event.
pub(super) struct Before {
    word: &'static str,
    slept: bool,
}

impl Before {
    pub(super) fn of(power: &Power) -> Self {
        Self { word: power.word(), slept: matches!(power, Power::Waking(campaign) if campaign.slept) }
    }

    pub(super) fn word(&self) -> &'static str {
        self.word
    }
}

impl Keeper {
    fn note(&self, event: journal::Event) -> u64 {
        self.rules.journal.note(Some(self.node.name().as_str()), event)
    }

    /// A wake may begin now; what follows is counted to it.
    pub(super) fn begin_record(&mut self, cause: &Cause) {
        self.waking.told = None;
        self.waking.record = Some(Record { cause: cause.clone(), began: Instant::now(), packets: 0, calls: 0, connected: None });
    }

    /// It did not begin after all.
    pub(super) fn drop_record(&mut self) {
        self.waking.record = None;
    }

    pub(super) fn record_packets(&mut self, sent: usize) {
        if let Some(record) = &mut self.waking.record {
            record.packets += sent as u64;
        }
    }

    pub(super) fn record_call(&mut self) {
        if let Some(record) = &mut self.waking.record {
            record.calls += 1;
        }
    }

    /// A connect succeeded at this moment.
    pub(super) fn record_connect(&mut self, at: Instant) {
        if let Some(record) = &mut self.waking.record {
            record.connected.get_or_insert(journal::seconds(at.saturating_duration_since(record.began)));
        }
    }

    /// A poll that ended without an answer may have connected all the same.
    pub(super) fn record_trouble(&mut self, trouble: &Trouble, began: Instant) {
        if matches!(trouble, Trouble::Silent | Trouble::Broken(_) | Trouble::Lost(_) | Trouble::Unfit(_)) {
            self.record_connect(began);
        }
    }

    /// The wake has ended; `slept`: it had been seen asleep.
    pub(super) fn end_record(&mut self, result: &'static str, slept: bool) {
        let Some(record) = self.waking.record.take() else { return };
        let took = journal::seconds(record.began.elapsed());
        let http = (result == "awake").then_some(took);
        let wake = Wake {
            cause: record.cause,
            packets: record.packets,
            url_calls: record.calls,
            seconds_to_connect: record.connected.or(http),
            seconds_to_http: http,
            seconds_to_first_byte: None,
            slept,
            result: Some(result.into()),
            seconds: Some(took),
        };
        let seq = self.note(journal::Event::Wake(Box::new(wake)));
        self.waking.told = http.map(|_| Told { seq, began: record.began });
    }

    /// A wake call that nobody waits for: `interval` or `keep_awake`.
    pub(super) fn record_wake_call(&mut self, trigger: &'static str) {
        let Some(record) = self.waking.record.take() else { return };
        let result = (self.view.power == Power::Awake).then(|| "awake".into());
        let cause = Cause::own(trigger);
        let wake = Wake { cause, packets: record.packets, url_calls: record.calls, result, ..Wake::default() };
        self.note(journal::Event::Wake(Box::new(wake)));
    }

    /// A request that waited for the last wake has its first byte.
    pub(super) fn first_byte(&mut self) {
        let Some(told) = self.waking.told.take() else { return };
        let took = journal::seconds(told.began.elapsed());
        self.rules.journal.amend(told.seq, |event| {
            if let journal::Event::Wake(wake) = event {
                wake.seconds_to_first_byte = Some(took);
            }
        });
    }

    /// The node stands otherwise than before.
    pub(super) fn record_turn(&mut self, before: &'static str, after: &'static str, why: Option<&str>) {
        if after != "awake" {
            self.waking.told = None;
        }
        self.note(journal::Event::State(Turn::new(before, after, why)));
    }

    /// Books the time until this event and says how the time from now on counts.
    pub(super) fn account(&mut self, event: Event, before: &Before) {
        let contact = self.node.last_seen();
        let after = Before::of(&self.view.power);
        let turned = before.word != after.word;
        let account = &mut self.view.energy;
        let mut slept = None;
        match &self.view.power {
            Power::Asleep if self.node.config().always_on => account.stands(Standing::Unknown, contact),
            Power::Asleep if before.word == "suspending" => {
                slept = self.announced.take().map(|announced| announced.elapsed().as_secs_f64());
            }
            Power::Asleep if turned => slept = account.found_asleep(contact),
            Power::Suspending { .. } if turned => {
                self.announced = Some(Instant::now());
                account.stands(Standing::Asleep, contact);
            }
            Power::Waking(_) if after.slept && !before.slept => {
                if matches!(before.word, "unknown" | "awake" | "service_down" | "waking") {
                    slept = account.found_asleep(contact);
                }
                account.stands(Standing::Up, contact);
            }
            Power::WakeFailed { refused: false, .. } if turned => account.stands(Standing::Asleep, contact),
            Power::Awake if turned => account.stands(Standing::Supposed, contact),
            Power::ServiceDown(_) | Power::WakeFailed { refused: true, .. } => {
                // Whoever refuses is there.
                let refuses = matches!(event, Event::Refused(_)).then(Instant::now);
                account.stands(Standing::Supposed, refuses.or(contact));
            }
            _ => return,
        }
        self.dirty = true;
        if turned {
            self.changed.notify_one();
        }
        if let Some(slept) = slept {
            self.record_sleep(slept, before.word == "suspending");
        }
    }

    fn record_sleep(&self, seconds: f64, announced: bool) {
        let until = journal::unix(SystemTime::now());
        let evidence = if announced { "announced" } else { "found asleep" };
        let from = journal::rounded((until - seconds).max(0.0));
        self.note(journal::Event::Sleep(Sleep { from, until, evidence: evidence.into() }));
    }
}
