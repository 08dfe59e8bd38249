//! An HTTP/1.1 client for the network laboratory that hides nothing: it sends the bytes it is given and reports when the
//! head and each piece of the body came and how the answer ended.
//!
//! It runs in a network namespace, takes orders as JSON lines on standard input and prints reports as JSON lines. Any number of
//! requests run at once, each on a connection of its own. It ends when standard input closes.

mod load;
mod words;

use std::collections::HashMap;
use std::io::{self, BufRead, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use words::{Ended, News, Order, Report};

/// Prints what happens to one request.
#[derive(Clone, Copy)]
pub struct Reporter {
    id: u64,
    begun: Instant,
}

impl Reporter {
    fn say(self, news: News) {
        let after_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let report = Report { id: self.id, after_us, news };
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    }
}

/// How the end of a body is known.
enum Framing {
    Empty,
    Chunked,
    Length(usize),
    UntilClosed,
}

fn framing(status: u16, request: &str, headers: &[(String, String)]) -> Framing {
    let value = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if request.starts_with("HEAD ") || status == 204 || status == 304 {
        Framing::Empty
    } else if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        Framing::Chunked
    } else if let Some(length) = value("content-length").and_then(|value| value.parse().ok()) {
        Framing::Length(length)
    } else {
        Framing::UntilClosed
    }
}

type Reader = BufReader<TcpStream>;

async fn line(reader: &mut Reader) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line).await? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn head(reader: &mut Reader) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = line(reader).await?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(ErrorKind::InvalidData)?;
    let mut headers = Vec::new();
    loop {
        let line = line(reader).await?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
}

async fn body(reader: &mut Reader, framing: Framing, mut say: impl FnMut(&[u8])) -> io::Result<()> {
    match framing {
        Framing::Empty => {}
        Framing::Chunked => loop {
            let size = usize::from_str_radix(&line(reader).await?, 16).map_err(|_| ErrorKind::InvalidData)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).await?;
            if size == 0 {
                break;
            }
            say(&chunk[..size]);
        },
        Framing::Length(length) => {
            let mut whole = vec![0; length];
            reader.read_exact(&mut whole).await?;
            say(&whole);
        }
        Framing::UntilClosed => {
            let mut piece = vec![0; 1 << 16];
            loop {
                let length = reader.read(&mut piece).await?;
                if length == 0 {
                    break;
                }
                say(&piece[..length]);
            }
        }
    }
    Ok(())
}

async fn exchange(stream: TcpStream, request: &str, reporter: Reporter) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    reader.get_mut().write_all(request.as_bytes()).await?;
    let (status, headers) = head(&mut reader).await?;
    let framing = framing(status, request, &headers);
    reporter.say(News::Head { status, headers });
    body(&mut reader, framing, |bytes| reporter.say(News::Data(String::from_utf8_lossy(bytes).into_owned()))).await
}

async fn ask(id: u64, to: String, request: String, connect: Duration) {
    let reporter = Reporter { id, begun: Instant::now() };
    let stream = match timeout(connect, TcpStream::connect(&to)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(fault)) => return reporter.say(News::End(Ended::NoConnection(format!("{:?}", fault.kind())))),
        Err(_) => return reporter.say(News::End(Ended::NoConnection("limit".into()))),
    };
    let ended = match exchange(stream, &request, reporter).await {
        Ok(()) => Ended::Clean,
        Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => Ended::Cut,
        Err(fault) => Ended::Broken(fault.to_string()),
    };
    reporter.say(News::End(ended));
}

fn orders(sender: &UnboundedSender<Order>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(order) => {
                if sender.send(order).is_err() {
                    return;
                }
            }
            Err(fault) => eprintln!("cannot read {line}: {fault}"),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (sender, mut receiver) = unbounded_channel();
    std::thread::spawn(move || orders(&sender));
    let mut running: HashMap<u64, AbortHandle> = HashMap::new();
    println!("ready");
    while let Some(order) = receiver.recv().await {
        match order {
            Order::Ask { id, to, request, connect_ms } => {
                let task = tokio::spawn(ask(id, to, request, Duration::from_millis(connect_ms)));
                running.insert(id, task.abort_handle());
            }
            Order::Load(load) => {
                let id = load.id;
                running.insert(id, tokio::spawn(load::run(load)).abort_handle());
            }
            Order::Leave { id } => {
                if let Some(task) = running.remove(&id) {
                    task.abort();
                    Reporter { id, begun: Instant::now() }.say(News::End(Ended::Left));
                }
            }
        }
    }
}
