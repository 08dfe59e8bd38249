//! The clients of the fault laboratory: many requests at once in all dialects, every answer judged as it comes.
//!
//! It runs in a network namespace and takes one command per line on standard input, with one line of answer each:
//! `all` (every kind of request), `lookups` (only such as may wake nothing), `none`, `busy` (how many requests are under way), `tally` (what
//! came of them since the last `tally`) and `get PATH` (a page of the proxy). It ends when standard input closes.
//!
//! Usage: `lab_traffic ADDRESS NAME CLIENTS SEED BOUND_SECONDS`.

mod ask;
#[path = "../dice.rs"]
mod dice;
mod judge;
mod lookups;
mod wire;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ask::Ask;
use dice::Dice;
use judge::{Verdict, judge};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};
use wire::{Answer, Kept, Link};

/// More breaches than this are counted, not told.
const TOLD: usize = 20_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    All,
    Lookups,
    None,
}

/// An answer that the tests have to look at: times in Unix milliseconds.
#[derive(Serialize)]
struct Story {
    /// When its connection was made, if it was not made for it.
    since: Option<u64>,
    began: u64,
    ended: u64,
    verdict: Verdict,
    what: String,
}

#[derive(Default, Serialize)]
struct Tally {
    counts: BTreeMap<String, u64>,
    stories: Vec<Story>,
    longest_ms: u64,
}

struct Shared {
    to: String,
    name: String,
    bound: Duration,
    mode: Mutex<Mode>,
    busy: AtomicUsize,
    number: AtomicU64,
    tally: Mutex<Tally>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// One request under way; counted down when it is over, in whichever way.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// Takes up a request, unless there is to be none.
    fn begin(&self) -> Option<(Mode, Busy<'_>)> {
        let mode = lock(&self.mode);
        if *mode == Mode::None {
            return None;
        }
        self.busy.fetch_add(1, Ordering::SeqCst);
        Some((*mode, Busy(&self.busy)))
    }

