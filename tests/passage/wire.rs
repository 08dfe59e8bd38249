//! One end of an HTTP/1.1 connection that says exactly the bytes it is given and hears exactly what came.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long anything in these tests may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Within this time a departure must have been passed on, on a busy machine too; what would end it otherwise takes 30 s and more.
pub const SOON: Duration = Duration::from_secs(15);

/// A start line with its headers, names as they came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub start: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let pair = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_owned(), value.trim().to_owned())
        };
        Self { start, headers: lines.filter(|line| !line.is_empty()).map(pair).collect() }
    }

    /// All values of a header, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that must not come twice.
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came {} times: {self:?}", all.len());
        all.first().copied()
    }

    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Method and target of a request.
    pub fn asked(&self) -> &str {
        self.start.rsplit_once(' ').map_or("", |(asked, _)| asked)
    }

    /// How the body that follows is framed; `None`: until the connection ends.
    fn framing(&self) -> Option<Framing> {
        if self.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        self.get("content-length").map(|length| Framing::Length(length.parse().unwrap()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing promised.
    Whole,
    /// The connection ended before.
    Cut,
}

/// A connection with what was read of it and not yet taken.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// Writes all of it; panics when the other end does not take it.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.expect("nobody takes the bytes").unwrap();
    }

    /// Writes until all is said or the other end has heard enough; whether all was said.
    pub async fn try_say(&mut self, bytes: &[u8]) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("nobody takes the bytes").is_ok()
    }

    /// Ends our direction only.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Ends the connection by a reset instead of an orderly close.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Reads some more; false at the end of the connection, a reset included.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let n = timeout(PATIENCE, self.stream.read(&mut piece)).await.expect("nothing comes").unwrap_or(0);
        self.read.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// The next head; `None` when the connection ends without one.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let rest = self.read.split_off(end + 4);
                let text = std::mem::replace(&mut self.read, rest);
                return Some(Head::parse(std::str::from_utf8(&text).unwrap().trim_end()));
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "the head breaks off: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        }
    }

    /// Exactly so many bytes; fewer when the connection ends before.
    async fn exactly(&mut self, length: usize) -> (Vec<u8>, End) {
        while self.read.len() < length {
            if !self.more().await {
                return (std::mem::take(&mut self.read), End::Cut);
            }
        }
        let rest = self.read.split_off(length);
        (std::mem::replace(&mut self.read, rest), End::Whole)
    }

    /// Reads so many bytes and keeps none.
    pub async fn swallow(&mut self, length: usize) {
        let mut left = length;
        while left > 0 {
            assert!(!self.read.is_empty() || self.more().await, "{left} bytes are missing");
            let taken = self.read.len().min(left);
            self.read.drain(..taken);
            left -= taken;
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let rest = self.read.split_off(end + 2);
                let line = std::mem::replace(&mut self.read, rest);
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next chunk as it was framed; empty for the last one, `None` when the connection ends before.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
        let (bytes, end) = self.exactly(size).await;
        let tail = self.line().await;
        (end == End::Whole && tail.as_deref() == Some("")).then_some(bytes)
    }

    /// All bytes of the body that follows `head`. A request without framing has none; an answer's lasts until the end.
    pub async fn body(&mut self, head: &Head) -> (Vec<u8>, End) {
        match head.framing() {
            Some(Framing::Length(length)) => self.exactly(length).await,
            Some(Framing::Chunked) => self.chunks().await,
            None if head.status() == 0 => (Vec::new(), End::Whole),
            None => {
                while self.more().await {}
                (std::mem::take(&mut self.read), End::Whole)
            }
        }
    }

    /// The chunks up to the last one, joined.
    pub async fn chunks(&mut self) -> (Vec<u8>, End) {
        let mut all = Vec::new();
        loop {
            match self.chunk().await {
                Some(last) if last.is_empty() => return (all, End::Whole),
                Some(bytes) => all.extend(bytes),
                None => return (all, End::Cut),
            }
        }
    }

    /// Waits until the other end has left, reading away what it still says; panics when it stays.
    pub async fn left(&mut self) {
        timeout(SOON, async { while self.more().await {} }).await.expect("the other end stays");
    }

    /// Asserts that for a moment nothing comes: neither a byte nor an end.
    pub async fn is_quiet(&mut self) {
        let heard = timeout(Duration::from_millis(150), self.more()).await;
        assert!(heard.is_err(), "heard {:?}", String::from_utf8_lossy(&self.read));
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
