//! A client that sees the bytes themselves.

use std::net::SocketAddr;
use std::time::Duration;

use ollama_proxy::simulator::{Ollama, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server on a free port, for as long as the test runs.
pub async fn server(settings: Settings) -> (Ollama, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ollama = Ollama::new(settings);
    tokio::spawn(ollama.clone().serve(listener, std::future::pending::<()>()));
    (ollama, address)
}

/// Settings with answers of three tokens.
pub fn three_tokens() -> Settings {
    Settings { tokens: 3, ..Settings::default() }
}

/// Sends bytes on a connection of their own.
pub async fn open(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: pc\r\nConnection: close\r\n\r\n")
}

pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: pc\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Everything that comes until the end of the connection or of a chunked body, with dates, times, counts of time and ids
/// made equal.
pub async fn tell(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_buf(&mut answer)).await;
        if read.expect("an end").unwrap() == 0 {
            break;
        }
    }
    steady(&String::from_utf8(answer).unwrap())
}

/// The body of the answer, chunks marked with `|`.
pub async fn body(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let answer = tell(address, request).await;
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

pub async fn status(address: SocketAddr, request: impl AsRef<[u8]>) -> u16 {
    tell(address, request).await.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Replaces what differs from run to run, and writes chunks as `|bytes`.
pub fn steady(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let chunked = head.contains("Transfer-Encoding: chunked");
    let body = if chunked { chunks(body) } else { body.to_owned() };
    let head = line_with(head, "Date: ", "Date: D");
    // The answer to `Connection: close` is not what the tests are about.
    let head = head.replace("\r\nConnection: close", "").replace("\r\nconnection: close", "");
    let mut text = format!("{head}\r\n\r\n{body}");
    for (key, value) in
        [("\"created_at\":\"", "\""), ("\"expires_at\":\"", "\""), ("\"id\":\"chatcmpl-", "\""), ("\"id\":\"cmpl-", "\"")]
    {
        text = blank(&text, key, value);
    }
    for key in ["\"id\":\"msg_", "\"id\":\"resp_", "\"item_id\":\"msg_", "\"request_id\":\"req_"] {
        text = blank(&text, key, "\"");
    }
    for key in
        ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration", "created", "created_at", "completed_at"]
    {
        text = numbers(&text, &format!("\"{key}\":"));
    }
    text
}

fn line_with(head: &str, start: &str, instead: &str) -> String {
    let lines = head.split("\r\n").map(|line| if line.starts_with(start) { instead } else { line });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// Empties what stands between `key` and `end`, everywhere.
fn blank(text: &str, key: &str, end: &str) -> String {
    let mut parts = text.split(key);
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        out.push_str(key);
        out.push_str(part.find(end).map_or(part, |at| &part[at..]));
    }
    out
}

/// Writes `N` for each number behind `key`.
fn numbers(text: &str, key: &str) -> String {
    let mut parts = text.split(key);
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str(key);
        out.push_str(if rest.len() < part.len() { "N" } else { "" });
        out.push_str(rest);
    }
    out
}

fn chunks(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return out + "|";
        }
        let (chunk, rest) = rest.split_at(size);
        out = out + "|" + chunk;
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    out + "(cut)"
}

/// Waits until the condition holds.
pub async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened");
}
