//! Requests that two servers in a row may read differently, which is how one client's bytes become another's request: each is
//! refused, or reaches the node with one meaning only. Where an nginx is at hand, its reading is compared.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

mod node;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;
mod table;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use node::{Meaning, Node};
use rig::{Proxy, Scratch, connect, pause};
use table::{Fate, ROWS, Row};

/// Ends the connection in order once all before it was answered.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Whoever says nothing for so long waits for more bytes.
const SILENCE: Duration = Duration::from_secs(3);

/// What became of a row.
#[derive(Debug)]
struct Outcome {
    /// The first line of the first answer; empty when there was none.
    first: String,
    /// What the node was asked, by its bytes.
    asked: Vec<Meaning>,
}

impl Outcome {
    fn is_refusal(&self) -> bool {
        let status = self.first.split(' ').nth(1).unwrap_or("0");
        self.asked.is_empty() && (status == "0" || status.starts_with('4') || status.starts_with('5'))
    }
}

/// Says the row's bytes to `server` and looks at what the node behind it received.
fn play(row: &Row, server: SocketAddr, node: &Node) -> Outcome {
    let mut stream = connect(server);
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    drop(stream.write_all(&[row.bytes().as_slice(), LAST].concat()));
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let said = String::from_utf8_lossy(&said);
    let first = said.split("\r\n").next().unwrap_or_default().to_owned();
    drop(stream);
    Outcome { first, asked: node.taken(row.name) }
}

#[test]
fn an_ambiguous_request_is_refused_or_reaches_the_node_with_one_meaning() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::start(&scratch, &["--ollama-url", &node.url(), "--health-interval", "0"]);
    let mut faults = Vec::new();
    for row in &ROWS {
        let outcome = play(row, proxy.address, &node);
        let right = match row.fate {
            Fate::Refused => outcome.is_refusal(),
            Fate::Forwarded(wanted) => outcome.asked.iter().map(Meaning::as_pair).eq(wanted.iter().copied()),
        };
        if !right {
            faults.push(format!("{}: wanted {:?}, got {outcome:?}", row.name, row.fate));
        }
        proxy.serves_others();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn what_nginx_forwards_too_it_reads_as_we_do() {
    let Some(program) = nginx() else {
        println!("nginx is not here: its reading is not compared");
        return;
    };
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::start(&scratch, &["--ollama-url", &node.url(), "--health-interval", "0"]);
    let other = Nginx::start(&program, &scratch, node.address);
    let mut differences = Vec::new();
    for row in &ROWS {
        let (ours, theirs) = (play(row, proxy.address, &node), play(row, other.address, &node));
        let word = |outcome: &Outcome| if outcome.asked.is_empty() { "refused" } else { "forwarded" };
        println!("{:45} ollama-proxy {:9} nginx {}", row.name, word(&ours), word(&theirs));
        if !ours.asked.is_empty() && !theirs.asked.is_empty() && ours.asked != theirs.asked {
            differences.push(format!("{}: we {ours:?}, nginx {theirs:?}", row.name));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The one that is installed, or that the bench has unpacked.
fn nginx() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("bench/nginx/usr/sbin/nginx");
    [PathBuf::from("/usr/sbin/nginx"), unpacked].into_iter().find(|path| path.exists())
}

struct Nginx {
    address: SocketAddr,
    child: Child,
}

impl Nginx {
    fn start(program: &Path, scratch: &Scratch, node: SocketAddr) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dir = scratch.path().display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {dir}/{kind};"));
        let conf = format!(
            "daemon off; master_process off; pid {dir}/pid; error_log {dir}/nginx.log; events {{}} http {{ access_log off; {} \
             server {{ listen {address}; merge_slashes off; location / {{ proxy_http_version 1.1; proxy_set_header Connection \"\"; \
             proxy_pass http://{node}; }} }} }}",
            temporary.join(" ")
        );
        std::fs::write(scratch.path().join("nginx.conf"), conf).unwrap();
        let mut command = Command::new(program);
        command.args(["-c", &scratch.join("nginx.conf"), "-p", &dir.to_string(), "-e", "stderr"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { address, child };
        for _ in 0..1000 {
            if std::net::TcpStream::connect(address).is_ok() {
                return nginx;
            }
            pause();
        }
        panic!("nginx does not listen; see {dir}");
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
