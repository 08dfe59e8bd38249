//! The power machine of one node: pure, total, written out.
//!
//! It alone decides when something is sent to a node that nobody proved awake. Its acts are carried out by the node's
//! keeper. `next` takes a state, an event and the time, and returns the next state with what to do.

use std::time::Duration;

use tokio::time::Instant;

/// A RST later than this came from some router's NAT, not from the host: a LAN answers within milliseconds.
const PROMPT: Duration = Duration::from_millis(300);

/// How long a refused connect is polled before requests are told: Ollama restarts within seconds.
const REFUSED_POLLS: Duration = Duration::from_secs(30);

/// After a failed wake, or after polling a refusing host in vain, further asks are answered at once for this long.
const BACK_OFF: Duration = Duration::from_secs(10);

/// A fresh connect each half second: one long connect would sleep through the wake in the kernel's back-off.
const POLL: Duration = Duration::from_millis(500);

/// When magic packets go out within a campaign; afterwards every 5 s. A PC that is just suspending loses the first.
const PACKETS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
const PACKETS_LATER: Duration = Duration::from_secs(5);

/// When the wake URL is called within a campaign; afterwards every 15 s.
const CALLS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(15)];
const CALLS_LATER: Duration = Duration::from_secs(15);

/// How a node stands, as far as evidence tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Power {
    /// Nothing was heard since we started, and nothing was sent.
    Unknown,
    /// It answered. For how long that holds is judged by the time of its last answer.
    Awake,
    /// The host refuses connections: it is up, Ollama is not.
    ServiceDown(Refused),
    /// It does not answer.
    Asleep,
    /// A campaign is under way.
    Waking(Campaign),
    /// We, or its worker, put it to sleep; answers until then are its last ones.
    Suspending {
        /// End of the grace.
        until: Instant,
    },
    /// A campaign passed its deadline in vain.
    WakeFailed {
        /// Asks before this are answered at once.
        until: Instant,
        /// At its end the host refused connections: it is up, Ollama is not.
        refused: bool,
    },
}

/// A host that refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// Nobody waits for it.
    Resting,
    /// A request waits: polled until the deadline.
    Polled {
        /// When it gives up.
        until: Instant,
        /// The next poll.
        next: Instant,
    },
    /// Polled in vain; asks before this are answered at once.
    GivenUp {
        /// End of the back-off.
        until: Instant,
    },
}

/// One wake of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// When it began.
    pub since: Instant,
    /// When it fails.
    pub deadline: Instant,
    /// The host answered with a RST during this campaign: it boots, so packets stop and polls go on.
    pub refused: bool,
    /// There was evidence that it slept, so the time it takes is a wake time worth learning.
    pub slept: bool,
    /// Rounds of packets sent so far.
    pub packets: u32,
    calls: u32,
    calling: bool,
    polls: u32,
}

/// What is observed or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An HTTP answer came.
    Answered,
    /// A RST came, this long after our SYN.
    Refused(Duration),
    /// No SYN-ACK within the limit, unreachable, a live connection died, or a life check failed twice.
    NoAnswer,
    /// An accepted inference request (or a person) needs the node now.
    Wanted,
    /// A call of the wake URL has ended, well or not.
    Called,
    /// The node was told to sleep, or says that it goes.
    GoesToSleep,
    /// The machine itself says that it is awake, or the sleep that was begun failed.
    Stays,
    /// Time has passed.
    Tick,
}

/// What can be done about a sleeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// A MAC is known.
    pub packets: bool,
    /// A wake URL is set.
    pub url: bool,
    /// How long a campaign lasts.
    pub deadline: Duration,
}

impl Means {
    /// Whether anything can be done.
    pub fn any(self) -> bool {
        self.packets || self.url
    }
}

/// What the keeper shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send one round of magic packets.
    SendPackets,
    /// Call the wake URL.
    CallUrl,
    /// Connect afresh and ask for the version.
    Poll,
    /// It answers again, this long after the campaign began; `Some` only when it was seen asleep.
    CameUp(Option<Duration>),
    /// The campaign passed its deadline.
    GaveUp,
}

