//! One request and its answer over one connection that is driven by whoever polls.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::{Idle, Link, Socket, Trouble};
use crate::http::{Bell, Body};

/// So many bytes that have arrived together are handed on together; larger pieces are not worth a copy.
const TOGETHER: usize = 16 * 1024;

/// A connection that can take one request now.
pub struct Ready {
    sender: SendRequest<Body>,
    driver: Driver,
    peer: SocketAddr,
    home: Option<Idle>,
}

impl Ready {
    /// Over a fresh socket. With a `home` the connection rests there after a whole answer; without one it closes.
    ///
    /// # Errors
    /// `Broken`, in theory.
    pub async fn over(link: Link, home: Option<Idle>) -> Result<Self, Trouble> {
        let (sender, connection) = http1::handshake(TokioIo::new(link.stream)).await.map_err(|error| broken(&error))?;
        Ok(Self { sender, driver: Driver::new(connection), peer: link.peer, home })
    }

    /// Whom it reaches.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where it rests after its next answer. While it rests it does not know: its home would own itself.
    pub(super) fn with_home(self, home: Idle) -> Self {
        Self { home: Some(home), ..self }
    }

    /// Whether it can still take a request: the node may have closed it while it rested.
    pub(super) fn still_open(&mut self) -> bool {
        // Resting connections have no task of their own: this poll is what sees their end.
        self.driver.drive();
        self.driver.bell.forget();
        self.driver.connection.is_some() && self.sender.is_ready()
    }
}

type Upstream = Connection<TokioIo<Socket>, Body>;

/// The connection, which reads and writes only while it is polled.
struct Driver {
    connection: Option<Pin<Box<Upstream>>>,
    bell: Arc<Bell>,
    /// The bell once more, as what the connection may ring.
    waker: Waker,
}

impl Driver {
    fn new(connection: Upstream) -> Self {
        let bell = Arc::new(Bell::default());
        Self { connection: Some(Box::pin(connection)), waker: bell.clone().into(), bell }
    }

    /// Lets the connection read and write. Its own errors also reach the answer, which tells them better.
    fn drive(&mut self) {
        self.bell.mute();
        if let Some(connection) = &mut self.connection {
            if connection.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
                self.connection = None;
            }
        }
    }

    /// Nothing more can be had now: the task is woken when the connection can go on.
    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.bell.listen(cx.waker());
        Poll::Pending
    }
}

/// Sends a request and waits for the head of the answer, for as long as it takes.
///
/// Dropping the future, or later the body before its end, closes the connection: that is how Ollama learns that nobody
/// listens.
///
/// # Errors
/// `Broken` when the connection ends before a whole head came.
pub async fn exchange(ready: Ready, request: Request<Body>) -> Result<Response<AnswerBody>, Trouble> {
    let Ready { mut sender, mut driver, peer, home } = ready;
    let mut answer = pin!(sender.send_request(request));
    let response = poll_fn(|cx| {
        driver.drive();
        // Only the connection can bring it on, and that has just been asked.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => driver.wait(cx),
            answered @ Poll::Ready(_) => answered,
        }
    })
    .await
    .map_err(|error| broken(&error))?;
    Ok(response.map(|body| AnswerBody { body, rest: Some(Ready { sender, driver, peer, home }), next: None, ended: false }))
}

/// Tells an end that the other side made from one that its silence made.
fn broken(error: &hyper::Error) -> Trouble {
    use std::io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    let mut text = error.to_string();
    let mut silent = false;
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        silent |= matches!(kind, Some(TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown));
        cause = inner.source();
    }
    if silent { Trouble::Lost(text) } else { Trouble::Broken(text) }
}

/// The body of an answer together with the connection that it arrives on.
pub struct AnswerBody {
    body: Incoming,
    /// Its sender is kept too: dropping that would let hyper close its write side, and Ollama takes a half-close for a
    /// departure. `None` only while dropping.
    rest: Option<Ready>,
    /// What came behind the pieces that were handed on together.
    next: Option<Polled>,
    /// It was read to its end. hyper's body does not say so of chunks.
    ended: bool,
}

type Polled = Option<Result<Frame<Bytes>, hyper::Error>>;

