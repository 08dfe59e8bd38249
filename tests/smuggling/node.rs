//! The node of these tests: it keeps every byte that it receives, answers every request, and reads as strictly as a server can.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it can be understood in one way only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    asked: String,
    body: String,
}

impl Meaning {
    /// Method with target, and body.
    pub fn as_pair(&self) -> (&str, &str) {
        (&self.asked, &self.body)
    }
}

/// What came on each connection.
type Record = Arc<Mutex<Vec<Vec<u8>>>>;

/// A node on loopback. Its threads end with their connections, and with the test program.
pub struct Node {
    pub address: SocketAddr,
    record: Record,
}

impl Node {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, record) = (listener.local_addr().unwrap(), Record::default());
        let kept = record.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let place = {
                    let mut record = kept.lock().unwrap();
                    record.push(Vec::new());
                    record.len() - 1
                };
                let record = kept.clone();
                std::thread::spawn(move || serve(stream, &record, place));
            }
        });
        Self { address, record }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked since the last time, but for the tests' own `/last`; panics on bytes that have more than one meaning.
    pub fn taken(&self, name: &str) -> Vec<Meaning> {
        let mut all = Vec::new();
        for bytes in self.record.lock().unwrap().iter_mut() {
            let bytes = std::mem::take(bytes);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let told = || format!("{name}: the node got {:?}", String::from_utf8_lossy(&bytes));
                let (meaning, length) =
                    read(rest).unwrap_or_else(|why| panic!("{why}: {}", told())).unwrap_or_else(|| panic!("{}", told()));
                rest = &rest[length..];
                all.push(meaning);
            }
        }
        all.retain(|meaning| meaning.asked != "GET /last");
        all
    }
}

/// Answers each request once its bytes are there. Every byte is recorded, those of no request too.
fn serve(mut stream: TcpStream, record: &Record, place: usize) {
    let (mut pending, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        record.lock().unwrap()[place].extend_from_slice(&piece[..count]);
        pending.extend_from_slice(&piece[..count]);
        while let Ok(Some((_, length))) = read(&pending) {
            pending.drain(..length);
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").is_err() {
                return;
            }
        }
    }
}

/// The request at the beginning and its length; `None`: more must come.
///
/// # Errors
/// Why these bytes could be read in two ways.
fn read(bytes: &[u8]) -> Result<Option<(Meaning, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is no text")?;
    let mut lines = head.split("\r\n");
    let asked = lines.next().and_then(|line| line.strip_suffix(" HTTP/1.1")).ok_or("no request line")?;
    if asked.split(' ').count() != 2 || head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err("a strange request line, or a bare CR, LF or NUL".into());
    }
    let mut framing = None;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("a strange name {name:?}"));
        }
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-length") || is("transfer-encoding") {
            let before = framing.replace((is("transfer-encoding"), value.trim()));
            if before.is_some() {
                return Err("framed twice".into());
            }
        }
    }
    let rest = &bytes[end + 4..];
    let body = match framing {
        None => Some((Vec::new(), 0)),
        Some((true, "chunked")) => chunks(rest)?,
        Some((false, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length: usize = length.parse().map_err(|_| "no length")?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        }
        Some((_, other)) => return Err(format!("framed by {other:?}")),
    };
    let Some((body, length)) = body else { return Ok(None) };
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some((Meaning { asked: asked.to_owned(), body }, end + 4 + length)))
}

/// A body in chunks and its length on the wire, without extensions and trailers.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = bytes[at..].windows(2).position(|window| window == b"\r\n") else { return Ok(None) };
        let size = std::str::from_utf8(&bytes[at..at + end]).map_err(|_| "a size that is no text")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("a strange size {size:?}"));
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "a size beyond all sizes")?;
        at += end + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk longer than its size, or a trailer".into());
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}
