//! One worker's link to one controller: registers, tells how it is, and registers anew when it is not known there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::access;
use super::announcer::{Announcer, Condition};
use super::worker::Tale;
use crate::config::ProxyUrl;
use crate::upstream::{self, Call, Reply};

/// A controller answers from memory.
const DIAL: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);

/// Tries to register are never further apart than this at first, and no closer than `RARELY` in the end.
const LONGEST: Duration = Duration::from_secs(60);
const RARELY: Duration = Duration::from_secs(300);

/// A link to one controller.
pub(super) struct Link {
    place: usize,
    controller: ProxyUrl,
    tale: Arc<Tale>,
    announcer: Announcer,
    said: watch::Receiver<(u64, Condition)>,
    /// What was last logged about it: each trouble is told once.
    trouble: Option<String>,
}

/// How a heartbeat went.
enum Heard {
    Yes,
    /// It does not know this worker: it was started anew, or another process took the name.
    Unknown,
    No,
}

impl Link {
    pub(super) fn new(place: usize, controller: ProxyUrl, tale: Arc<Tale>, announcer: Announcer) -> Self {
        let said = announcer.follow(place);
        Self { place, controller, tale, announcer, said, trouble: None }
    }

    /// Ends when `end` is true and the controller has heard it, or not.
    pub(super) async fn run(mut self, mut end: watch::Receiver<bool>) {
        let mut id = None;
        tokio::select! {
            () = self.keep(&mut id) => {}
            _ = end.wait_for(|asked| *asked) => {}
        }
        if let Some(id) = id {
            let _ = self.ask(Method::DELETE, &format!("/internal/workers/{id}"), Bytes::new()).await;
        }
    }

    /// Registers and tells, for ever; `id` is the name that the controller has for it.
    async fn keep(&mut self, id: &mut Option<String>) {
        let mut tries = 0;
        loop {
            let (number, condition) = *self.said.borrow_and_update();
            match self.register(condition).await {
                Ok(name) => {
                    tries = 0;
                    self.announcer.told(self.place, number);
                    self.beat(id.insert(name)).await;
                    *id = None;
                }
                Err(why) => {
                    tries += 1;
                    self.troubled(&why);
                    let config = &self.tale.config;
                    tokio::time::sleep(wait_after(tries, config.retries, config.retry_delay)).await;
                }
            }
        }
    }

    /// Tells how it is until it is not known any more. Says nothing while its machine is about to sleep, or sleeps.
    async fn beat(&mut self, id: &str) {
        let mut due = Instant::now() + self.tale.config.heartbeat;
        loop {
            let rests = self.said.borrow().1.sleeping;
            tokio::select! {
                Ok(()) = self.said.changed() => {}
                () = tokio::time::sleep_until(due), if !rests => {}
            }
            let (number, condition) = *self.said.borrow_and_update();
            due = Instant::now() + self.tale.config.heartbeat;
            match self.tell(id, condition).await {
                Heard::Yes => self.announcer.told(self.place, number),
                Heard::Unknown => return,
                Heard::No => {}
            }
        }
    }

    /// # Errors
    /// Why it was not taken in, in words.
    async fn register(&mut self, condition: Condition) -> Result<String, String> {
        #[derive(Deserialize)]
        struct Taken {
            worker_id: String,
        }
        let told = self.tale.registration(condition).await;
        let reply = self.ask(Method::POST, "/internal/workers/register", text(&told)).await?;
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => {
                let taken = serde_json::from_slice::<Taken>(&reply.body).map_err(|_| "it is no controller".to_owned())?;
                self.trouble = None;
                tracing::info!(controller = %self.shown(), worker = %taken.worker_id, "registered");
                Ok(taken.worker_id)
            }
            _ => Err(refused(&reply)),
        }
    }

    async fn tell(&mut self, id: &str, condition: Condition) -> Heard {
        let said = self.tale.heartbeat(id, condition).await;
        match self.ask(Method::POST, "/internal/workers/heartbeat", text(&said)).await {
            Ok(reply) if reply.status.is_success() => {
                if self.trouble.take().is_some() {
                    tracing::info!(controller = %self.shown(), "hears it again");
                }
                Heard::Yes
            }
            Ok(reply) if reply.status == StatusCode::NOT_FOUND => Heard::Unknown,
            Ok(reply) => {
                self.troubled(&refused(&reply));
                Heard::No
            }
            Err(why) => {
                self.troubled(&why);
                Heard::No
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, String> {
        let at = &self.controller.at;
        let addresses = upstream::resolve(&at.host, at.port, None).await.map_err(|trouble| trouble.to_string())?;
        let host = HeaderValue::from_str(&at.to_string()).map_err(|_| "its name is no host name".to_owned())?;
        let authorization = self.tale.config.key.as_ref().and_then(access::bearer);
        let path = format!("{}{path}", self.controller.prefix);
        let call = Call { method, path, host, authorization, body };
        let called = async {
            let link = upstream::connect(&addresses, DIAL).await?;
            let link = if self.controller.tls { link.secured(&at.host)? } else { link };
            upstream::call_over(link, ANSWER, call).await
        };
        called.await.map_err(|trouble| trouble.to_string())
    }

    fn troubled(&mut self, why: &str) {
        if self.trouble.as_deref() != Some(why) {
            tracing::warn!(controller = %self.shown(), why, "the controller does not know of this worker; it is tried again");
            self.trouble = Some(why.to_owned());
        }
    }

    fn shown(&self) -> String {
        let scheme = if self.controller.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.controller.at, self.controller.prefix)
    }
}

fn text(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// What the controller says against it.
fn refused(reply: &Reply) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: String,
    }
    let said = serde_json::from_slice::<Said>(&reply.body).map(|said| format!(": {}", said.error)).unwrap_or_default();
    format!("it answered {}{said}", reply.status)
}

/// Doubles from the first wait up to a minute; after so many tries, once in five minutes.
fn wait_after(tries: u32, retries: u32, first: Duration) -> Duration {
    if tries > retries {
        return RARELY.max(first);
    }
    let doubled = first.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_to_register_double_to_a_minute_and_then_are_rare_and_never_end() {
        let waits =
            |tries: &[u32]| tries.iter().map(|n| wait_after(*n, 30, Duration::from_secs(5)).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(&[1, 2, 3, 4, 5, 6, 30]), [5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(waits(&[31, 1000, u32::MAX]), [300, 300, 300]);
        assert_eq!(wait_after(40, 100, Duration::from_secs(5)).as_secs(), 60);
        assert_eq!(wait_after(2, 5, Duration::from_secs(90)).as_secs(), 90);
    }
}
