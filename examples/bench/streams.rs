//! Many streams at once, and how late each of their lines came.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::load::{Client, request};

/// Between the beginnings of two streams: a thousand at one instant would only measure the kernel's queues.
const APART: Duration = Duration::from_micros(500);

/// How long it takes until the last of so many has begun.
pub fn beginning(streams: usize) -> Duration {
    APART * u32::try_from(streams).unwrap_or(u32::MAX)
}

/// What streams are asked for.
#[derive(Clone, Copy)]
pub struct Wish {
    pub streams: usize,
    /// Lines of each.
    pub chunks: u64,
    /// Between two lines.
    pub gap: Duration,
    /// Whatever has not come by then counts as lost.
    pub limit: Duration,
}

/// What came of them.
#[derive(Default)]
pub struct Heard {
    /// From the request to the first line of each stream, shortest first.
    pub first: Vec<Duration>,
    /// From the writing of a line to its arrival, of all lines, shortest first.
    pub delays: Vec<Duration>,
    /// Streams that did not come to their end in time.
    pub lost: usize,
}

impl Wish {
    fn request(self) -> Vec<u8> {
        let order = format!("x-bench-stream: {} {}\r\n", self.chunks, self.gap.as_micros());
        request("POST", "/api/generate", &order, r#"{"model":"llama3.2:3b","prompt":"Why is the sky blue?"}"#)
    }

    /// Has all streams run and listens to them.
    pub async fn hear(self, address: SocketAddr) -> anyhow::Result<Heard> {
        let began = Instant::now();
        let mut listening = JoinSet::new();
        for number in 0..self.streams {
            let at = began + APART * u32::try_from(number)?;
            listening.spawn(one(address, self, at, began + self.limit));
        }
        let mut heard = Heard::default();
        while let Some(ended) = listening.join_next().await {
            let one = ended??;
            heard.first.extend(one.first);
            heard.lost += one.lost;
            heard.delays.extend(one.delays);
        }
        heard.first.sort_unstable();
        heard.delays.sort_unstable();
        Ok(heard)
    }
}

/// One stream, as it is read.
struct Reader {
    asked: Instant,
    now: Duration,
    line: Vec<u8>,
    heard: Heard,
}

async fn one(address: SocketAddr, wish: Wish, at: Instant, until: Instant) -> anyhow::Result<Heard> {
    sleep_until(at).await;
    let mut client = Client::connect(address).await?;
    let mut reader = Reader { asked: Instant::now(), now: Duration::ZERO, line: Vec::new(), heard: Heard::default() };
    client.send(&wish.request()).await?;
    let whole = tokio::time::timeout_at(until, async {
        let framing = client.head().await?;
        client.body(framing, |data| reader.take(data)).await
    });
    match whole.await {
        Err(_) => reader.heard.lost = 1,
        Ok(ended) => ended?,
    }
    // The last line of a stream has no time on it.
    let lines = reader.heard.delays.len() as u64 + 1;
    anyhow::ensure!(reader.heard.lost == 1 || lines == wish.chunks, "{lines} lines instead of {}", wish.chunks);
    Ok(reader.heard)
}

impl Reader {
    fn take(&mut self, data: &[u8]) {
        if self.heard.first.is_empty() {
            self.heard.first.push(self.asked.elapsed());
        }
        self.now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut rest = data;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some(written) = written(&self.line) {
                self.heard.delays.push(self.now.saturating_sub(written));
            }
            self.line.clear();
        }
        self.line.extend_from_slice(rest);
    }
}

/// When the upstream wrote this line, by its own word.
fn written(line: &[u8]) -> Option<Duration> {
    const MARK: &[u8] = b"\"created_at\":\"";
    let from = line.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = line[from..].split(|byte| *byte == b'"').next()?;
    let nanos: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}
