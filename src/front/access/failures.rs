//! Wrong keys: a few are told at once, as people mistype; more from one address are slowed. A right key always passes, so
//! nobody can lock others out, and only few of the slowed ones are kept waiting at a time.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::values::{Allowance, Allowances, ClientId, Fault, Kind};

/// So many wrong keys of one address are told at once; one more every six seconds.
const AT_ONCE: Allowance = Allowance { count: 10, within: Duration::from_secs(60) };

/// What each further one takes.
const PAUSE: Duration = Duration::from_secs(1);

/// So many are kept waiting at once.
const WAITING: usize = 32;

/// So many addresses are remembered.
const ADDRESSES: usize = 4096;

pub(super) struct Failures {
    born: Instant,
    left: Mutex<Allowances>,
    waiting: Semaphore,
}

impl Default for Failures {
    fn default() -> Self {
        let left = Mutex::new(Allowances::of_at_most(ADDRESSES));
        Self { born: Instant::now(), left, waiting: Semaphore::new(WAITING) }
    }
}

impl Failures {
    /// A wrong key came from this address; what to tell it.
    pub(super) async fn one(&self, address: IpAddr) -> Fault {
        let (address, now) = (address.to_canonical(), self.born.elapsed());
        let client = ClientId::of_address(address);
        let taken = self.left.lock().unwrap_or_else(PoisonError::into_inner).take(client, AT_ONCE, now);
        let Err(wait) = taken else {
            tracing::warn!(client = %address, "a wrong key");
            return Fault::client(Kind::Unauthorized, "this key is none of this proxy's");
        };
        tracing::debug!(client = %address, "one more wrong key");
        if let Ok(_place) = self.waiting.try_acquire() {
            tokio::time::sleep(PAUSE).await;
        }
        let text = "too many wrong keys came from your address; correct the key before you try again";
        Fault::client(Kind::Limited, text).after(wait.max(PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(failures: &Failures, address: &str) -> (Kind, Duration) {
        let began = Instant::now();
        let fault = failures.one(address.parse().unwrap()).await;
        (fault.kind, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_wrong_keys_are_told_at_once_and_more_are_slowed_for_their_address_alone() {
        let failures = Failures::default();
        for _ in 0..AT_ONCE.count {
            assert_eq!(told(&failures, "192.168.1.66").await, (Kind::Unauthorized, Duration::ZERO));
        }
        assert_eq!(told(&failures, "192.168.1.66").await, (Kind::Limited, PAUSE));
        assert_eq!(told(&failures, "192.168.1.7").await, (Kind::Unauthorized, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attacker_keeps_few_tasks_waiting() {
        let failures = Failures::default();
        for _ in 0..AT_ONCE.count {
            told(&failures, "192.168.1.66").await;
        }
        let _all = failures.waiting.acquire_many(u32::try_from(WAITING).unwrap()).await.unwrap();
        assert_eq!(told(&failures, "192.168.1.66").await, (Kind::Limited, Duration::ZERO));
    }
}