/// The whole machine.
pub fn next(power: Power, event: Event, now: Instant, means: Means) -> (Power, Vec<Act>) {
    match event {
        Event::Answered => answered(power, now),
        Event::Refused(after) if after > PROMPT => no_answer(power, now, means),
        Event::Refused(_) => (refused(power), vec![]),
        Event::NoAnswer => no_answer(power, now, means),
        Event::Wanted => wanted(power, now, means),
        Event::Called => (called(power), vec![]),
        Event::GoesToSleep => (Power::Suspending { until: now + Duration::from_secs(20) }, vec![]),
        Event::Stays => stays(power, now),
        Event::Tick => tick(power, now, means),
    }
}

fn answered(power: Power, now: Instant) -> (Power, Vec<Act>) {
    match power {
        Power::Awake => (Power::Awake, vec![]),
        Power::Suspending { until } if now < until => (power, vec![]),
        Power::Waking(campaign) => {
            let took = campaign.slept.then(|| now - campaign.since);
            (Power::Awake, vec![Act::CameUp(took)])
        }
        Power::Unknown | Power::ServiceDown(_) | Power::Asleep | Power::Suspending { .. } | Power::WakeFailed { .. } => {
            (Power::Awake, vec![Act::CameUp(None)])
        }
    }
}

/// Its own word, unlike an answer that was on its way, also ends a sleep that was announced.
fn stays(power: Power, now: Instant) -> (Power, Vec<Act>) {
    match power {
        Power::Suspending { .. } => (Power::Awake, vec![Act::CameUp(None)]),
        other => answered(other, now),
    }
}

fn refused(power: Power) -> Power {
    match power {
        Power::Waking(campaign) => Power::Waking(Campaign { refused: true, ..campaign }),
        Power::ServiceDown(known) => Power::ServiceDown(known),
        Power::Suspending { until } => Power::Suspending { until },
        Power::WakeFailed { until, .. } => Power::WakeFailed { until, refused: true },
        Power::Unknown | Power::Awake | Power::Asleep => Power::ServiceDown(Refused::Resting),
    }
}

fn no_answer(power: Power, now: Instant, means: Means) -> (Power, Vec<Act>) {
    match power {
        // It refused and then fell silent: it went away after all, so packets may go again.
        Power::Waking(campaign) => (Power::Waking(Campaign { refused: false, slept: true, ..campaign }), vec![]),
        // A request waits for it, so its sleep is now the reason to wake it.
        Power::ServiceDown(Refused::Polled { .. }) if means.any() => start(now, means, true),
        Power::WakeFailed { until, refused } => (Power::WakeFailed { until, refused }, vec![]),
        Power::Unknown | Power::Awake | Power::ServiceDown(_) | Power::Asleep | Power::Suspending { .. } => {
            (Power::Asleep, vec![])
        }
    }
}

fn wanted(power: Power, now: Instant, means: Means) -> (Power, Vec<Act>) {
    match power {
        Power::Waking(_) | Power::ServiceDown(Refused::Polled { .. }) => (power, vec![]),
        Power::ServiceDown(Refused::GivenUp { until }) if now < until => (power, vec![]),
        Power::ServiceDown(_) => {
            let polled = Refused::Polled { until: now + REFUSED_POLLS, next: now + POLL };
            (Power::ServiceDown(polled), vec![])
        }
        Power::WakeFailed { until, .. } if now < until => (power, vec![]),
        _ if !means.any() => (power, vec![]),
        Power::Asleep | Power::WakeFailed { .. } | Power::Suspending { .. } => start(now, means, true),
        Power::Unknown | Power::Awake => start(now, means, false),
    }
}

fn called(power: Power) -> Power {
    match power {
        Power::Waking(campaign) => Power::Waking(Campaign { calling: false, ..campaign }),
        other => other,
    }
}

fn tick(power: Power, now: Instant, means: Means) -> (Power, Vec<Act>) {
    match power {
        Power::Waking(campaign) if now >= campaign.deadline => {
            (Power::WakeFailed { until: now + BACK_OFF, refused: campaign.refused }, vec![Act::GaveUp])
        }
        Power::Waking(campaign) => {
            let (campaign, acts) = campaign.due(now, means);
            (Power::Waking(campaign), acts)
        }
        Power::ServiceDown(Refused::Polled { until, .. }) if now >= until => {
            (Power::ServiceDown(Refused::GivenUp { until: now + BACK_OFF }), vec![Act::GaveUp])
        }
        Power::ServiceDown(Refused::Polled { until, next }) if now >= next => {
            (Power::ServiceDown(Refused::Polled { until, next: now + POLL }), vec![Act::Poll])
        }
        Power::Suspending { until } if now >= until => (Power::Asleep, vec![]),
        other => (other, vec![]),
    }
}

