//! Tells the owner what needs him: a wake that failed, an always-on node that was lost, a machine that is awake for too
//! long. Follows the journal in the background: no request ever waits for it.

mod alert;
mod send;

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::telemetry::journal::Journal;

pub use alert::{Alert, Kind};
pub use send::Targets;

/// The same news of the same node is told at most this often.
const AGAIN: Duration = Duration::from_secs(15 * 60);

/// Entries are looked at this often at most; under load each request makes one.
const LOOKS: Duration = Duration::from_millis(200);

/// Alerts that wait to be sent. Beyond that the network is down, and telling late is of no use.
const WAITING: usize = 16;

/// Follows the journal.
pub struct Notifier {
    fleet: Fleet,
    targets: Targets,
    revisions: watch::Receiver<u64>,
    told: Told,
}

impl Notifier {
    /// From now on; what the journal holds from before is old news.
    pub fn new(fleet: Fleet, targets: Targets) -> Self {
        let revisions = fleet.journal().revisions();
        Self { fleet, targets, revisions, told: Told::default() }
    }

    /// Never ends.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let (alerts, waiting) = mpsc::channel(WAITING);
        let journal: Journal = self.fleet.journal().clone();
        let (_, mut seen) = journal.changes(u64::MAX);
        let sending = send_all(self.targets.clone(), waiting);
        let following = async {
            loop {
                if self.revisions.changed().await.is_err() {
                    anyhow::bail!("the journal is gone");
                }
                tokio::time::sleep(LOOKS).await;
                let (entries, revision) = journal.changes(seen);
                seen = revision;
                for entry in entries {
                    let always_on = |name: &str| self.fleet.find(name).is_some_and(|node| node.config().always_on);
                    let Some(alert) = Alert::of(&entry, always_on).filter(|alert| self.told.may_tell(alert)) else { continue };
                    if alerts.try_send(alert).is_err() {
                        tracing::warn!("too many notifications wait; one is left out");
                    }
                }
            }
        };
        tokio::select! {
            ended = following => ended,
            () = sending => anyhow::bail!("notifications ended by themselves"),
        }
    }
}

async fn send_all(targets: Targets, mut waiting: mpsc::Receiver<Alert>) {
    while let Some(alert) = waiting.recv().await {
        for (target, sent) in targets.send(&alert).await {
            match sent {
                Ok(()) => tracing::info!(target, event = alert.kind.word(), node = alert.node, "owner told"),
                Err(why) => tracing::warn!(target, event = alert.kind.word(), why, "the owner could not be told"),
            }
        }
    }
}

/// When what was last told. As bounded as the kinds and the nodes are.
#[derive(Debug, Default)]
struct Told(HashMap<(Kind, Option<String>), Instant>);

impl Told {
    fn may_tell(&mut self, alert: &Alert) -> bool {
        let now = Instant::now();
        self.0.retain(|_, last| now.duration_since(*last) < AGAIN);
        let key = (alert.kind, alert.node.clone());
        let may = !self.0.contains_key(&key);
        self.0.entry(key).or_insert(now);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(kind: Kind, node: &str) -> Alert {
        Alert { kind, node: Some(node.to_owned()), text: String::new(), at: 0.0 }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_news_of_the_same_node_is_told_once_in_a_quarter_of_an_hour() {
        let mut told = Told::default();
        assert!(told.may_tell(&alert(Kind::WakeFailed, "a")));
        assert!(!told.may_tell(&alert(Kind::WakeFailed, "a")));
        assert!(told.may_tell(&alert(Kind::WakeFailed, "b")) && told.may_tell(&alert(Kind::NodeLost, "a")));
        tokio::time::advance(AGAIN.saturating_sub(Duration::from_secs(1))).await;
        assert!(!told.may_tell(&alert(Kind::WakeFailed, "a")));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(told.may_tell(&alert(Kind::WakeFailed, "a")));
        assert_eq!(told.0.len(), 1, "what is old is forgotten");
    }
}