impl AnswerBody {
    /// What has arrived, and nothing of what has not: a piece that comes alone goes on alone.
    fn poll_piece(&mut self) -> Poll<Polled> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(next);
        }
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(ready) = &self.rest {
            ready.driver.bell.mute();
        }
        // Asking the body first tells the connection that bytes are wanted; then it reads; then the body has them.
        let polled = Pin::new(&mut self.body).poll_frame(&mut cx);
        let (Poll::Pending, Some(ready)) = (&polled, &mut self.rest) else { return polled };
        ready.driver.drive();
        Pin::new(&mut self.body).poll_frame(&mut cx)
    }

    /// Joins to `first` what else has arrived, so that many small pieces cost one write.
    fn join(&mut self, first: Bytes) -> Bytes {
        let mut joined = BytesMut::new();
        while first.len().max(joined.len()) < TOGETHER && !self.body.is_end_stream() {
            let Poll::Ready(polled) = self.poll_piece() else { break };
            let room = TOGETHER - first.len().max(joined.len());
            match polled.as_ref().and_then(|piece| piece.as_ref().ok()?.data_ref()) {
                Some(data) if data.len() <= room => {
                    if joined.is_empty() {
                        joined.reserve(2 * (first.len() + data.len()));
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(data);
                }
                _ => {
                    self.next = Some(polled);
                    break;
                }
            }
        }
        if joined.is_empty() { first } else { joined.freeze() }
    }
}

impl Drop for AnswerBody {
    /// After a whole answer the connection goes home, if it has one. Not when the node answered in the middle of an
    /// upload: the request still stands half written in it, and its client waits to be let go.
    fn drop(&mut self) {
        let Some(mut ready) = self.rest.take().filter(|_| self.is_end_stream()) else { return };
        if let Some(home) = ready.home.take().filter(|_| ready.still_open()) {
            home.put(ready);
        }
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let this = &mut *self;
        let piece = match this.poll_piece() {
            Poll::Ready(piece) => piece,
            Poll::Pending => {
                return this.rest.as_ref().map_or(Poll::Ready(None), |ready| ready.driver.wait(cx));
            }
        };
        this.ended = piece.is_none();
        Poll::Ready(piece.map(|frame| match frame.map(Frame::into_data) {
            Ok(Ok(data)) => Ok(Frame::data(this.join(data))),
            Ok(Err(other)) => Ok(other),
            Err(error) => Err(broken(&error)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || (self.next.is_none() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let waiting = self.next.as_ref().and_then(|next| next.as_ref()?.as_ref().ok()?.data_ref()).map_or(0, Bytes::len) as u64;
        match self.body.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(rest + waiting),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body;
    use http_body_util::BodyExt;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A node that reads one head and then says `said`, waiting for a word between the parts.
    async fn node(said: Vec<&'static str>) -> (Link, tokio::task::JoinHandle<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await.unwrap();
            for part in said {
                stream.write_all(part.as_bytes()).await.unwrap();
            }
            stream.read(&mut head).await.is_ok_and(|n| n == 0)
        });
        (Link { stream: TcpStream::connect(peer).await.unwrap().into(), peer }, server)
    }

    fn request() -> Request<Body> {
        Request::get("/").header("host", "x").body(body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_chunked_answer_arrives_whole() {
        let (link, _server) =
            node(vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n", "2\r\nde\r\n0\r\n\r\n"]).await;
        let answer = exchange(Ready::over(link, None).await.unwrap(), request()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "abcde");
    }

    #[tokio::test]
    async fn dropping_the_body_closes_the_connection_to_the_node() {
        let (link, server) = node(vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n"]).await;
        let mut answer = exchange(Ready::over(link, None).await.unwrap(), request()).await.unwrap().into_body();
        answer.frame().await.unwrap().unwrap();
        drop(answer);
        assert!(tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error_and_no_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = TcpStream::connect(peer).await.unwrap();
        let (mut accepted, _) = listener.accept().await.unwrap();
        accepted.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
        drop(accepted);
        let answer = exchange(Ready::over(Link { stream: stream.into(), peer }, None).await.unwrap(), request()).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    }
}
