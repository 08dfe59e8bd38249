//! The means of putting one node to sleep: a URL that is called, a command that is run here, or the worker on the machine.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Request, header};
use tokio::process::Command;
use tokio::sync::oneshot;

use super::Node;
use super::message::Message;
use super::power::Event;
use crate::config::{SleepConfig, WorkerHand};
use crate::upstream::outward;
use crate::values;

/// What one means may take: an `ssh` to a busy machine is done by then.
const LIMIT: Duration = Duration::from_secs(30);

/// Of what a command says, so much is told.
const SAID: usize = 300;

/// Of what a URL says, so much is read.
const READ: usize = 64 * 1024;

/// Why a node is not put to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSleep {
    /// It is declared always on.
    AlwaysOn,
    /// Nothing here can do it.
    NoMeans,
    /// It has work: so many requests run or wait there.
    Busy(usize),
    /// The means failed; why, for the operator.
    Failed(String),
    /// Nobody keeps it: it is disabled, or the proxy is shutting down.
    Gone,
}

impl std::fmt::Display for NoSleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlwaysOn => f.write_str("it is declared always on, and is not put to sleep: remove `always_on`, or give it a `wake` key"),
            Self::NoMeans => f.write_str(
                "this proxy has no means to put it to sleep: set `sleep` in the node file, run a worker on the machine, or let its own \
                 timer do so: the proxy sends nothing to it while it is not used",
            ),
            Self::Busy(1) => f.write_str("it has work: one request runs there or waits for it; try again when it has ended"),
            Self::Busy(count) => write!(f, "it has work: {count} requests run there or wait for it; try again when they have ended"),
            Self::Failed(why) => write!(f, "it could not be put to sleep: {why}"),
            Self::Gone => f.write_str("it takes no part now: it is disabled, or the proxy is shutting down"),
        }
    }
}

impl Node {
    /// Whether something here can put it to sleep.
    pub fn is_sleepable(&self) -> bool {
        let config = self.config();
        config.enabled && !config.always_on && any_means(&config.sleep)
    }

    /// Puts it to sleep, as a person wants; ready when the means has done its part. A node that sleeps stays so.
    ///
    /// # Errors
    /// Why not.
    pub async fn put_to_sleep(&self) -> Result<(), NoSleep> {
        let (tell, told) = oneshot::channel();
        if !self.send(Message::PutToSleep(tell)).await {
            return Err(NoSleep::Gone);
        }
        told.await.unwrap_or(Err(NoSleep::Gone))
    }

    /// It says itself that it is awake, after it said that it goes to sleep.
    pub fn stays_awake(&self) {
        self.seen_now();
        self.tell(Message::Evidence { event: Event::Stays, words: None, peer: None });
    }
}

/// Whether something here can put the node to sleep.
pub(super) fn any_means(sleep: &SleepConfig) -> bool {
    sleep.url.is_some() || sleep.command.is_some() || sleep.worker.is_some()
}

/// Uses the best means that is set: the worker, which knows what goes on there, else the URL, else the command.
///
/// # Errors
/// Why it failed, in words that hold no secret.
pub(super) async fn act(sleep: &SleepConfig) -> Result<(), String> {
    match sleep {
        SleepConfig { worker: Some(worker), .. } => ask_worker(worker).await,
        SleepConfig { url: Some(url), .. } => call("the sleep URL", Method::GET, url, None).await,
        SleepConfig { command: Some(command), .. } => run(command).await,
        SleepConfig { .. } => Err("no means is set".to_owned()),
    }
}

async fn ask_worker(worker: &WorkerHand) -> Result<(), String> {
    call("its worker", Method::POST, &worker.url, worker.key.as_ref().map(crate::config::Secret::reveal)).await
}

async fn call(who: &str, method: Method, url: &str, key: Option<&str>) -> Result<(), String> {
    let url = values::url(url).map_err(|why| format!("{who} is no URL: {why}"))?;
    let mut request = Request::builder().method(method).uri(url);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let request = request.body(Bytes::new()).map_err(|why| format!("{who} cannot be called: {why}"))?;
    let answer = outward::tell(request, LIMIT, READ).await.map_err(|trouble| format!("{who}: {trouble}"))?;
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let said =
        serde_json::from_slice::<serde_json::Value>(&answer.body).ok().and_then(|body| Some(body["error"].as_str()?.to_owned()));
    Err(match said {
        Some(said) => format!("{who} answered {status}: {}", clipped(&said)),
        None => format!("{who} answered {status}"),
    })
}

/// Runs a command of the node file, as its owner would in a shell of this machine.
async fn run(command: &str) -> Result<(), String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut shell = Command::new(shell);
    shell.args([flag, command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = tokio::time::timeout(LIMIT, shell.output()).await;
    let output = match ended {
        Err(_) => return Err(format!("the sleep command did not end within {} s", LIMIT.as_secs())),
        Ok(Err(error)) => return Err(format!("the sleep command could not be run: {error}")),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("the sleep command ended with {}: {}", output.status, clipped(said.trim())))
}

fn clipped(text: &str) -> String {
    text.chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_its_last_words() {
        let command = |text: &str| SleepConfig { command: Some(text.to_owned()), ..SleepConfig::default() };
        assert_eq!(act(&command("exit 0")).await, Ok(()));
        let why = act(&command("echo first >&2; echo no route >&2; exit 3")).await.unwrap_err();
        assert!(why.ends_with("3: no route"), "{why}");
    }

    #[test]
    fn without_means_a_person_is_told_what_to_set() {
        assert!(!any_means(&SleepConfig::default()));
        assert!(NoSleep::NoMeans.to_string().contains("its own timer"));
    }
}
