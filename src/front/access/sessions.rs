//! Who has logged in with a browser: cookies that no script can read, for a day, in a bounded table.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::Instant;

use crate::config::KeyDigest;

/// Our cookie's name.
const COOKIE: &str = "ollama_proxy_session";

/// After this one logs in again.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// So many browsers are logged in at once; one more ends the oldest session.
const MOST: usize = 256;

/// The open sessions. Only digests are kept: what is in memory opens nothing.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Session>>);

struct Session {
    token: KeyDigest,
    /// The number of the key that it was opened with.
    key: u32,
    ends: Instant,
}

impl Sessions {
    fn open_ones(&self) -> MutexGuard<'_, Vec<Session>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|session| session.ends > now);
        sessions
    }

    /// Opens one with a key; the cookie to set. `None`: this machine has no random numbers to give.
    pub(super) fn open(&self, key: u32, over_tls: bool) -> Option<HeaderValue> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let token = bytes.iter().fold(String::with_capacity(64), |token, byte| token + &format!("{byte:02x}"));
        let mut sessions = self.open_ones();
        if sessions.len() >= MOST {
            sessions.remove(0);
        }
        sessions.push(Session { token: KeyDigest::of(token.as_bytes()), key, ends: Instant::now() + LIFE });
        drop(sessions);
        cookie(&token, LIFE, over_tls)
    }

    /// Ends those of all other keys.
    pub(super) fn keep_those_of(&self, is_key: impl Fn(u32) -> bool) {
        self.open_ones().retain(|session| is_key(session.key));
    }

    /// The key of the session whose cookie a request brings.
    pub(super) fn key(&self, headers: &HeaderMap) -> Option<u32> {
        self.shown(headers).map(|(_, key, _)| key)
    }

    /// The session whose cookie a request brings: the digest of that, its key, and its end.
    pub(super) fn shown(&self, headers: &HeaderMap) -> Option<(KeyDigest, u32, Instant)> {
        let token = KeyDigest::of(token(headers)?.as_bytes());
        self.of(&token).map(|(key, ends)| (token, key, ends))
    }

    /// The key and the end of the session of this cookie.
    pub(super) fn of(&self, token: &KeyDigest) -> Option<(u32, Instant)> {
        let sessions = self.open_ones();
        sessions.iter().find(|session| session.token.matches(token)).map(|session| (session.key, session.ends))
    }

    /// Ends the session of a request; the cookie that takes its own away.
    pub(super) fn end(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if let Some(token) = token(headers) {
            let token = KeyDigest::of(token.as_bytes());
            self.open_ones().retain(|session| !session.token.matches(&token));
        }
        cookie("", Duration::ZERO, false)
    }
}

fn cookie(token: &str, life: Duration, over_tls: bool) -> Option<HeaderValue> {
    let secure = if over_tls { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}", life.as_secs());
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, token)| token).filter(|token| token.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brings(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("theme=dark; {pair}").parse().unwrap());
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_a_day_or_until_it_is_ended() {
        let sessions = Sessions::default();
        let (first, second) = (sessions.open(3, false).unwrap(), sessions.open(4, true).unwrap());
        assert_ne!(first, second);
        let text = first.to_str().unwrap();
        assert!(text.contains("HttpOnly; SameSite=Strict") && !text.contains("Secure"), "{text}");
        assert!(second.to_str().unwrap().ends_with("; Secure"));
        assert_eq!((sessions.key(&brings(&first)), sessions.key(&brings(&second))), (Some(3), Some(4)));
        assert!(sessions.end(&brings(&first)).unwrap().to_str().unwrap().contains("Max-Age=0"));
        assert_eq!((sessions.key(&brings(&first)), sessions.key(&brings(&second))), (None, Some(4)));
        tokio::time::advance(LIFE).await;
        assert_eq!(sessions.key(&brings(&second)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_an_invented_cookie_opens_nothing() {
        let sessions = Sessions::default();
        let first = sessions.open(0, false).unwrap();
        let last = (0..MOST).map(|_| sessions.open(1, false).unwrap()).last().unwrap();
        assert_eq!(sessions.open_ones().len(), MOST);
        assert_eq!((sessions.key(&brings(&first)), sessions.key(&brings(&last))), (None, Some(1)));
        let invented = cookie(&"0".repeat(64), LIFE, false).unwrap();
        assert_eq!(sessions.key(&brings(&invented)), None);
        assert_eq!(sessions.key(&HeaderMap::new()), None);
    }
}
