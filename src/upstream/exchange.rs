//! One request and its answer over one connection that is driven by whoever polls.
//!
//! The codec is our own: what has come off the socket is handed on at once and as one piece, without a task, a channel or a
//! second buffer in between.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use tokio::io::ReadBuf;

use super::framing::{Framing, Taken};
use super::head::{self, Answer};
use super::upload::{Failure, Upload};
use super::wire::{self, Wire};
use super::{Idle, Link, Trouble};

/// A connection that can take one request now.
pub struct Ready {
    // In a box: it goes from hand to hand with each request.
    exchange: Box<Exchange>,
    home: Option<Idle>,
}

impl Ready {
    /// Over a fresh socket. With a `home` the connection rests there after a whole answer; without one it closes.
    pub fn over(link: Link, home: Option<Idle>) -> Self {
        Self { exchange: Box::new(Exchange { wire: Wire::new(link), upload: None, unsent: None }), home }
    }

    /// Whom it reaches.
    pub fn peer(&self) -> SocketAddr {
        self.exchange.wire.peer
    }

    /// Where it rests after its next answer. While it rests it does not know: its home would own itself.
    pub(super) fn with_home(self, home: Idle) -> Self {
        Self { home: Some(home), ..self }
    }

    /// Whether it can still take a request: the node may have closed it while it rested, or said what nobody asked for.
    pub(super) fn still_open(&mut self) -> bool {
        let Exchange { wire, upload, unsent } = &mut *self.exchange;
        // The socket forgets the last task that waited for it: a waker would keep the memory of one that has ended.
        let quiet = wire.buffer.is_empty() && wire.poll_read(&mut Context::from_waker(Waker::noop())).is_pending();
        quiet && upload.is_none() && unsent.is_none()
    }
}

/// A connection with its request: that may still be on its way when the answer comes.
struct Exchange {
    wire: Wire,
    /// `None`: all of it was written.
    upload: Option<Upload>,
    /// Why no more of it could be written.
    unsent: Option<Trouble>,
}

impl Exchange {
    /// Writes what can be written. What the socket refuses is kept: the node may have answered before it closed.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<(), Trouble> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.poll(&mut self.wire.stream, cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Failure::Socket(error))) => self.unsent = Some(broken(&error)),
            Poll::Ready(Err(Failure::Body(trouble))) => return Err(trouble),
        }
        self.upload = None;
        Ok(())
    }

    /// Reads on. `Ok(false)`: the node has closed its side.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Trouble>> {
        let read = ready!(self.wire.poll_read(cx));
        Poll::Ready(self.judge(read))
    }

    /// What was read, or why nothing. The reason why nothing can be written any more is told only once.
    fn judge(&mut self, read: io::Result<usize>) -> Result<bool, Trouble> {
        match (read, self.unsent.take()) {
            (Ok(0) | Err(_), Some(unsent)) => Err(unsent),
            (Err(error), None) => Err(broken(&error)),
            (Ok(read), unsent) => {
                self.unsent = unsent;
                Ok(read > 0)
            }
        }
    }

    /// Reads on in a body: whether the node goes on, and where little is expected what came of it, as one piece.
    fn poll_body(&mut self, framing: &mut Framing, cx: &mut Context<'_>) -> Poll<Result<(bool, Option<Bytes>), Trouble>> {
        if !self.wire.expects_little() {
            return self.poll_more(cx).map_ok(|more| (more, None));
        }
        let mut room = [const { MaybeUninit::uninit() }; wire::LITTLE];
        let mut room = ReadBuf::uninit(&mut room);
        let read = ready!(self.wire.poll_little(cx, &mut room));
        let more = self.judge(read)?;
        let Taken { used, data } = framing.take_from(room.filled_mut()).map_err(malformed)?;
        let piece = (!data.is_empty()).then(|| Bytes::copy_from_slice(&room.filled()[data]));
        self.wire.buffer.extend_from_slice(&room.filled()[used..]);
        Poll::Ready(Ok((more, piece)))
    }

    fn poll_head(&mut self, to_head: bool, cx: &mut Context<'_>) -> Poll<Result<Answer, Trouble>> {
        self.drive(cx)?;
        loop {
            if !ready!(self.poll_more(cx))? {
                return Poll::Ready(Err(Trouble::Broken("the connection was closed before an answer".to_owned())));
            }
            if let Some(answer) = head::read(&mut self.wire.buffer, to_head).map_err(malformed)? {
                return Poll::Ready(Ok(answer));
            }
        }
    }
}

