//! One chat with a simulated server behind the real program: how fast its answer comes, its beginning and its end.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ollama_proxy::simulator::Settings;

use crate::rig::{Reply, connect};

pub const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

pub fn quick() -> Settings {
    Settings { load: Duration::ZERO, first_token: Duration::ZERO, token_gap: Duration::from_millis(2), tokens: 5, ..busy() }
}

/// Streams for four seconds.
pub fn slow() -> Settings {
    Settings { load: Duration::ZERO, first_token: Duration::ZERO, token_gap: Duration::from_millis(100), tokens: 40, ..busy() }
}

fn busy() -> Settings {
    Settings { parallel: 16, ..Settings::default() }
}

/// A chat whose answer has begun; `more`: further header lines, each with its end.
pub fn begun(address: SocketAddr, more: &str) -> BufReader<TcpStream> {
    let mut stream = connect(address);
    let length = CHAT.len();
    let head = format!("POST /api/chat HTTP/1.1\r\nHost: x\r\n{more}Connection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{CHAT}").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("\"done\":false") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the answer never begins");
    }
    reader
}

/// The rest of an answer; how many pieces came, the last with the end mark.
pub fn rest(reader: BufReader<TcpStream>) -> usize {
    let lines: Vec<String> = reader.lines().map(Result::unwrap).filter(|line| line.contains("\"done\"")).collect();
    assert!(lines.last().is_some_and(|line| line.contains("\"done\":true")), "{lines:?}");
    lines.len()
}

/// The node that served.
pub fn served_by(reply: &Reply) -> String {
    let head = reply.head.to_lowercase();
    let line = head.lines().find_map(|line| line.strip_prefix("x-ollama-proxy-node: ")).unwrap_or_else(|| panic!("{reply:?}"));
    line.to_owned()
}
