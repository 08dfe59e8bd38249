//! The cloud of the fault laboratory: an OpenAI and an Anthropic that answer `answer-with:WORD` as the simulated Ollama does, and
//! fail as they are told.
//!
//! It runs in a network namespace and takes one command per line on standard input, with one line of answer each: `fail FAILURE
//! TIMES` (the next requests for an answer go wrong in this way), `asked` (how many there were) and `addresses` (where both
//! listen). It ends when standard input closes.
//!
//! Usage: `lab_cloud OPENAI_ADDRESS ANTHROPIC_ADDRESS`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a stand-in for tests may panic")]

mod anthropic;
mod openai;
#[path = "../../../examples/simulated_cloud/server.rs"]
#[allow(dead_code, missing_docs, reason = "the simulated clouds need more of it")]
mod server;

use std::collections::VecDeque;
use std::io::BufRead;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use server::{Heard, Pieces, Say, Server};

/// How a provider fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Too many requests, with the time to wait.
    TooMany,
    /// Its own fault.
    Broken,
    /// The key is not taken.
    Unauthorized,
    /// An error where the answer belongs, with status 200.
    Hidden,
    /// An error in the middle of a stream that began well; an answer that is no stream hides it.
    HiddenLater,
    /// The connection breaks in the middle.
    Reset,
    /// A clean end in the middle.
    EndEarly,
    /// Nothing more comes.
    Stall,
    /// A page of some gateway between.
    Page,
}

impl Failure {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "too_many" => Self::TooMany,
            "broken" => Self::Broken,
            "unauthorized" => Self::Unauthorized,
            "hidden" => Self::Hidden,
            "hidden_later" => Self::HiddenLater,
            "reset" => Self::Reset,
            "end_early" => Self::EndEarly,
            "stall" => Self::Stall,
            "page" => Self::Page,
            _ => return None,
        })
    }
}

/// What both are told.
#[derive(Default)]
struct Orders {
    failures: Mutex<VecDeque<Failure>>,
    asked: AtomicU64,
}

impl Orders {
    fn failures(&self) -> MutexGuard<'_, VecDeque<Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to become of a request for an answer.
    fn next(&self) -> Option<Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.failures().pop_front()
    }
}

/// What a dialect has to say.
pub struct Words {
    /// The events of a stream, in the order in which they come.
    pub events: Vec<String>,
    /// The whole answer.
    pub whole: Value,
    /// Its error object.
    pub error: Value,
    /// The error as an event of a stream.
    pub error_event: String,
}

impl Words {
    /// The answer, or what the failure makes of it.
    fn said(self, stream: bool, failure: Option<Failure>) -> Say {
        let half = self.events.len() / 2;
        let begun = || self.events[..half].to_vec();
        let whole = self.whole.to_string();
        let broken = |pieces| Say { pieces, ..Say::json(200, &Value::Null) };
        match failure {
            None if stream => Say::events(Pieces::Stream(self.events)),
            None => Say::json(200, &self.whole),
            Some(Failure::TooMany) => Say::json(429, &self.error).with("retry-after", "1"),
            Some(Failure::Broken) => Say::json(500, &self.error),
            Some(Failure::Unauthorized) => Say::json(401, &self.error),
            Some(Failure::Page) => {
                let pieces = Pieces::Whole("<html><h1>502 Bad Gateway</h1></html>".to_owned());
                Say { status: 502, headers: vec![("content-type", "text/html".to_owned())], pieces }
            }
            Some(Failure::Hidden) if stream => Say::events(Pieces::Stream(vec![self.error_event])),
            Some(Failure::Hidden | Failure::HiddenLater) if !stream => Say::json(200, &self.error),
            Some(Failure::Hidden | Failure::HiddenLater) => {
                Say::events(Pieces::Stream(begun().into_iter().chain([self.error_event.clone()]).collect()))
            }
            Some(Failure::Reset) if stream => Say::events(Pieces::Broken(begun())),
            Some(Failure::EndEarly) if stream => Say::events(Pieces::Stream(begun())),
            Some(Failure::Stall) if stream => Say::events(Pieces::Silent(begun())),
            Some(Failure::Reset) => broken(Pieces::Broken(vec![whole[..whole.len() / 2].to_owned()])),
            Some(Failure::EndEarly) => broken(Pieces::Whole(whole[..whole.len() / 2].to_owned())),
            Some(Failure::Stall) => broken(Pieces::Silent(vec![whole[..whole.len() / 2].to_owned()])),
        }
    }
}

/// The texts of an answer to this request, as the simulated Ollama would write them: `TAG`, ` 1 `, `TAG`, ` 2 ` …
fn texts(body: &Value) -> Vec<String> {
    let asked = body["messages"].to_string();
    let tag = asked.split("answer-with:").nth(1).and_then(|rest| rest.split([' ', '"', '\\']).next()).unwrap_or("token");
    let most = ["max_completion_tokens", "max_tokens"].iter().find_map(|key| body[*key].as_u64()).unwrap_or(20);
    (1..=most).flat_map(|number| [tag.to_owned(), format!(" {number} ")]).collect()
}

/// One of the two: `list` is its list of models, `words` what it says to a request for an answer.
async fn serve(
    at: &str,
    orders: Arc<Orders>,
    list: fn() -> Value,
    path: &'static str,
    words: fn(&Value, &[String]) -> Words,
) -> SocketAddr {
    let answer = move |heard: &Heard| {
        if heard.asked.starts_with("GET ") {
            return Say::json(200, &list());
        }
        if !heard.asked.ends_with(path) {
            return Say::json(404, &words(&heard.body, &[]).error);
        }
        let failure = orders.next();
        words(&heard.body, &texts(&heard.body)).said(heard.body["stream"] == true, failure)
    };
    Server::at(at, answer).await.address
}

fn obey(orders: &Orders, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["fail", name, times] => match (Failure::named(name), times.parse()) {
            (Some(failure), Ok(times)) => {
                orders.failures().extend(std::iter::repeat_n(failure, times));
                "ok".to_owned()
            }
            _ => format!("failed: {line}"),
        },
        ["asked"] => orders.asked.load(Ordering::Relaxed).to_string(),
        _ => format!("failed: {line}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [openai, anthropic] = &arguments[..] else {
        eprintln!("usage: lab_cloud OPENAI_ADDRESS ANTHROPIC_ADDRESS");
        std::process::exit(2);
    };
    let orders = Arc::<Orders>::default();
    let openai = serve(openai, orders.clone(), openai::list, "/chat/completions", openai::words).await;
    let anthropic = serve(anthropic, orders.clone(), anthropic::list, "/messages", anthropic::words).await;
    println!("ready");
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let answer = if line == "addresses" { format!("{openai} {anthropic}") } else { obey(&orders, &line) };
            println!("{answer}");
        }
        ended.send(())
    });
    let _ = end.await;
}