/// Sends a request and waits for the head of the answer, for as long as it takes.
///
/// Dropping the future, or later the body before its end, closes the connection: that is how Ollama learns that nobody
/// listens.
///
/// # Errors
/// `Broken` when the connection ends before a whole head came.
pub async fn exchange(ready: Ready, request: Upload) -> Result<Response<AnswerBody>, Trouble> {
    let Ready { mut exchange, home } = ready;
    let to_head = request.is_to_head();
    exchange.upload = Some(request);
    let Answer { head, framing, stays } = poll_fn(|cx| exchange.poll_head(to_head, cx)).await?;
    let body = AnswerBody { exchange: Some(exchange), framing, home: home.filter(|_| stays), closed: false };
    Ok(head.map(|()| body))
}

fn malformed(why: &'static str) -> Trouble {
    Trouble::Broken(why.to_owned())
}

/// Tells an end that the other side made from one that its silence made.
fn broken(error: &io::Error) -> Trouble {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
    let text = error.to_string();
    let silent = matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown);
    if silent { Trouble::Lost(text) } else { Trouble::Broken(text) }
}

/// The body of an answer together with the connection that it arrives on.
pub struct AnswerBody {
    /// `None` only while dropping. Its write side stays open to the end: Ollama takes a half-close for a departure.
    exchange: Option<Box<Exchange>>,
    framing: Framing,
    home: Option<Idle>,
    /// The node has closed its side, which is an end too where no other is told.
    closed: bool,
}

impl AnswerBody {
    /// What has arrived, as one piece, and nothing of what has not: a piece that comes alone goes on alone.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Trouble>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        exchange.drive(cx)?;
        loop {
            if let Some(data) = self.framing.take(&mut exchange.wire.buffer).map_err(malformed)? {
                return Poll::Ready(Some(Ok(data)));
            }
            if self.closed || self.framing.is_over() {
                return Poll::Ready(None);
            }
            let (more, piece) = ready!(exchange.poll_body(&mut self.framing, cx))?;
            if piece.is_some() {
                return Poll::Ready(piece.map(Ok));
            }
            if !more {
                if self.framing != Framing::ToTheEnd {
                    let text = "the connection was closed in the middle of the answer";
                    return Poll::Ready(Some(Err(Trouble::Broken(text.to_owned()))));
                }
                self.closed = true;
            }
        }
    }
}

impl Drop for AnswerBody {
    /// After a whole answer the connection goes home, if it has one. Not when the node answered in the middle of an
    /// upload: the request still stands half written in it, and its client waits to be let go.
    fn drop(&mut self) {
        let (Some(exchange), Some(home)) = (self.exchange.take(), self.home.take()) else { return };
        let mut ready = Ready { exchange, home: None };
        if self.framing.is_over() && ready.still_open() {
            home.put(ready);
        }
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        self.poll_piece(cx).map(|piece| piece.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.closed || self.framing.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.framing.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::RequestHead;
    use http_body_util::BodyExt;
    use http_body_util::channel::Channel;
    use hyper::header::{self, HeaderValue};
    use hyper::{Method, Uri};
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

    fn request() -> Upload {
        RequestHead::new(&Method::GET, &Uri::from_static("/")).with(Bytes::new())
    }

    /// What a node reads of a request, which is as long as it is expected to be.
    async fn on_the_wire(request: Upload, expected: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let link = Link { stream: TcpStream::connect(peer).await.unwrap().into(), peer };
        let asking = tokio::spawn(exchange(Ready::over(link, None), request));
        let mut read = vec![0; expected.len()];
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut read)).await.unwrap().unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        assert_eq!(asking.await.unwrap().unwrap().status(), 204);
        // Nothing comes behind it.
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        String::from_utf8(read).unwrap()
    }

