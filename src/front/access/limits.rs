//! How much each client may ask: requests per minute, and at once. Costs nothing where no limit is set.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{AccessConfig, KeyRules};
use crate::proxy::{Caller, Refusal};
use crate::values::{Allowance, Allowances, ClientId, Fault, Kind};

const MINUTE: Duration = Duration::from_secs(60);

/// So many clients are remembered.
const CLIENTS: usize = 4096;

/// The limits of all clients, and what each has left.
pub(super) struct Limits {
    rate: Option<u32>,
    concurrent: Option<u32>,
    born: Instant,
    left: Mutex<Allowances>,
    running: Arc<Mutex<HashMap<ClientId, u32>>>,
}

/// A request that runs; counted until this is dropped.
#[derive(Debug)]
pub(in crate::front) struct Running {
    client: ClientId,
    all: Arc<Mutex<HashMap<ClientId, u32>>>,
}

impl Limits {
    pub(super) fn new(config: &AccessConfig) -> Self {
        Self {
            rate: config.rate,
            concurrent: config.concurrent,
            born: Instant::now(),
            left: Mutex::new(Allowances::of_at_most(CLIENTS)),
            running: Arc::default(),
        }
    }

    /// Leave for one more request; `None`: nobody counts how many run.
    ///
    /// # Errors
    /// `Limited`, with the limit that is reached.
    pub(super) fn enter(&self, caller: &Caller) -> Result<Option<Running>, (Refusal, Fault)> {
        let own = |of_key: fn(&KeyRules) -> Option<u32>, of_all| caller.key.as_deref().and_then(of_key).or(of_all);
        // First what costs nothing when it is refused.
        let running = match own(|key| key.concurrent, self.concurrent) {
            Some(most) => Some(self.begin(caller.id, most).ok_or_else(|| too_many(most))?),
            None => None,
        };
        if let Some(count) = own(|key| key.rate, self.rate) {
            let allowance = Allowance { count, within: MINUTE };
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.take(caller.id, allowance, self.born.elapsed()).map_err(|wait| too_fast(count, wait))?;
        }
        Ok(running)
    }

    fn begin(&self, client: ClientId, most: u32) -> Option<Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(running);
        Some(Running { client, all: self.running.clone() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.client);
            }
        }
    }
}

fn too_fast(count: u32, wait: Duration) -> (Refusal, Fault) {
    let text = format!("this proxy takes {count} requests per minute from one client; try again in {} s", wait.as_secs() + 1);
    (Refusal::Rate, Fault::client(Kind::Limited, text).after(wait + Duration::from_secs(1)))
}

fn too_many(most: u32) -> (Refusal, Fault) {
    let text = format!("this proxy runs {most} requests of one client at once; try again when one has ended");
    (Refusal::Concurrency, Fault::client(Kind::Limited, text).after(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyDigest;
    use crate::values::Retry;

    fn limits(rate: Option<u32>, concurrent: Option<u32>) -> Limits {
        Limits::new(&AccessConfig { rate, concurrent, ..AccessConfig::default() })
    }

    fn caller(address: &str) -> Caller {
        Caller::open(address.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn each_client_has_its_minute() {
        let limits = limits(Some(2), None);
        let (one, other) = (caller("192.168.1.7:1"), caller("192.168.1.8:1"));
        assert!(limits.enter(&one).is_ok() && limits.enter(&caller("192.168.1.7:2")).is_ok());
        let (refusal, fault) = limits.enter(&one).unwrap_err();
        assert_eq!((refusal, fault.retry), (Refusal::Rate, Retry::After(Duration::from_secs(31))));
        assert!(limits.enter(&other).is_ok());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(limits.enter(&one).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_ended_makes_room_and_nothing_is_kept_of_who_is_gone() {
        let limits = limits(None, Some(1));
        let one = caller("[2001:db8::1]:1");
        let runs = limits.enter(&one).unwrap().unwrap();
        assert_eq!(limits.enter(&caller("[2001:db8::2]:1")).unwrap_err().0, Refusal::Concurrency, "the same machine");
        drop(runs);
        drop(limits.enter(&one).unwrap().unwrap());
        assert!(limits.running.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_may_have_limits_of_its_own() {
        let (name, digest) = ("kids".into(), KeyDigest::of(b"k"));
        let key = KeyRules {
            name,
            digest,
            admin: false,
            models: vec![],
            nodes: vec![],
            may_wake: true,
            rate: Some(1),
            concurrent: None,
        };
        let limits = Limits::new(&AccessConfig { keys: vec![key.clone()], ..AccessConfig::default() });
        let kids = Caller { id: ClientId::Key(0), key: Some(Arc::new(key)), ..caller("192.168.1.7:1") };
        assert!(limits.enter(&kids).is_ok() && limits.enter(&kids).is_err());
        let one = KeyRules { rate: None, concurrent: Some(1), ..(**kids.key.as_ref().unwrap()).clone() };
        let one = Caller { id: ClientId::Key(1), key: Some(Arc::new(one)), ..kids };
        let runs = limits.enter(&one).unwrap();
        assert_eq!(limits.enter(&one).unwrap_err().0, Refusal::Concurrency);
        drop(runs);
        assert!(limits.enter(&one).is_ok());
        assert!(limits.enter(&caller("192.168.1.7:1")).is_ok());
    }
}
