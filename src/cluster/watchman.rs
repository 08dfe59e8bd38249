//! Looks for workers that have fallen silent, and finds out what that means. Silence alone is no sentence.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::message::Status;
use super::registry::{Registry, Worker};
use crate::fleet::{Fleet, Node};
use crate::upstream::{self, Call};
use crate::values::boxed;

/// So often a worker is asked before it is taken for gone.
const PROBES: u32 = 3;

/// Between two probes.
const BETWEEN: Duration = Duration::from_secs(1);

/// What a worker may take to connect, and to answer from its memory.
const DIAL: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// Watches the workers of one controller.
pub struct Watchman {
    /// Who is watched.
    pub registry: Registry,
    /// The nodes that they are.
    pub fleet: Fleet,
    /// How often it looks.
    pub every: Duration,
}

/// What silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    /// Nothing.
    Nothing,
    /// Its machine sleeps.
    Sleeps,
    /// It may be gone: to be asked.
    Ask,
    /// It has gone as it said it would, or its machine runs without it.
    Gone,
}

/// What is known of a silent worker.
#[derive(Clone, Copy, Debug)]
struct Silent {
    status: Status,
    always_on: bool,
    /// A request is in its hands.
    in_use: bool,
    /// Another worker of the same machine is heard.
    machine_is_up: bool,
}

fn judge(silent: Silent) -> Judgement {
    match silent.status {
        Status::Draining => Judgement::Gone,
        // It said so, and its machine keeps its word by saying nothing.
        Status::Sleeping => Judgement::Nothing,
        Status::Healthy | Status::Unhealthy if silent.always_on || silent.in_use => Judgement::Ask,
        Status::Healthy | Status::Unhealthy if silent.machine_is_up => Judgement::Gone,
        Status::Healthy | Status::Unhealthy => Judgement::Sleeps,
    }
}

impl Watchman {
    /// Never ends.
    ///
    /// # Errors
    /// None; the type is that of all long-lived tasks.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut looks = tokio::time::interval(self.every);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    async fn look(&self) {
        let (now, timeout) = (Instant::now(), self.registry.timeout());
        let workers = self.registry.all();
        let is_silent = |worker: &Worker| now.saturating_duration_since(worker.heard) >= timeout;
        let mut asked = JoinSet::new();
        for (id, worker) in workers.iter().filter(|(_, worker)| is_silent(worker)) {
            let Some(node) = self.fleet.find(worker.name.as_str()) else { continue };
            // Whatever answers requests lives, whether or not it says so.
            if node.last_seen().is_some_and(|seen| now.saturating_duration_since(seen) < timeout) {
                continue;
            }
            // Two workers of a machine that falls asleep fall silent together, within a heartbeat.
            let outlives =
                |mate: &Worker| mate.at.ip() == worker.at.ip() && mate.heard.saturating_duration_since(worker.heard) >= timeout;
            let machine_is_up = workers.iter().any(|(other, mate)| other != id && outlives(mate));
            let (status, always_on) = (worker.status, worker.told.power.always_on);
            match judge(Silent { status, always_on, in_use: node.active() > node.held(), machine_is_up }) {
                Judgement::Nothing => {}
                Judgement::Sleeps => node.fell_silent("no heartbeat of its worker came any more"),
                Judgement::Gone => self.drop_worker(id, now, "it said nothing any more"),
                Judgement::Ask => {
                    let (id, node) = (id.clone(), node.clone());
                    asked.spawn(boxed(async move { (id, answers(&node).await) }));
                }
            }
        }
        while let Some(Ok((id, answers))) = asked.join_next().await {
            if answers {
                tracing::warn!(worker = %id, "it answers, but sends no heartbeats: look at its log, its --controller-url and its key");
                self.registry.answers(&id);
            } else {
                self.drop_worker(&id, now, "three probes in vain");
            }
        }
    }

    fn drop_worker(&self, id: &str, since: Instant, why: &str) {
        if self.registry.drop_silent(id, since) {
            tracing::warn!(worker = id, why, "leaves the pool");
        }
    }
}

/// Whether it answers one of three probes.
async fn answers(node: &Node) -> bool {
    for probe in 0..PROBES {
        if probe > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        let Ok(link) = node.connect(DIAL).await else { continue };
        let peer = link.peer.ip();
        let call = Call {
            method: Method::GET,
            path: "/health".to_owned(),
            host: node.host().clone(),
            authorization: None,
            body: Bytes::new(),
        };
        if upstream::call_over(link, ANSWER, call).await.is_ok_and(|reply| reply.status.is_success()) {
            node.answered(peer);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLEEPER: Silent = Silent { status: Status::Healthy, always_on: false, in_use: false, machine_is_up: false };

    #[test]
    fn a_silent_sleeper_is_asleep_and_what_should_be_there_is_asked() {
        assert_eq!(judge(SLEEPER), Judgement::Sleeps);
        assert_eq!(judge(Silent { in_use: true, ..SLEEPER }), Judgement::Ask);
        assert_eq!(judge(Silent { always_on: true, ..SLEEPER }), Judgement::Ask);
        assert_eq!(judge(Silent { status: Status::Unhealthy, ..SLEEPER }), Judgement::Sleeps);
    }

    #[test]
    fn who_said_that_it_sleeps_is_never_asked_and_who_left_is_gone() {
        for (always_on, in_use, machine_is_up) in [(true, true, true), (false, false, false), (true, false, true)] {
            let silent = |status| Silent { status, always_on, in_use, machine_is_up };
            assert_eq!(judge(silent(Status::Sleeping)), Judgement::Nothing);
            assert_eq!(judge(silent(Status::Draining)), Judgement::Gone);
        }
    }

    #[test]
    fn a_process_that_died_on_a_machine_that_runs_is_no_sleeper() {
        assert_eq!(judge(Silent { machine_is_up: true, ..SLEEPER }), Judgement::Gone);
    }
}
