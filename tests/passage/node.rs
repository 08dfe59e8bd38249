//! A scripted node: a TCP server whose every byte and every moment the test decides.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wire::{End, Head, PATIENCE, Wire};

/// Requests arrive here; none is answered unless the test says so.
pub struct Node {
    pub address: SocketAddr,
    arrivals: UnboundedReceiver<Exchange>,
    seen: Seen,
    accepting: Option<JoinHandle<()>>,
    listener: Option<Arc<TcpListener>>,
    lists: Lists,
    arrive: UnboundedSender<Exchange>,
    /// Connections that keep the listener's queue full, so that the kernel answers no further one.
    filling: Vec<std::net::TcpStream>,
}

/// Method and target of every request, in order.
type Seen = Arc<Mutex<Vec<String>>>;

/// One request at the node. Dropping it closes the connection.
pub struct Exchange {
    pub head: Head,
    pub wire: Wire,
    body: Option<Vec<u8>>,
    seen: Seen,
}

/// What a node says about itself without the test's help: the models that it lists; `None`: nothing at all.
#[derive(Clone, Default)]
pub struct Lists(Option<Vec<String>>);

impl Node {
    /// Leaves every request to the test.
    pub fn start() -> Self {
        Self::serving(own_address(), Lists(None))
    }

    /// Answers lists, version and shows by itself; everything else is the test's.
    pub fn with_models(models: &[&str]) -> Self {
        Self::at(own_address(), models)
    }

    /// The same at a given address, where a node listened before.
    pub fn at(address: SocketAddr, models: &[&str]) -> Self {
        Self::serving(address, Lists(Some(models.iter().map(ToString::to_string).collect())))
    }

    /// Reads uploads and forgets them.
    pub fn swallowing() -> Self {
        let mut node = Self::start();
        let (_none, arrivals) = unbounded_channel();
        let mut uploads = std::mem::replace(&mut node.arrivals, arrivals);
        tokio::spawn(async move {
            while let Some(mut exchange) = uploads.recv().await {
                let length = exchange.head.get("content-length").unwrap().parse().unwrap();
                exchange.wire.swallow(length).await;
                exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
            }
        });
        node
    }

    fn serving(address: SocketAddr, lists: Lists) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = Arc::new(socket.listen(QUEUE).unwrap());
        let address = listener.local_addr().unwrap();
        let (arrive, arrivals) = unbounded_channel();
        let (accepting, listener, filling) = (None, Some(listener), Vec::new());
        let mut node = Self { address, arrivals, seen: Seen::default(), accepting, listener, lists, arrive, filling };
        node.wake();
        node
    }

    /// Accepts connections, those included that came while it slept.
    pub fn wake(&mut self) {
        self.filling.clear();
        let listener = self.listener.clone().unwrap();
        self.accepting = Some(tokio::spawn(accept(listener, self.lists.clone(), self.seen.clone(), self.arrive.clone())));
    }

    /// Falls asleep: connects get no answer at all, neither yes nor no.
    pub async fn sleep(&mut self) {
        self.stop_accepting().await;
        let patience = Duration::from_millis(100);
        while let Ok(stream) = std::net::TcpStream::connect_timeout(&self.address, patience) {
            self.filling.push(stream);
        }
    }

    async fn stop_accepting(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            drop(accepting.await);
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that the test must answer.
    pub async fn next(&mut self) -> Exchange {
        timeout(PATIENCE, self.arrivals.recv()).await.expect("no request comes").unwrap()
    }

    /// Method and target of every request so far, in order.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests came for exactly this method and target.
    pub fn count(&self, asked: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == asked).count()
    }

    /// Stops listening: from now on connects are refused.
    pub async fn close(&mut self) {
        self.stop_accepting().await;
        self.listener = None;
    }
}

/// An address of loopback for this node alone, with any port: else a port that a test closes becomes another test's node, which
/// then gets its requests.
fn own_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(1);
    // Elsewhere loopback has one address.
    if !cfg!(target_os = "linux") {
        return ([127, 0, 0, 1], 0).into();
    }
    let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let of_this_program = u8::try_from(std::process::id() % 200).unwrap_or_default() + 20;
    ([127, of_this_program, high, low], 0).into()
}

/// Connections that the kernel keeps for a listener that does not accept them.
const QUEUE: u32 = 8;

