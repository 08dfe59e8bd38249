//! Clients in great numbers: as little of HTTP/1.1 as they need.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

const STREAMED: &str = r#"{"model":"llama3.2:3b","prompt":"Why?"}"#;
const WHOLE: &str = r#"{"model":"llama3.2:3b","prompt":"Why?","stream":false}"#;

fn request(body: &str) -> String {
    request_to("/api/generate", body)
}

fn request_to(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: load\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What came of a slow stream.
pub struct Slow {
    /// Words of the answer.
    pub tokens: usize,
    pub longest_gap: Duration,
    /// The last line.
    pub last: String,
}

/// One stream to its end; says so when its first line has come.
pub async fn slow_stream(address: SocketAddr, begun: UnboundedSender<()>) -> Slow {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request(STREAMED).as_bytes()).await.unwrap();
    let mut lines = BufReader::with_capacity(1024, stream).lines();
    let mut slow = Slow { tokens: 0, longest_gap: Duration::ZERO, last: String::new() };
    let mut before = Instant::now();
    while let Some(line) = lines.next_line().await.unwrap() {
        if !line.starts_with('{') {
            // The head, and the sizes of chunks.
            if line == "0" {
                break;
            }
            continue;
        }
        let now = Instant::now();
        slow.longest_gap = slow.longest_gap.max(now - before);
        before = now;
        if slow.tokens == 0 {
            begun.send(()).unwrap();
        }
        slow.tokens += usize::from(line.contains("\"done\":false"));
        slow.last = line;
    }
    assert!(slow.last.contains("\"done\":true"), "a stream ended with {:?}", slow.last);
    slow
}

/// Opens a stream, reads until its first words are here, and hands the connection on as it stands.
pub async fn open_stream(address: SocketAddr, path: &str, model: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body =
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Why?"}}],"max_tokens":4000,"stream":true}}"#);
    stream.write_all(request_to(path, &body).as_bytes()).await.unwrap();
    let (mut read, mut piece) = (Vec::new(), [0; 2048]);
    while !read.windows(5).any(|word| word == b"token") {
        let count = stream.read(&mut piece).await.unwrap();
        assert!(count > 0, "a stream ended with {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
    assert!(read.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&read));
    stream
}

/// One whole answer on a connection of its own; its status.
pub async fn ask(address: SocketAddr) -> io::Result<u16> {
    let mut kept = BufReader::new(TcpStream::connect(address).await?);
    whole(&mut kept).await
}

async fn whole(kept: &mut BufReader<TcpStream>) -> io::Result<u16> {
    kept.get_mut().write_all(request(WHOLE).as_bytes()).await?;
    let (status, body) = answer(kept).await?;
    assert!(status != 200 || body.contains("\"done\":true"), "{body}");
    Ok(status)
}

async fn answer(kept: &mut BufReader<TcpStream>) -> io::Result<(u16, String)> {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        if kept.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().unwrap();
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    kept.read_exact(&mut body).await?;
    Ok((status, String::from_utf8(body).unwrap()))
}

/// So many short requests, one after the other, as long as there is time; of twenty one is left at once. How many were answered, and how many left.
pub async fn many(address: SocketAddr, count: usize, number: usize, until: Instant) -> (usize, usize) {
    let (mut answered, mut left) = (0, 0);
    let mut kept = None;
    for turn in 0..count {
        if Instant::now() > until {
            break;
        }
        if (turn + number) % 20 == 0 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request(WHOLE).as_bytes()).await.unwrap();
            left += 1;
            continue;
        }
        let mut reader = match kept.take() {
            Some(reader) => reader,
            None => BufReader::new(TcpStream::connect(address).await.unwrap()),
        };
        assert_eq!(whole(&mut reader).await.unwrap(), 200);
        answered += 1;
        // Some keep their connection, some do not.
        kept = (turn % 10 != 0).then_some(reader);
    }
    (answered, left)
}

/// The sum of a gauge over its series.
pub async fn sum(address: SocketAddr, name: &str) -> f64 {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    stream.get_mut().write_all(b"GET /metrics HTTP/1.1\r\nHost: load\r\n\r\n").await.unwrap();
    let (status, page) = answer(&mut stream).await.unwrap();
    assert_eq!(status, 200);
    let values = page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next());
    values.filter_map(|value| value.parse::<f64>().ok()).sum()
}
