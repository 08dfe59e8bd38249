//! What this worker's machine is about to do, for all its controllers: whoever puts it to sleep announces it here first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Nobody waits longer for controllers to hear it: the machine sleeps all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// It is about to sleep: no heartbeat is sent until it is awake again.
    pub sleeping: bool,
    /// It holds itself awake.
    pub held: bool,
    /// How long it slept, once it is awake again.
    pub gap: Option<Duration>,
}

/// Tells the controllers. Cheap to clone; clones share it.
#[derive(Clone, Default)]
pub struct Announcer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// With the number of the announcement.
    said: watch::Sender<(u64, Condition)>,
    /// The last announcement that each controller was told, by its place.
    told: Mutex<BTreeMap<usize, u64>>,
    heard: watch::Sender<()>,
}

impl Announcer {
    /// What was last announced.
    pub fn condition(&self) -> Condition {
        self.0.said.borrow().1
    }

    /// Announces without waiting.
    pub fn say(&self, condition: Condition) -> u64 {
        self.0.said.send_modify(|(number, said)| {
            *number += 1;
            *said = condition;
        });
        self.0.said.borrow().0
    }

    /// Announces, and waits until every controller has heard it, three seconds at most. `false`: some have not.
    pub async fn announce(&self, condition: Condition) -> bool {
        let mut heard = self.0.heard.subscribe();
        let number = self.say(condition);
        let all = heard.wait_for(|()| self.links().values().all(|told| *told >= number));
        tokio::time::timeout(PATIENCE, all).await.is_ok()
    }

    /// Follows what is announced.
    pub(super) fn follow(&self, link: usize) -> watch::Receiver<(u64, Condition)> {
        self.links().insert(link, 0);
        self.0.said.subscribe()
    }

    /// A controller was told.
    pub(super) fn told(&self, link: usize, number: u64) {
        self.links().insert(link, number);
        self.0.heard.send_replace(());
    }

    fn links(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, u64>> {
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_announcement_waits_for_every_controller_and_not_for_ever() {
        let announcer = Announcer::default();
        let sleeping = Condition { sleeping: true, ..Condition::default() };
        assert!(announcer.announce(Condition::default()).await, "nobody is to be told");
        let (first, second) = (announcer.follow(0), announcer.follow(1));
        let telling = announcer.clone();
        let tell = tokio::spawn(async move { telling.announce(sleeping).await });
        let mut heard = first.clone();
        heard.changed().await.unwrap();
        let (number, condition) = *heard.borrow();
        assert!(condition.sleeping);
        announcer.told(0, number);
        tokio::task::yield_now().await;
        assert!(!tell.is_finished());
        announcer.told(1, number);
        assert!(tell.await.unwrap());
        assert!(!announcer.announce(Condition::default()).await, "nobody hears it any more");
        drop(second);
    }
}
