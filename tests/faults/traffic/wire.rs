//! As much of an HTTP/1.1 client as the traffic needs: it keeps what has come when an answer breaks off.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// A connection to the proxy.
pub type Link = BufReader<TcpStream>;

/// One that is held for the next request, and when it was made: Unix milliseconds.
pub type Kept = Option<(Link, u64)>;

/// How an answer ended.
#[derive(Clone, Debug, Default)]
pub enum Ended {
    /// By the rules.
    #[default]
    Clean,
    /// The connection ended or broke first: the system's words.
    Broken(String),
    /// Not within the bound.
    Late,
    /// There was no way to the proxy.
    Away,
}

/// As much of an answer as came.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0: no head came.
    pub status: u16,
    /// What came of the body.
    pub body: Vec<u8>,
    /// How it ended.
    pub ended: Ended,
    /// Whether the connection may be used again.
    pub kept: bool,
    /// When the connection was made, if an earlier request had used it: Unix milliseconds.
    pub since: Option<u64>,
}

/// A fresh connection.
pub async fn connect(to: &str) -> io::Result<Link> {
    let stream = timeout(Duration::from_secs(20), TcpStream::connect(to)).await.map_err(|_| ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Sends the request and reads the answer, with a rest of `slowness` after each piece, until `bound`.
pub async fn exchange(link: &mut Link, request: &str, slowness: Duration, bound: Instant) -> Answer {
    let mut answer = Answer::default();
    let ended = timeout_at(bound, read(link, request, slowness, &mut answer)).await;
    answer.ended = match ended {
        Ok(Ok(())) => Ended::Clean,
        Ok(Err(fault)) => broken(&fault),
        Err(_) => Ended::Late,
    };
    answer.kept &= matches!(answer.ended, Ended::Clean);
    answer
}

/// What a fault of the connection means.
pub fn broken(fault: &io::Error) -> Ended {
    let away = [ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable, ErrorKind::TimedOut];
    if away.contains(&fault.kind()) { Ended::Away } else { Ended::Broken(fault.to_string()) }
}

async fn line(link: &mut Link) -> io::Result<String> {
    let mut line = String::new();
    if link.read_line(&mut line).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn read(link: &mut Link, request: &str, slowness: Duration, answer: &mut Answer) -> io::Result<()> {
    link.get_mut().write_all(request.as_bytes()).await?;
    let first = line(link).await?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(ErrorKind::InvalidData)?;
    let (mut length, mut chunked, mut kept) = (None, false, true);
    loop {
        let line = line(link).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse::<usize>().ok(),
            ("transfer-encoding", value) => chunked = value == "chunked",
            ("connection", value) => kept = value != "close",
            _ => {}
        }
    }
    (answer.status, answer.kept) = (status, kept);
    if request.starts_with("HEAD ") {
        return Ok(());
    }
    if !chunked {
        let length = length.ok_or(ErrorKind::InvalidData)?;
        return take(link, length, slowness, &mut answer.body).await;
    }
    loop {
        let size = usize::from_str_radix(&line(link).await?, 16).map_err(|_| ErrorKind::InvalidData)?;
        take(link, size, slowness, &mut answer.body).await?;
        if !line(link).await?.is_empty() {
            return Err(ErrorKind::InvalidData.into());
        }
        if size == 0 {
            return Ok(());
        }
    }
}

/// So many bytes, in pieces as they come, so that none is lost when the rest does not come.
async fn take(link: &mut Link, mut left: usize, slowness: Duration, into: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 256];
    while left > 0 {
        let most = left.min(piece.len());
        let count = link.read(&mut piece[..most]).await?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        into.extend_from_slice(&piece[..count]);
        left -= count;
        if !slowness.is_zero() {
            sleep(slowness).await;
        }
    }
    Ok(())
}
