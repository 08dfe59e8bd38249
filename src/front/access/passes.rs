//! How long a look lasts: a stream of events has no end of its own, so it ends with what let its reader in.

use hyper::header::HeaderMap;
use tokio::time::{Instant, sleep_until};

use super::Access;
use crate::config::KeyDigest;
use crate::proxy::Caller;
use crate::values::ClientId;

/// What let somebody in.
#[derive(Debug, Clone, Copy)]
pub(in crate::front) enum Pass {
    /// Nobody was asked for a key.
    Open,
    /// The key of this number.
    Key(u32),
    /// The session of this cookie.
    Session(KeyDigest),
}

/// How long a pass is good, as far as is known now.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Good {
    Not,
    Until(Instant),
    /// As long as the keys stay as they are.
    Yet,
}

impl Access {
    /// What let this caller in.
    pub(in crate::front) fn pass(&self, caller: &Caller, headers: &HeaderMap) -> Pass {
        let ClientId::Key(number) = caller.id else { return Pass::Open };
        match self.sessions.shown(headers) {
            Some((token, key, _)) if key == number => Pass::Session(token),
            _ => Pass::Key(number),
        }
    }

    /// Comes when a pass is good no more: its key was taken back, or is asked for from now on; its session has ended.
    pub(in crate::front) async fn runs_out(&self, pass: Pass) {
        let mut changes = self.changes.subscribe();
        loop {
            let end = match self.good(pass) {
                Good::Not => return,
                Good::Until(end) => Some(end),
                Good::Yet => None,
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {}
            }
        }
    }

    fn good(&self, pass: Pass) -> Good {
        let keyring = self.keyring();
        let is_key = |number| keyring.get(number).is_some();
        match pass {
            Pass::Open if !keyring.of_clients => Good::Yet,
            Pass::Key(number) if is_key(number) => Good::Yet,
            Pass::Session(token) => match self.sessions.of(&token) {
                Some((key, end)) if is_key(key) => Good::Until(end),
                _ => Good::Not,
            },
            Pass::Open | Pass::Key(_) => Good::Not,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{AccessConfig, KeyRules};
    use crate::proxy::Metrics;
    use crate::telemetry::metrics::Registry;

    #[tokio::test(start_paused = true)]
    async fn a_look_by_a_session_ends_with_its_day_and_one_by_a_key_goes_on() {
        let (name, digest) = ("alice".into(), KeyDigest::of(b"key-of-alice"));
        let (models, nodes) = (vec![], vec![]);
        let key = KeyRules { name, digest, admin: false, models, nodes, may_wake: true, rate: None, concurrent: None };
        let config = AccessConfig { keys: vec![key], ..AccessConfig::default() };
        let access = Access::new(&config, Metrics::register(&Registry::default()));
        let cookie = access.sessions.open(0, false).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.to_str().unwrap().split(';').next().unwrap().parse().unwrap());
        let caller = Caller { id: ClientId::Key(0), ..Caller::open("192.168.1.7:1".parse().unwrap()) };
        let (by_cookie, by_key) = (access.pass(&caller, &headers), access.pass(&caller, &HeaderMap::new()));
        let (day, second) = (Duration::from_secs(24 * 3600), Duration::from_secs(1));
        let lasts = |pass, time| tokio::time::timeout(time, access.runs_out(pass));
        assert!(lasts(by_cookie, day.saturating_sub(second)).await.is_err(), "it ends too early");
        assert!(lasts(by_cookie, 2 * second).await.is_ok(), "it goes on");
        assert!(lasts(by_key, day).await.is_err(), "no day ends a key");
    }
}
