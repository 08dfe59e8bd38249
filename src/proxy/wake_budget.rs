//! How many wakes a client may cause in an hour: a broken one must not keep a PC up all night. Who has used his up is named.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Job, Proxy, Refusal};
use crate::fleet::Node;
use crate::telemetry::journal::{Event, Journal, Refused};
use crate::values::{Allowance, Allowances, ClientId, Fault, Kind, Retry};

const HOUR: Duration = Duration::from_secs(3600);

/// So many clients are remembered.
const CLIENTS: usize = 4096;

/// So many offenders are named.
const OFFENDERS: usize = 16;

/// The wakes of all clients.
pub(super) struct WakeBudget {
    allowance: Option<Allowance>,
    born: Instant,
    books: Mutex<Books>,
}

struct Books {
    left: Allowances,
    offenders: BTreeMap<ClientId, Offender>,
}

/// A client that has used up its wakes.
#[derive(Clone, Debug)]
struct Offender {
    who: String,
    refused: u64,
    /// When it was last refused.
    at: Duration,
}

impl WakeBudget {
    /// `None`: without end.
    pub(super) fn new(wakes_per_hour: Option<u32>) -> Self {
        let books = Books { left: Allowances::of_at_most(CLIENTS), offenders: BTreeMap::new() };
        let allowance = wakes_per_hour.map(|count| Allowance { count, within: HOUR });
        Self { allowance, born: Instant::now(), books: Mutex::new(books) }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a wake; otherwise the time until there is one again, and whether this is the first refusal in a while.
    fn take(&self, client: ClientId, who: &dyn Fn() -> String) -> Result<(), (Duration, bool)> {
        let Some(allowance) = self.allowance else { return Ok(()) };
        let now = self.born.elapsed();
        let mut books = self.books();
        let Err(wait) = books.left.take(client, allowance, now) else { return Ok(()) };
        let recent = |offender: &Offender| now.saturating_sub(offender.at) < HOUR;
        books.offenders.retain(|_, offender| recent(offender));
        let is_new = !books.offenders.contains_key(&client);
        if is_new && books.offenders.len() >= OFFENDERS {
            let oldest = books.offenders.iter().min_by_key(|(_, offender)| offender.at).map(|(client, _)| *client);
            oldest.and_then(|client| books.offenders.remove(&client));
        }
        let offender = books.offenders.entry(client).or_insert_with(|| Offender { who: who(), refused: 0, at: now });
        offender.refused += 1;
        offender.at = now;
        Err((wait, is_new))
    }

    fn has(&self, client: ClientId) -> bool {
        self.allowance.is_none_or(|allowance| self.books().left.has(client, allowance, self.born.elapsed()))
    }

    /// It was no wake after all: the host was up.
    fn give_back(&self, client: ClientId) {
        if let Some(allowance) = self.allowance {
            self.books().left.give_back(client, allowance);
        }
    }

    /// Each client that was refused within the last hour, with how often.
    fn offenders(&self) -> Vec<(String, u64)> {
        let now = self.born.elapsed();
        let books = self.books();
        let recent = books.offenders.values().filter(|offender| now.saturating_sub(offender.at) < HOUR);
        recent.map(|offender| (offender.who.clone(), offender.refused)).collect()
    }
}

impl Proxy {
    /// Leave to start a wake of this node for this request. Joining one that is under way costs nothing.
    ///
    /// # Errors
    /// `Limited`: the client has used up its wakes.
    pub(super) fn spend_wake(&self, node: &Node, job: &Job<'_>) -> Result<(), Fault> {
        let view = node.view();
        if view.power.in_progress() || !view.means.any() {
            return Ok(());
        }
        let wakes = &self.0.wakes;
        let Err((wait, is_new)) = wakes.take(job.caller.id, &|| name(job)) else { return Ok(()) };
        self.0.metrics.refused(Refusal::WakeBudget);
        let (who, count) = (name(job), wakes.allowance.map_or(0, |allowance| allowance.count));
        if is_new {
            tracing::warn!(client = who, node = %node.name(), count, "this client has used up its wakes of this hour (--wake-budget)");
            note(self.0.fleet.journal(), node, &who);
        }
        let text = format!(
            "GPU host \"{}\" is asleep, and {who} has caused {count} wakes within the hour already (--wake-budget); try again in {} \
             s, or wake it by hand",
            node.name(),
            wait.as_secs() + 1
        );
        Err(Fault::ours(Kind::Limited, Retry::After(wait + Duration::from_secs(1)), text))
    }

    /// Whether a wake is left to the client. Counts and tells nothing.
    pub(super) fn has_wake(&self, job: &Job<'_>) -> bool {
        self.0.wakes.has(job.caller.id)
    }

    /// The host was up: what [`Self::spend_wake`] took is the client's again.
    pub(super) fn spare_wake(&self, job: &Job<'_>) {
        self.0.wakes.give_back(job.caller.id);
    }

    /// Clients that wake more than they may, in words for the page.
    pub fn offenders(&self) -> Vec<String> {
        let words = |(who, refused): (String, u64)| {
            format!("{who} has used up its wakes of this hour (--wake-budget); {refused} of its requests were refused since.")
        };
        self.0.wakes.offenders().into_iter().map(words).collect()
    }
}

/// The client as its owner knows it.
fn name(job: &Job<'_>) -> String {
    let address = job.caller.address.ip().to_canonical();
    match &job.caller.key {
        Some(key) => format!("key {} ({address})", key.name),
        None => format!("client {address}"),
    }
}

fn note(journal: &Journal, node: &Node, who: &str) {
    let refused = Refused { client: who.to_owned(), reason: Refusal::WakeBudget.word().into() };
    journal.note(Some(node.name().as_str()), Event::Refused(refused));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> String {
        "somebody".to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_its_wakes_and_no_more_until_the_hour_gives_one_back() {
        let budget = WakeBudget::new(Some(2));
        let client = ClientId::Key(1);
        assert!(budget.take(client, &who).is_ok() && budget.take(client, &who).is_ok());
        assert_eq!(budget.take(client, &who), Err((HOUR / 2, true)));
        assert_eq!(budget.take(client, &who).map_err(|(_, is_new)| is_new), Err(false), "it is named once");
        assert!(budget.take(ClientId::Key(2), &who).is_ok(), "another one has its own");
        assert_eq!(budget.offenders(), [("somebody".to_owned(), 2)]);
        tokio::time::advance(HOUR / 2).await;
        assert!(budget.take(client, &who).is_ok());
        tokio::time::advance(HOUR).await;
        assert_eq!(budget.offenders(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn offenders_are_bounded_and_without_a_budget_nobody_is_one() {
        let (budget, endless) = (WakeBudget::new(Some(1)), WakeBudget::new(None));
        for number in 0..100 {
            let _ = budget.take(ClientId::Key(number), &who);
            let _ = budget.take(ClientId::Key(number), &who);
            assert!(endless.take(ClientId::Key(1), &who).is_ok());
        }
        assert_eq!((budget.offenders().len(), endless.offenders().len()), (OFFENDERS, 0));
    }
}
