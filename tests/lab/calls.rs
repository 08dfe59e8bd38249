//! HTTP requests of a test and what became of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Program, example};
use crate::words::{Ended, Load, News, Order, Report, Tally};

/// No test waits longer for a piece of news.
const PATIENCE: Duration = Duration::from_secs(120);

type Listeners = Arc<Mutex<HashMap<u64, Sender<Report>>>>;

/// A client in a namespace; any number of requests at once, each on a connection of its own.
pub struct Client {
    program: Program,
    listeners: Listeners,
    last: AtomicU64,
    to: String,
}

impl Client {
    /// A client in `namespace` that talks to `to` (address and port).
    pub fn start(namespace: &str, logs: &Path, to: &str) -> Self {
        let command = [example("lab_client").to_str().unwrap().to_owned()];
        let (program, lines) = Program::start(namespace, logs, "client", &command);
        let listeners = Listeners::default();
        let known = Arc::clone(&listeners);
        std::thread::spawn(move || {
            for line in lines {
                let report: Report = serde_json::from_str(&line).unwrap();
                if let Some(listener) = known.lock().unwrap().get(&report.id) {
                    let _ = listener.send(report);
                }
            }
        });
        Self { program, listeners, last: AtomicU64::new(0), to: to.to_owned() }
    }

    /// Begins a GET.
    pub fn get(&self, path: &str) -> Call<'_> {
        self.send(&self.to, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.to))
    }

    /// Begins a GET with one further header line.
    pub fn get_with(&self, path: &str, header: &str) -> Call<'_> {
        self.send(&self.to, &format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\n\r\n", self.to))
    }

    /// Begins a POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Call<'_> {
        self.send(&self.to, &post(&self.to, path, body))
    }

    /// Begins a POST of JSON with one further header line.
    pub fn post_with(&self, path: &str, header: &str, body: &Value) -> Call<'_> {
        let request = post(&self.to, path, body).replacen("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"), 1);
        self.send(&self.to, &request)
    }

    /// Begins a DELETE with JSON.
    pub fn delete(&self, path: &str, body: &Value) -> Call<'_> {
        self.send(&self.to, &post(&self.to, path, body).replacen("POST", "DELETE", 1))
    }

    /// Begins a POST to another address than the usual one, for instance to a node itself.
    pub fn post_to(&self, to: &str, path: &str, body: &Value) -> Call<'_> {
        self.send(to, &post(to, path, body))
    }

    /// Begins a GET of another address than the usual one.
    pub fn get_from(&self, to: &str, path: &str) -> Call<'_> {
        self.send(to, &format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n\r\n"))
    }

    /// A streamed chat on `/api/chat`.
    pub fn chat(&self, model: &str) -> Call<'_> {
        self.post("/api/chat", &chat(model))
    }

    /// Begins the same chat `count` times, `at_once` at a time, on kept connections. `marks` are the marks of all nodes.
    pub fn load(&self, count: u64, at_once: usize, header: &str, body: &Value, marks: &[&str]) -> Loading {
        let (id, reports) = self.listen();
        let header = if header.is_empty() { String::new() } else { format!("\r\n{header}") };
        let request = post(&self.to, "/api/chat", body).replacen("\r\n\r\n", &format!("{header}\r\n\r\n"), 1);
        let end = "\"done\":true".to_owned();
        let marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        let load = Load { id, to: self.to.clone(), request, count, at_once, end, marks };
        self.program.say(&serde_json::to_string(&Order::Load(load)).unwrap());
        Loading { reports }
    }

    fn listen(&self) -> (u64, Receiver<Report>) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, reports) = channel();
        self.listeners.lock().unwrap().insert(id, sender);
        (id, reports)
    }

    fn send(&self, to: &str, request: &str) -> Call<'_> {
        let (id, reports) = self.listen();
        let order = Order::Ask { id, to: to.to_owned(), request: request.to_owned(), connect_ms: 5000 };
        self.program.say(&serde_json::to_string(&order).unwrap());
        Call { client: self, id, reports, answer: Answer::nothing_yet() }
    }
}

