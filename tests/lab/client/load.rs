//! A load: the same request many times over on kept connections, every answer looked at and counted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::words::{Load, News, Tally};
use crate::{Reader, Reporter, body, framing, head};

/// More faults than this are counted under `faults` and not told.
const TOLD: usize = 20;
/// How often the progress is told.
const STEP: u64 = 50;

struct Running {
    load: Load,
    progress: Mutex<Progress>,
    reporter: Reporter,
}

#[derive(Default)]
struct Progress {
    begun: u64,
    answered: u64,
    tally: Tally,
}

/// Runs it to its end and reports the tally.
pub async fn run(load: Load) {
    let reporter = Reporter { id: load.id, begun: Instant::now() };
    let at_once = load.at_once;
    let running = Arc::new(Running { load, progress: Mutex::default(), reporter });
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        workers.spawn(work(running.clone()));
    }
    while workers.join_next().await.is_some() {}
    let tally = std::mem::take(&mut running.lock().tally);
    reporter.say(News::Tally(tally));
}

async fn work(running: Arc<Running>) {
    let mut kept: Option<Reader> = None;
    while running.takes_one() {
        match running.one(&mut kept).await {
            Ok((status, node, text)) => running.answered(status, &node, &text),
            Err(fault) => {
                kept = None;
                running.failed(format!("an answer broke off: {fault}"));
            }
        }
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is left to be made; then it is the caller's.
    fn takes_one(&self) -> bool {
        let mut progress = self.lock();
        let left = progress.begun < self.load.count;
        progress.begun += u64::from(left);
        left
    }

    async fn one(&self, kept: &mut Option<Reader>) -> io::Result<(u16, String, String)> {
        if kept.is_none() {
            let stream = TcpStream::connect(&self.load.to).await?;
            stream.set_nodelay(true)?;
            *kept = Some(BufReader::new(stream));
        }
        let Some(reader) = kept else { return Err(io::ErrorKind::NotConnected.into()) };
        reader.get_mut().write_all(self.load.request.as_bytes()).await?;
        let (status, headers) = head(reader).await?;
        let framing = framing(status, &self.load.request, &headers);
        let mut text = String::new();
        body(reader, framing, |bytes| text.push_str(&String::from_utf8_lossy(bytes))).await?;
        let value = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        if value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            *kept = None;
        }
        Ok((status, value("x-ollama-proxy-node").unwrap_or_default(), text))
    }

    fn answered(&self, status: u16, node: &str, text: &str) {
        let has = |mark: &String| text.contains(mark.as_str());
        let mixed = self.load.marks.iter().any(|mark| has(mark) != (mark == node));
        if status == 200 && (mixed || !text.contains(&self.load.end)) {
            return self.failed(format!("an answer of '{node}' is not whole or not its own: {text}"));
        }
        let mut progress = self.lock();
        *progress.tally.answers.entry(format!("{status} {node}").trim_end().to_owned()).or_default() += 1;
        self.count(&mut progress);
    }

    fn failed(&self, why: String) {
        let mut progress = self.lock();
        if progress.tally.faults.len() < TOLD {
            progress.tally.faults.push(why);
        }
        self.count(&mut progress);
    }

    fn count(&self, progress: &mut Progress) {
        progress.answered += 1;
        if progress.answered % STEP == 0 {
            self.reporter.say(News::Answered(progress.answered));
        }
    }
}