async fn accept(listener: Arc<TcpListener>, lists: Lists, seen: Seen, arrive: UnboundedSender<Exchange>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(hear(stream, lists.clone(), seen.clone(), arrive.clone()));
    }
}

async fn hear(stream: TcpStream, lists: Lists, seen: Seen, arrive: UnboundedSender<Exchange>) {
    let mut next = Exchange::over(Wire::new(stream), seen).await;
    while let Some(mut exchange) = next {
        match lists.answer_to(exchange.head.asked()) {
            Some(json) => {
                exchange.answer_json(&json).await;
                next = exchange.again().await;
            }
            None => return drop(arrive.send(exchange)),
        }
    }
}

impl Lists {
    fn answer_to(&self, asked: &str) -> Option<serde_json::Value> {
        let models = self.0.as_ref()?;
        Some(match asked {
            "GET /api/tags" => json!({ "models": models.iter().map(|name| listed(name)).collect::<Vec<_>>() }),
            "GET /api/version" => json!({ "version": "0.12.6" }),
            "GET /api/status" => json!({ "cloud": { "disabled": true, "source": "env" } }),
            "POST /api/show" => {
                json!({ "modelfile": "# a show", "details": { "family": "llama" }, "capabilities": ["completion"] })
            }
            _ => return None,
        })
    }
}

fn listed(name: &str) -> serde_json::Value {
    json!({
        "name": name,
        "model": name,
        "modified_at": "2026-01-02T03:04:05.678901234+01:00",
        "size": 2_019_393_189_u64,
        "digest": format!("{:0>64}", name.len()),
        "details": { "family": "llama", "parameter_size": "3.2B" },
    })
}

impl Exchange {
    async fn over(mut wire: Wire, seen: Seen) -> Option<Self> {
        let head = wire.head().await?;
        seen.lock().unwrap().push(head.asked().to_owned());
        Some(Self { head, wire, body: None, seen })
    }

    /// The next request on the same connection; `None` when the proxy closes it.
    pub async fn again(self) -> Option<Self> {
        Self::over(self.wire, self.seen).await
    }

    /// The whole body of the request. Reading it is left to the test, since a node may answer before it has read.
    pub async fn body(&mut self) -> Vec<u8> {
        if self.body.is_none() {
            let (body, end) = self.wire.body(&self.head).await;
            assert_eq!(end, End::Whole, "the request breaks off");
            self.body = Some(body);
        }
        self.body.clone().unwrap_or_default()
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.say(bytes).await;
    }

    /// An answer of known length. `lines` are header lines without their ends.
    pub async fn answer(&mut self, status: &str, lines: &[&str], body: impl AsRef<[u8]>) {
        let length = format!("Content-Length: {}", body.as_ref().len());
        let head = [&[&*format!("HTTP/1.1 {status}")], lines, &[&length, "\r\n"]].concat().join("\r\n");
        self.body().await;
        self.say([head.as_bytes(), body.as_ref()].concat()).await;
    }

    pub async fn answer_json(&mut self, json: &serde_json::Value) {
        self.answer("200 OK", &["Content-Type: application/json; charset=utf-8"], json.to_string()).await;
    }

    /// The head of a stream of pieces.
    pub async fn begin(&mut self, content_type: &str) {
        self.body().await;
        self.say(format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    }

    /// One chunk, in one write.
    pub async fn chunk(&mut self, bytes: impl AsRef<[u8]>) {
        let size = format!("{:x}\r\n", bytes.as_ref().len());
        self.say([size.as_bytes(), bytes.as_ref(), b"\r\n"].concat()).await;
    }

    /// The proper end of a stream of pieces.
    pub async fn end(&mut self) {
        self.say("0\r\n\r\n").await;
    }

    /// A whole short answer to a native chat.
    pub async fn answer_chat(mut self) {
        self.begin("application/x-ndjson").await;
        self.chunk(CHAT_ANSWER).await;
        self.end().await;
    }

    /// Ends the connection in order, after the request was read whole.
    pub async fn close(mut self) {
        self.body().await;
    }

    /// Ends the connection by a reset.
    pub async fn reset(mut self) {
        self.body().await;
        self.wire.reset();
    }
}

/// The one line of a finished chat.
pub const CHAT_ANSWER: &str =
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"done_reason\":\"stop\",\"done\":true}\n";
