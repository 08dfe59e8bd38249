//! One TCP connection to the simulated server: how it is served, frozen while the PC sleeps, and ended.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::Ollama;
use super::counters::Tally;

/// What a request may decide about the connection it came on.
#[derive(Debug, Default)]
pub(super) struct Link {
    reset: AtomicBool,
    linger: AtomicBool,
}

impl Link {
    /// The connection is to end with RST instead of FIN.
    pub(super) fn reset_at_end(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// The answer came before the request's body was read: the socket stays half open for a moment, as in Go, or the
    /// client would lose the answer to a reset.
    pub(super) fn linger_at_end(&self) {
        self.linger.store(true, Ordering::Release);
    }
}

/// Serves one connection to its end. While `awake` is false nothing of it moves: no byte is read or written, no FIN sent,
/// no load or generation goes on.
pub(super) async fn serve(ollama: Ollama, stream: TcpStream, mut awake: watch::Receiver<bool>) {
    // Go sets it on every connection; without it small chunks would wait for acknowledgements.
    let _ = stream.set_nodelay(true);
    let _open = Open::new(ollama.tally().clone());
    let link = Arc::new(Link::default());
    let socket = Socket { stream, link: link.clone(), lingering: None };
    let service = service_fn(|request| {
        let (ollama, link) = (ollama.clone(), link.clone());
        async move { ollama.answer(link, request).await }
    });
    let mut builder = http1::Builder::new();
    // Go's server has no limits on time, writes `Content-Type` with capitals, and its date is ours to place.
    builder.timer(TokioTimer::new()).header_read_timeout(None).title_case_headers(true).auto_date_header(false);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    loop {
        if awake.wait_for(|awake| *awake).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            asleep = awake.wait_for(|awake| !*awake) => if asleep.is_err() { return },
            _end = &mut connection => return,
        }
    }
}

/// One connection in the count.
struct Open(Arc<Tally>);

impl Open {
    fn new(tally: Arc<Tally>) -> Self {
        tally.note(|c| {
            c.connections_open += 1;
            c.connections_total += 1;
        });
        Self(tally)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.note(|c| c.connections_open -= 1);
    }
}

/// The socket, ended as its link says.
struct Socket {
    stream: TcpStream,
    link: Arc<Link>,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.link.reset.load(Ordering::Acquire) {
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        const GO_LINGER: Duration = Duration::from_millis(500);
        let this = &mut *self;
        if this.link.reset.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.link.linger.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(GO_LINGER)));
        lingering.as_mut().poll(cx).map(Ok)
    }
}
