//! The load: clients on raw sockets, light enough to share the machine with what they measure.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::wire::{Framing, read_body, read_head};

/// A request as it goes over the wire.
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = "User-Agent: bench\r\nAccept: */*\r\nContent-Type: application/json\r\n";
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{head}{length}{headers}\r\n{body}").into_bytes()
}

/// A small question, as most requests to a model are.
pub fn small() -> Vec<u8> {
    let body = r#"{"model":"llama3.2:3b","prompt":"Why is the sky blue?","stream":false,"options":{"temperature":0.2}}"#;
    request("POST", "/api/generate", "", body)
}

/// One kept connection of a client.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads the head of a good answer; how its body is framed.
    pub async fn head(&mut self) -> anyhow::Result<Framing> {
        let head = read_head(&mut self.stream, &mut self.buffer).await?;
        anyhow::ensure!(head.second_word().starts_with('2'), "the answer is {}", head.second_word());
        Ok(head.framing())
    }

    pub async fn body(&mut self, framing: Framing, data: impl FnMut(&[u8])) -> anyhow::Result<()> {
        read_body(&mut self.stream, &mut self.buffer, framing, data).await
    }

    /// One whole exchange; how long the body was.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<usize> {
        self.send(request).await?;
        let framing = self.head().await?;
        let mut length = 0;
        self.body(framing, |data| length += data.len()).await?;
        Ok(length)
    }
}

/// What a run of whole exchanges showed.
pub struct Run {
    /// Of each request, shortest first.
    pub latencies: Vec<Duration>,
    pub took: Duration,
}

impl Run {
    /// The latency that this share of the requests kept within.
    pub fn within(&self, share: f64) -> Duration {
        percentile(&self.latencies, share)
    }

    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    pub fn per_second(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }
}

/// The value that this share of sorted ones does not exceed.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
pub fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Asks the same again and again on so many connections, until the time is over or each has asked `most` times.
pub async fn run(address: SocketAddr, connections: usize, time: Duration, most: usize, request: &[u8]) -> anyhow::Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = Client::connect(address).await?;
        // The first exchange pays for connections further on; all but the first pay nothing.
        client.ask(request).await.context("the first exchange")?;
        clients.push(client);
    }
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for client in clients {
        asking.spawn(again_and_again(client, began + time, most, request.to_vec()));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = asking.join_next().await {
        latencies.extend(ended??);
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    Ok(Run { latencies, took })
}

async fn again_and_again(mut client: Client, until: Instant, most: usize, request: Vec<u8>) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut before = Instant::now();
    while before < until && latencies.len() < most {
        client.ask(&request).await?;
        let now = Instant::now();
        latencies.push(now - before);
        before = now;
    }
    Ok(latencies)
}
