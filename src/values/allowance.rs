//! How much each client may take: token buckets in a bounded table. Pure: the time is told.

use std::collections::HashMap;
use std::time::Duration;

use super::ClientId;

/// So much in such a time; all of it may be taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How often.
    pub count: u32,
    /// Within which time.
    pub within: Duration,
}

/// What each client has left. Times are told as the time since some fixed moment.
#[derive(Debug)]
pub struct Allowances {
    clients: HashMap<ClientId, Bucket>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Duration,
}

impl Allowance {
    /// The time after which one more may be taken.
    fn step(self) -> Duration {
        self.within / self.count.max(1)
    }
}

impl Bucket {
    fn refilled(self, allowance: Allowance, now: Duration) -> f64 {
        let since = now.saturating_sub(self.at).as_secs_f64();
        (self.left + since / allowance.step().as_secs_f64().max(1e-9)).min(f64::from(allowance.count))
    }
}

impl Allowances {
    /// A table of at most so many clients.
    pub fn of_at_most(most: usize) -> Self {
        Self { clients: HashMap::new(), most }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time until there is one again.
    pub fn take(&mut self, client: ClientId, allowance: Allowance, now: Duration) -> Result<(), Duration> {
        if !self.clients.contains_key(&client) {
            self.make_room(allowance, now);
        }
        let bucket = self.clients.entry(client).or_insert(Bucket { left: f64::from(allowance.count), at: now });
        let left = bucket.refilled(allowance, now);
        let taken = left >= 1.0;
        *bucket = Bucket { left: if taken { left - 1.0 } else { left }, at: now };
        if taken { Ok(()) } else { Err(allowance.step().mul_f64(1.0 - left)) }
    }

    /// Gives one back that was taken for nothing.
    pub fn give_back(&mut self, client: ClientId, allowance: Allowance) {
        if let Some(bucket) = self.clients.get_mut(&client) {
            bucket.left = (bucket.left + 1.0).min(f64::from(allowance.count));
        }
    }

    /// Whether one could be taken now.
    pub fn has(&self, client: ClientId, allowance: Allowance, now: Duration) -> bool {
        self.clients.get(&client).is_none_or(|bucket| bucket.refilled(allowance, now) >= 1.0)
    }

    /// Forgets who has everything again; when all have taken something, whoever was not seen for longest.
    fn make_room(&mut self, allowance: Allowance, now: Duration) {
        if self.clients.len() < self.most {
            return;
        }
        self.clients.retain(|_, bucket| bucket.refilled(allowance, now) < f64::from(allowance.count));
        if self.clients.len() >= self.most {
            let oldest = self.clients.iter().min_by_key(|(_, bucket)| bucket.at).map(|(client, _)| *client);
            oldest.and_then(|client| self.clients.remove(&client));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX_A_MINUTE: Allowance = Allowance { count: 6, within: Duration::from_secs(60) };

    fn key(number: u32) -> ClientId {
        ClientId::Key(number)
    }

    #[test]
    fn what_is_allowed_may_be_taken_at_once_and_comes_back_evenly() {
        let mut table = Allowances::of_at_most(10);
        let at = Duration::from_secs;
        for _ in 0..6 {
            assert_eq!(table.take(key(1), SIX_A_MINUTE, at(0)), Ok(()));
        }
        assert_eq!(table.take(key(1), SIX_A_MINUTE, at(0)), Err(at(10)));
        assert!(!table.has(key(1), SIX_A_MINUTE, at(9)) && table.has(key(1), SIX_A_MINUTE, at(10)));
        assert_eq!(table.take(key(1), SIX_A_MINUTE, at(10)), Ok(()));
        assert!(table.take(key(1), SIX_A_MINUTE, at(10)).is_err());
        assert_eq!(table.take(key(2), SIX_A_MINUTE, at(10)), Ok(()), "another client has its own");
    }

    #[test]
    fn the_table_stays_within_its_bound_and_keeps_who_has_taken_last() {
        let mut table = Allowances::of_at_most(4);
        let once = Allowance { count: 1, within: Duration::from_secs(3600) };
        for number in 0..1000 {
            table.take(key(number), once, Duration::from_millis(number.into())).unwrap();
            assert!(table.clients.len() <= 4);
        }
        assert!(table.take(key(999), once, Duration::from_secs(1)).is_err());
    }
}
