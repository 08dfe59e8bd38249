//! The fake upstream: a process of its own that answers as a small and very fast Ollama would, so that what is measured is
//! the way to it.
//!
//! `x-bench-stream: CHUNKS GAP` (microseconds) makes an answer a stream; each line of it tells in nanoseconds since 1970 when
//! it was written. On OpenAI's route for chats it is a stream of OpenAI's events. `x-bench-bytes: N` makes it a body of N bytes.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::wire::{Head, read_body, read_head};

/// Lines of a stream without gaps that are written at once.
const BURST: u64 = 64;

/// Bytes of a large body that are written at once.
const BLOCK: usize = 256 * 1024;

const SMALL: &str = r#"{"model":"llama3.2:3b","created_at":"2026-11-21T10:00:00.000000000Z","response":"The sky is blue because air scatters short waves of light more than long ones.","done":true,"done_reason":"stop","total_duration":412345678,"load_duration":12345678,"prompt_eval_count":26,"prompt_eval_duration":34567890,"eval_count":18,"eval_duration":345678901}"#;
const VERSION: &str = r#"{"version":"0.12.6"}"#;
const SHOW: &str = r#"{"details":{"family":"llama","parameter_size":"3.2B"},"model_info":{"general.architecture":"llama"},"capabilities":["completion"]}"#;
/// The one that is asked for: a sleeper is not woken for what it does not list.
const MODEL: &str = r#"{"name":"llama3.2:3b","model":"llama3.2:3b","modified_at":"2026-11-01T10:00:00Z","size":2019393189,"digest":"a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72","details":{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"3.2B","quantization_level":"Q4_K_M"}}"#;
const LAST: &str = r#"{"model":"llama3.2:3b","created_at":"0","response":"","done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":999}"#;

/// Where OpenAI's dialect is spoken.
const CHATS: &str = "/v1/chat/completions";
const EVENT: &str = "data: {\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1795188647,\"model\":\"llama3.2:3b\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
const LAST_EVENT: &str = "data: {\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1795188647,\"model\":\"llama3.2:3b\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// Serves until its process is ended.
pub async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let list = tags();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let list = list.clone();
        // Its end is the client's business.
        tokio::spawn(async move { drop(connection(stream, &list).await) });
    }
}

/// Twenty models, which is a list of usual size.
fn tags() -> String {
    let model = |number: u32| {
        format!(
            r#"{{"name":"model{number}:8b","model":"model{number}:8b","modified_at":"2026-10-{:02}T10:00:00Z","size":4661224676,"digest":"{number:064x}","details":{{"parent_model":"","format":"gguf","family":"llama","families":["llama"],"parameter_size":"8.0B","quantization_level":"Q4_0"}}}}"#,
            number % 28 + 1
        )
    };
    let models: Vec<String> = std::iter::once(MODEL.to_owned()).chain((1..20).map(model)).collect();
    format!(r#"{{"models":[{}]}}"#, models.join(","))
}

async fn connection(mut stream: TcpStream, list: &str) -> anyhow::Result<()> {
    let mut input = Vec::new();
    loop {
        let head = read_head(&mut stream, &mut input).await?;
        read_body(&mut stream, &mut input, head.framing(), |_| ()).await?;
        if let Some(order) = head.value("x-bench-stream") {
            let mut numbers = order.split(' ').filter_map(|number| number.parse().ok());
            let (chunks, gap) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if head.second_word() == CHATS {
                answer_in_events(&mut stream, chunks).await?;
            } else {
                answer_in_chunks(&mut stream, chunks, Duration::from_micros(gap)).await?;
            }
        } else if let Some(bytes) = head.value("x-bench-bytes") {
            answer_much(&mut stream, bytes.parse()?).await?;
        } else {
            answer_whole(&mut stream, &head, list).await?;
        }
        if head.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return Ok(());
        }
    }
}

async fn answer_whole(stream: &mut TcpStream, head: &Head, list: &str) -> anyhow::Result<()> {
    let body = match head.second_word() {
        "/api/tags" => list,
        "/api/version" => VERSION,
        "/api/show" => SHOW,
        "/api/ps" => r#"{"models":[]}"#,
        "/v1/models" => r#"{"object":"list","data":[{"id":"llama3.2:3b","object":"model","created":1795188647}]}"#,
        path if path.starts_with("/api/blobs/") => "",
        _ => SMALL,
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}");
    Ok(stream.write_all(answer.as_bytes()).await?)
}

async fn answer_in_chunks(stream: &mut TcpStream, chunks: u64, gap: Duration) -> anyhow::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut text = String::new();
    // The first line comes at once, the others at times that are not the same in all streams.
    let began = Instant::now() + phase(gap);
    for number in 0..chunks.saturating_sub(1) {
        if number > 0 && !gap.is_zero() {
            tokio::time::sleep_until(began + gap * u32::try_from(number).unwrap_or(u32::MAX)).await;
        }
        chunk(&mut text, &line());
        if !gap.is_zero() || number % BURST == BURST - 1 {
            stream.write_all(text.as_bytes()).await?;
            text.clear();
        }
    }
    chunk(&mut text, &format!("{LAST}\n"));
    text.push_str("0\r\n\r\n");
    Ok(stream.write_all(text.as_bytes()).await?)
}

/// As fast as they are taken.
async fn answer_in_events(stream: &mut TcpStream, events: u64) -> anyhow::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut text = String::new();
    for number in 0..events.saturating_sub(2) {
        chunk(&mut text, EVENT);
        if number % BURST == BURST - 1 {
            stream.write_all(text.as_bytes()).await?;
            text.clear();
        }
    }
    chunk(&mut text, LAST_EVENT);
    chunk(&mut text, "data: [DONE]\n\n");
    text.push_str("0\r\n\r\n");
    Ok(stream.write_all(text.as_bytes()).await?)
}

fn phase(gap: Duration) -> Duration {
    static STREAMS: AtomicU64 = AtomicU64::new(0);
    let share = STREAMS.fetch_add(1, Ordering::Relaxed).wrapping_mul(618) % 1000;
    gap.mul_f64(share as f64 / 1000.0)
}

fn line() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{{\"model\":\"llama3.2:3b\",\"created_at\":\"{now}\",\"response\":\" word\",\"done\":false}}\n")
}

fn chunk(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{:x}\r\n{line}\r\n", line.len());
}

async fn answer_much(stream: &mut TcpStream, bytes: usize) -> anyhow::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let block = vec![b'x'; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(BLOCK);
        stream.write_all(&block[..now]).await?;
        left -= now;
    }
    Ok(())
}