/// The body of a short chat.
pub fn chat(model: &str) -> Value {
    serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

fn post(to: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request on its way.
pub struct Call<'a> {
    client: &'a Client,
    id: u64,
    reports: Receiver<Report>,
    answer: Answer,
}

impl Call<'_> {
    /// Takes the next piece of news into the answer; `true` when it was the last.
    #[track_caller]
    fn take(&mut self) -> bool {
        let report = self.reports.recv_timeout(PATIENCE).expect("no news of a request within two minutes");
        self.note(report)
    }

    fn note(&mut self, report: Report) -> bool {
        let after = Duration::from_micros(report.after_us);
        match report.news {
            News::Head { status, headers } => {
                (self.answer.status, self.answer.headers, self.answer.head_after) = (status, headers, after);
            }
            News::Data(data) => self.answer.body.push_str(&data),
            News::End(ended) => {
                (self.answer.ended, self.answer.took) = (ended, after);
                return true;
            }
            News::Answered(_) | News::Tally(_) => {}
        }
        false
    }

    /// Waits until a first piece of the body has come.
    #[track_caller]
    pub fn until_first_byte(&mut self) {
        while self.answer.body.is_empty() {
            assert!(!self.take(), "the answer ended before its first byte: {:?}", self.answer);
        }
    }

    /// How many bytes of the body have come until now; does not wait.
    #[track_caller]
    pub fn received_now(&mut self) -> usize {
        while let Ok(report) = self.reports.try_recv() {
            assert!(!self.note(report), "the answer ended: {:?}", self.answer);
        }
        self.answer.body.len()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Answer {
        while !self.take() {}
        self.answer.clone()
    }

    /// Closes the connection at once.
    pub fn leave(self) {
        let order = Order::Leave { id: self.id };
        self.client.program.say(&serde_json::to_string(&order).unwrap());
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.client.listeners.lock().unwrap().remove(&self.id);
    }
}

/// Many requests on their way.
pub struct Loading {
    reports: Receiver<Report>,
}

impl Loading {
    #[track_caller]
    fn next(&self) -> News {
        self.reports.recv_timeout(PATIENCE).expect("no news of a load within two minutes").news
    }

    /// Waits until so many answers have come.
    #[track_caller]
    pub fn until_answered(&self, count: u64) {
        loop {
            match self.next() {
                News::Answered(so_far) if so_far >= count => return,
                News::Tally(tally) => panic!("the load is over: {tally:?}"),
                _ => {}
            }
        }
    }

    /// Waits for its end. Every answer must have been whole, and of the one node that it names.
    #[track_caller]
    pub fn finish(self) -> Tally {
        loop {
            if let News::Tally(tally) = self.next() {
                assert!(tally.faults.is_empty(), "{tally:#?}");
                return tally;
            }
        }
    }
}

impl Tally {
    /// How many answers with status 200 came from this node.
    pub fn served_by(&self, node: &str) -> u64 {
        self.count(&format!("200 {node}"))
    }

    /// How many answers had this status and node.
    pub fn count(&self, of: &str) -> u64 {
        self.answers.get(of).copied().unwrap_or(0)
    }
}

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status; 0 when no head came.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of the body that came.
    pub body: String,
    /// From the connect to the complete head.
    pub head_after: Duration,
    /// From the connect to the end.
    pub took: Duration,
    /// How it ended.
    pub ended: Ended,
}

impl Answer {
    fn nothing_yet() -> Self {
        let (body, headers, ended) = (String::new(), Vec::new(), Ended::Left);
        Self { status: 0, headers, body, head_after: Duration::ZERO, took: Duration::ZERO, ended }
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// The body as lines of JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))).collect()
    }

    /// Fails the test unless this is a whole streamed native answer with its end mark.
    #[track_caller]
    pub fn assert_whole_chat(&self) {
        assert_eq!((self.status, &self.ended), (200, &Ended::Clean), "{self:?}");
        assert_eq!(self.lines().last().and_then(|line| line["done"].as_bool()), Some(true), "{self:?}");
    }
}