    #[tokio::test]
    async fn a_request_stands_on_the_wire_with_the_framing_of_its_body() {
        let head = |method| {
            let mut head = RequestHead::new(&method, &Uri::from_static("/api/x?a=1&a=2"));
            head.header(&header::HOST, &HeaderValue::from_static("pc:1"));
            head
        };
        let begun = |method: &str, rest: &str| format!("{method} /api/x?a=1&a=2 HTTP/1.1\r\nhost: pc:1\r\n{rest}");
        let streamed = |pieces: &'static [&'static str]| {
            let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(4);
            for piece in pieces {
                sender.try_send(Frame::data(Bytes::from_static(piece.as_bytes()))).unwrap();
            }
            body.map_err(|never| match never {}).boxed_unsync()
        };
        for (request, expected) in [
            (head(Method::GET).with(Bytes::new()), begun("GET", "\r\n")),
            (head(Method::DELETE).with(Bytes::new()), begun("DELETE", "content-length: 0\r\n\r\n")),
            (
                head(Method::POST).with("x".repeat(1_234).into()),
                begun("POST", &format!("content-length: 1234\r\n\r\n{}", "x".repeat(1_234))),
            ),
            (
                head(Method::POST).streaming(crate::http::body::full("hello"), Some(5)),
                begun("POST", "content-length: 5\r\n\r\nhello"),
            ),
            (
                head(Method::POST).streaming(streamed(&["abc", "0123456789abcdef"]), None),
                begun("POST", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"),
            ),
            (
                head(Method::POST).streaming(crate::http::body::full("hello"), None),
                begun("POST", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            ),
            (head(Method::POST).streaming(streamed(&[]), None), begun("POST", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n")),
        ] {
            assert_eq!(on_the_wire(request, &expected).await, expected);
        }
    }

    #[tokio::test]
    async fn a_chunked_answer_arrives_whole() {
        let (link, _server) =
            node(vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n", "2\r\nde\r\n0\r\n\r\n"]).await;
        let answer = exchange(Ready::over(link, None), request()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "abcde");
    }

    #[tokio::test]
    async fn a_body_arrives_whole_however_much_of_it_comes_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let link = Link { stream: TcpStream::connect(peer).await.unwrap().into(), peer };
        let (mut node, _) = listener.accept().await.unwrap();
        let (mut said, mut text) = (Vec::new(), b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec());
        // Little, much, and little again.
        for (number, size) in [1, 90, 8_000, 8_192, 8_193, 300_000, 5, 70, 20_000, 3].into_iter().cycle().take(60).enumerate() {
            let chunk: Vec<u8> = (0..size).map(|at| u8::try_from((at + number) % 251).unwrap()).collect();
            text.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            text.extend_from_slice(&chunk);
            text.extend_from_slice(b"\r\n");
            said.extend(chunk);
        }
        text.extend_from_slice(b"0\r\n\r\n");
        let server = tokio::spawn(async move {
            let mut left = &text[..];
            for size in [40, 100, 9_000, 64, 30_000, 200_000, 700].into_iter().cycle() {
                let (now, rest) = left.split_at(left.len().min(size));
                node.write_all(now).await.unwrap();
                tokio::task::yield_now().await;
                left = rest;
                if left.is_empty() {
                    return node;
                }
            }
            node
        });
        let answer = exchange(Ready::over(link, None), request()).await.unwrap();
        assert!(answer.into_body().collect().await.unwrap().to_bytes() == said, "other bytes than were sent");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn dropping_the_body_closes_the_connection_to_the_node() {
        let (link, server) = node(vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n"]).await;
        let mut answer = exchange(Ready::over(link, None), request()).await.unwrap().into_body();
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
        let answer = exchange(Ready::over(Link { stream: stream.into(), peer }, None), request()).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    }
}
