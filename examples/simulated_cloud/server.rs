//! A small HTTP server for stand-ins: it keeps what it heard, and knows when a stream was dropped.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// So many of the last requests are kept.
const MOST_HEARD: usize = 1000;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub asked: String,
    pub headers: HeaderMap,
    pub raw: Bytes,
    pub body: Value,
}

/// What a stand-in answers.
pub struct Say {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub pieces: Pieces,
}

/// How the body comes.
pub enum Pieces {
    Whole(String),
    /// One chunk each, then the proper end.
    Stream(Vec<String>),
    /// One chunk each, then the connection breaks.
    Broken(Vec<String>),
    /// A beginning, and then the same chunk until somebody hangs up.
    Endless(String, String),
    /// One chunk each, then nothing until somebody hangs up.
    Silent(Vec<String>),
}

impl Say {
    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, pieces: Pieces::Whole(body.to_string()) }
    }

    pub fn events(pieces: Pieces) -> Self {
        Self { status: 200, headers: vec![("content-type", "text/event-stream; charset=utf-8".to_owned())], pieces }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// A running stand-in; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Streams that were dropped before their end.
    dropped: AtomicUsize,
    /// Chunks of endless streams that were taken.
    taken: AtomicUsize,
}

impl Server {
    pub async fn start(answer: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", answer).await
    }

    pub async fn at(address: &str, answer: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (counts, answer) = (Arc::<Counts>::default(), Arc::new(answer));
        let server = Self { address, heard: heard.clone(), counts: counts.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (heard, counts, answer) = (heard.clone(), counts.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (heard, counts, answer) = (heard.clone(), counts.clone(), answer.clone());
                    async move {
                        let Some(said) = Heard::of(request).await else {
                            return Err(std::io::Error::other("the request broke off"));
                        };
                        if let Some(told) = of_itself(&said, &heard, &counts) {
                            return Ok(respond(told, counts));
                        }
                        let mut all = heard.lock().unwrap();
                        if all.len() >= MOST_HEARD {
                            all.remove(0);
                        }
                        all.push(said.clone());
                        drop(all);
                        Ok::<_, std::io::Error>(respond(answer(&said), counts))
                    }
                });
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        server
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The bodies that came for a method and target.
    pub fn bodies(&self, asked: &str) -> Vec<Value> {
        self.heard().into_iter().filter(|heard| heard.asked == asked).map(|heard| heard.body).collect()
    }

    pub fn dropped(&self) -> usize {
        self.counts.dropped.load(Ordering::SeqCst)
    }

    pub fn taken(&self) -> usize {
        self.counts.taken.load(Ordering::SeqCst)
    }
}

impl Heard {
    async fn of(request: Request<Incoming>) -> Option<Self> {
        let (head, body) = request.into_parts();
        let raw = body.collect().await.ok()?.to_bytes();
        let body = serde_json::from_slice(&raw).unwrap_or_default();
        Some(Self { asked: format!("{} {}", head.method, head.uri), headers: head.headers, raw, body })
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What the stand-in tells of itself.
fn of_itself(said: &Heard, heard: &Mutex<Vec<Heard>>, counts: &Counts) -> Option<Say> {
    let heard = heard.lock().unwrap();
    match said.asked.as_str() {
        "GET /sim/counters" => {
            let (dropped, taken) = (counts.dropped.load(Ordering::SeqCst), counts.taken.load(Ordering::SeqCst));
            Some(Say::json(200, &json!({ "requests": heard.len(), "dropped": dropped, "taken": taken })))
        }
        "GET /sim/heard" => {
            let all = heard.iter().map(|heard| json!({ "asked": heard.asked, "body": heard.body }));
            Some(Say::json(200, &Value::Array(all.collect())))
        }
        _ => None,
    }
}

fn respond(say: Say, counts: Arc<Counts>) -> Response<Speaking> {
    let mut response = Response::builder().status(say.status);
    for (name, value) in say.headers {
        response = response.header(name, value);
    }
    response.body(Speaking { pieces: say.pieces, at: 0, ended: false, counts }).unwrap()
}

/// A body under way.
pub struct Speaking {
    pieces: Pieces,
    at: usize,
    ended: bool,
    counts: Arc<Counts>,
}

impl Body for Speaking {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.at += 1;
        let at = self.at - 1;
        let piece = match &self.pieces {
            Pieces::Whole(text) => (at == 0).then(|| text.clone()),
            Pieces::Stream(pieces) => pieces.get(at).cloned(),
            Pieces::Broken(pieces) => match pieces.get(at) {
                Some(piece) => Some(piece.clone()),
                // What was said goes out while nothing more comes.
                None if at < pieces.len() + 3 => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None => return Poll::Ready(Some(Err(std::io::Error::other("broken on purpose")))),
            },
            Pieces::Silent(pieces) => match pieces.get(at) {
                Some(piece) => Some(piece.clone()),
                None => return Poll::Pending,
            },
            Pieces::Endless(beginning, piece) => {
                self.counts.taken.fetch_add(1, Ordering::SeqCst);
                Some(if at == 0 { beginning } else { piece }.clone())
            }
        };
        self.ended = piece.is_none();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        if matches!(self.pieces, Pieces::Endless(..) | Pieces::Silent(_)) && !self.ended {
            self.counts.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}