    fn request(&self, first: &str, headers: &str, body: &str) -> String {
        let to = &self.to;
        format!("{first} HTTP/1.1\r\nHost: {to}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    }

    fn note(&self, began: u64, verdict: Verdict, key: &str, answer: &Answer) {
        let now = unix_ms();
        let mut tally = lock(&self.tally);
        *tally.counts.entry(format!("{verdict:?} {key}")).or_default() += 1;
        tally.longest_ms = tally.longest_ms.max(now - began);
        let expected = matches!(verdict, Verdict::Whole | Verdict::Refused | Verdict::Marked | Verdict::Aborted | Verdict::Away);
        if !expected && tally.stories.len() < TOLD {
            let body = String::from_utf8_lossy(&answer.body);
            let ended = match &answer.ended {
                wire::Ended::Broken(fault) => fault,
                wire::Ended::Clean => "a clean end",
                wire::Ended::Late => "no end",
                wire::Ended::Away => "no way",
            };
            let what = format!("{} {key}: {ended}, {body}", self.name);
            tally.stories.push(Story { since: answer.since, began, ended: now, verdict, what });
        }
    }

    /// A link to go on with: the kept one, while the proxy has not closed it, or a new one.
    async fn link(&self, kept: &mut Kept) -> std::io::Result<(Link, Option<u64>)> {
        if let Some((link, since)) = kept.take() {
            let mut byte = [0];
            let silent = tokio::time::timeout(Duration::ZERO, link.get_ref().peek(&mut byte)).await;
            if silent.is_err() {
                return Ok((link, Some(since)));
            }
        }
        Ok((wire::connect(&self.to).await?, None))
    }

    async fn exchange(&self, kept: &mut Kept, request: &str, slowness: Duration) -> Answer {
        let bound = Instant::now() + self.bound;
        let now = unix_ms();
        let (mut link, since) = match self.link(kept).await {
            Ok(link) => link,
            // Nobody asks again at once when nobody is there.
            Err(fault) => {
                sleep(Duration::from_millis(300)).await;
                return Answer { ended: wire::broken(&fault), ..Answer::default() };
            }
        };
        let answer = wire::exchange(&mut link, request, slowness, bound).await;
        if answer.kept {
            *kept = Some((link, since.unwrap_or(now)));
        }
        Answer { since, ..answer }
    }

    async fn infer(&self, dice: &mut Dice, kept: &mut Kept) {
        let ask = Ask::roll(dice, &self.name, self.number.fetch_add(1, Ordering::Relaxed));
        let request =
            self.request(&format!("POST {}", ask.path()), "Content-Type: application/json\r\n", &ask.body().to_string());
        if dice.percent(12) {
            return self.leave(dice, &request).await;
        }
        let slowness = Duration::from_millis(if dice.percent(10) { dice.between(1, 60) } else { 0 });
        let began = unix_ms();
        let answer = self.exchange(kept, &request, slowness).await;
        let kind = if ask.stream { "stream" } else { "whole" };
        let whose = if ask.is_of_provider() { " of a provider" } else { "" };
        self.note(began, judge(&ask, &answer), &format!("{:?} {kind}{whose} {}", ask.route, answer.status), &answer);
    }

    /// Sends all of a request or a part, and goes away without waiting for the end.
    async fn leave(&self, dice: &mut Dice, request: &str) {
        let Ok(mut link) = wire::connect(&self.to).await else { return };
        let whole = u64::try_from(request.len()).unwrap_or(0);
        let sent = if dice.percent(70) { whole } else { dice.between(0, whole) };
        let sent = usize::try_from(sent).unwrap_or(0);
        if link.get_mut().write_all(&request.as_bytes()[..sent]).await.is_ok() {
            sleep(Duration::from_millis(dice.between(0, 1500))).await;
        }
        *lock(&self.tally).counts.entry("left".into()).or_default() += 1;
    }

    async fn look_up(&self, dice: &mut Dice, kept: &mut Kept) {
        let lookup = dice.one_of(&lookups::ALL);
        let request = self.request(lookup.first, lookup.headers, lookup.body);
        let began = unix_ms();
        let answer = self.exchange(kept, &request, Duration::ZERO).await;
        self.note(began, lookup.judge(&answer), &format!("{} {}", lookup.first, answer.status), &answer);
    }
}

async fn client(shared: Arc<Shared>, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut kept = None;
    loop {
        if let Some((mode, _busy)) = shared.begin() {
            if mode == Mode::Lookups || dice.percent(25) {
                shared.look_up(&mut dice, &mut kept).await;
            } else {
                shared.infer(&mut dice, &mut kept).await;
            }
        }
        if dice.percent(40) {
            kept = None;
        }
        sleep(Duration::from_millis(dice.between(1, 250))).await;
    }
}

async fn obey(shared: &Shared, line: &str) -> String {
    let mode = |mode| {
        *lock(&shared.mode) = mode;
        "ok".to_owned()
    };
    match line {
        "all" => mode(Mode::All),
        "lookups" => mode(Mode::Lookups),
        "none" => mode(Mode::None),
        "busy" => shared.busy.load(Ordering::SeqCst).to_string(),
        "tally" => serde_json::to_string(&std::mem::take(&mut *lock(&shared.tally))).unwrap_or_default(),
        line => {
            let answer = shared.exchange(&mut None, &shared.request(line, "", ""), Duration::ZERO).await;
            serde_json::json!({ "status": answer.status, "body": String::from_utf8_lossy(&answer.body) }).to_string()
        }
    }
}

fn orders(sender: &UnboundedSender<String>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if sender.send(line).is_err() {
            return;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|word| word.parse::<u64>().ok());
    let (Some(clients), Some(seed), Some(bound)) = (number(2), number(3), number(4)) else {
        eprintln!("usage: lab_traffic ADDRESS NAME CLIENTS SEED BOUND_SECONDS");
        std::process::exit(2);
    };
    let shared = Arc::new(Shared {
        to: arguments[0].clone(),
        name: arguments[1].clone(),
        bound: Duration::from_secs(bound),
        mode: Mutex::new(Mode::None),
        busy: AtomicUsize::new(0),
        number: AtomicU64::new(0),
        tally: Mutex::default(),
    });
    for at in 0..clients {
        tokio::spawn(client(shared.clone(), seed.wrapping_mul(1000).wrapping_add(at)));
    }
    let (sender, mut receiver) = unbounded_channel();
    std::thread::spawn(move || orders(&sender));
    println!("ready");
    while let Some(line) = receiver.recv().await {
        println!("{}", obey(&shared, &line).await);
    }
}