fn start(now: Instant, means: Means, slept: bool) -> (Power, Vec<Act>) {
    let campaign = Campaign {
        since: now,
        deadline: now + means.deadline,
        refused: false,
        slept,
        packets: 0,
        calls: 0,
        calling: false,
        polls: 0,
    };
    let (campaign, acts) = campaign.due(now, means);
    (Power::Waking(campaign), acts)
}

impl Campaign {
    /// Does everything that is due, each kind at most once per call: after a pause nothing is made up for.
    fn due(mut self, now: Instant, means: Means) -> (Self, Vec<Act>) {
        let mut acts = Vec::new();
        if means.packets && !self.refused && now >= self.next_packets() {
            self.packets = after(&PACKETS, PACKETS_LATER, self.packets, now - self.since);
            acts.push(Act::SendPackets);
        }
        if means.url && !self.refused && !self.calling && now >= self.next_call() {
            self.calls = after(&CALLS, CALLS_LATER, self.calls, now - self.since);
            self.calling = true;
            acts.push(Act::CallUrl);
        }
        if now >= self.next_poll() {
            // Polls keep to the grid of the campaign's start.
            self.polls = u32::try_from((now - self.since).as_millis() / POLL.as_millis()).unwrap_or(u32::MAX - 1) + 1;
            acts.push(Act::Poll);
        }
        (self, acts)
    }

    fn next_packets(&self) -> Instant {
        self.since + at(&PACKETS, PACKETS_LATER, self.packets)
    }

    fn next_call(&self) -> Instant {
        self.since + at(&CALLS, CALLS_LATER, self.calls)
    }

    fn next_poll(&self) -> Instant {
        self.since + POLL * self.polls
    }
}

/// The time of the `n`th event of a schedule that goes on regularly after its table.
fn at(table: &[Duration], later: Duration, n: u32) -> Duration {
    let index = n as usize;
    match (table.get(index), table.last()) {
        (Some(time), _) => *time,
        (None, Some(last)) => *last + later * (n + 1 - u32::try_from(table.len()).unwrap_or(n)),
        (None, None) => later * n,
    }
}

/// The first event of a schedule that is still to come, `elapsed` after its start: what was missed stays missed.
fn after(table: &[Duration], later: Duration, mut n: u32, elapsed: Duration) -> u32 {
    while at(table, later, n) <= elapsed {
        n += 1;
    }
    n
}

impl Power {
    /// When the machine wants its next `Tick`; `None` while nothing is under way, so that idling costs no timer.
    pub fn next_tick(&self, means: Means) -> Option<Instant> {
        match self {
            Self::Waking(campaign) => {
                let mut due = campaign.next_poll().min(campaign.deadline);
                if means.packets && !campaign.refused {
                    due = due.min(campaign.next_packets());
                }
                if means.url && !campaign.refused && !campaign.calling {
                    due = due.min(campaign.next_call());
                }
                Some(due)
            }
            Self::ServiceDown(Refused::Polled { until, next }) => Some((*until).min(*next)),
            Self::Suspending { until } => Some(*until),
            Self::Unknown | Self::Awake | Self::ServiceDown(_) | Self::Asleep | Self::WakeFailed { .. } => None,
        }
    }

    /// Whether something is under way that a request may wait for; it always ends by itself.
    pub fn in_progress(&self) -> bool {
        matches!(self, Self::Waking(_) | Self::ServiceDown(Refused::Polled { .. }))
    }

    /// Every word of [`Power::word`].
    pub const WORDS: [&'static str; 7] = ["unknown", "awake", "service_down", "asleep", "waking", "suspending", "wake_failed"];

    /// The word in logs, pages and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Awake => "awake",
            Self::ServiceDown(_) => "service_down",
            Self::Asleep => "asleep",
            Self::Waking(_) => "waking",
            Self::Suspending { .. } => "suspending",
            Self::WakeFailed { .. } => "wake_failed",
        }
    }
}

#[cfg(test)]
mod tests;
