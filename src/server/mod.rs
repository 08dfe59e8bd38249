//! The accept loop over hyper's HTTP/1.1 connection: bounds, limits on slow heads, TLS, graceful end. Knows no Ollama.
//!
//! `http1`, not `auto`: the version sniffing of `auto` has no timeout, so a silent client would stay for ever.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::http::{Body, Quietly};
use guests::{Guest, Guests};
use linger::Lingering;

mod cores;
mod guests;
mod linger;
mod tls;

pub use cores::{Cores, Threads};
pub use tls::Identity;

/// Limits of the listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Client connections at once. When all places are taken, one that asks for nothing is ended for each that comes; if there
    /// is none, one more per listener waits here and further ones in the kernel's queue.
    pub connections: usize,
    /// Until a request head must be complete; also the idle limit of a kept connection. Longer than Go's 90 s, so that
    /// clients close first.
    pub head: Duration,
    /// What running answers get after the end was asked for.
    pub grace: Duration,
}

/// A listener, and how its clients speak: plainly, or TLS under this identity.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    identity: Option<Identity>,
}

impl Door {
    /// One that speaks TLS if it has an identity.
    pub fn new(listener: TcpListener, identity: Option<Identity>) -> Self {
        Self { listener, identity }
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What its clients are shown; `None`: they speak plainly.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS with us.
    pub by_tls: bool,
}

/// What answers a request.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Never fails: a fault is a reply too, since an `Err` would make hyper close the socket without one.
    fn handle(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;
}

/// How many connections are open; for whoever wants to look.
#[derive(Clone, Default)]
pub struct Open(Guests);

impl Open {
    /// Now.
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// How many were ended so far because they asked for nothing while every place was taken.
    pub fn ended(&self) -> u64 {
        self.0.ended()
    }
}

/// As [`serve_counted`] where it is called, and nobody looks.
pub async fn serve<H: Handler>(doors: Vec<Door>, bounds: Bounds, handler: H, end: watch::Receiver<bool>) -> usize {
    serve_counted(doors, bounds, handler, end, Open::default(), &Cores::here()).await
}

/// Serves until `end` turns true; then lets running answers finish for `bounds.grace`.
///
/// Returns how many connections were still busy after that and were cut.
pub async fn serve_counted<H: Handler>(
    doors: Vec<Door>,
    bounds: Bounds,
    handler: H,
    end: watch::Receiver<bool>,
    Open(guests): Open,
    cores: &Cores,
) -> usize {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut loops = JoinSet::new();
    for door in doors {
        let accept = Accept {
            handler: handler.clone(),
            graceful: GracefulShutdown::new(),
            places: places.clone(),
            guests: guests.clone(),
            cores: cores.clone(),
        };
        loops.spawn(accept.run(door, end.clone()));
    }
    let mut ends = JoinSet::new();
    let accepting = async {
        while let Some(graceful) = loops.join_next().await {
            ends.spawn(async {
                if let Ok(graceful) = graceful {
                    graceful.shutdown().await;
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = end_the_quiet(guests.clone(), bounds.head) => {}
    }
    let all = async { while ends.join_next().await.is_some() {} };
    match tokio::time::timeout(bounds.grace, all).await {
        Ok(()) => 0,
        Err(_) => guests.count(),
    }
}

/// The limit on heads and on idle connections, for all of them.
async fn end_the_quiet(guests: Guests, limit: Duration) {
    loop {
        let next = guests.end_overdue(limit);
        tokio::time::sleep(next).await;
    }
}

struct Accept<H> {
    handler: H,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    guests: Guests,
    cores: Cores,
}

impl<H: Handler> Accept<H> {
    /// Accepts until the end is asked for; then hands out what still runs.
    async fn run(self, door: Door, mut end: watch::Receiver<bool>) -> GracefulShutdown {
        loop {
            let accepted = tokio::select! {
                _ = end.wait_for(|asked| *asked) => return self.graceful,
                accepted = door.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    // Not before there is a client: a listener without one would keep a place from the others for ever.
                    let place = tokio::select! {
                        _ = end.wait_for(|asked| *asked) => return self.graceful,
                        place = self.place() => place,
                    };
                    let Some(place) = place else { return self.graceful };
                    find_out_departures(&stream);
                    self.welcome(stream, client, place, door.identity.clone(), end.clone());
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    // Out of descriptors: trying at once again would spin a core.
                    tracing::error!(%error, "cannot accept connections, trying again in 1 s");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// A free place, or that of somebody who asks for nothing. `None`: there are none any more.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                return Some(place);
            }
            self.guests.make_room();
            if let Ok(place) = tokio::time::timeout(LOOK, self.places.clone().acquire_owned()).await {
                return place.ok();
            }
        }
    }

    /// Has the connection served, and its handshake with it: a client that stalls in that keeps nobody else waiting.
    fn welcome(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        place: OwnedSemaphorePermit,
        identity: Option<Identity>,
        end: watch::Receiver<bool>,
    ) {
        let guest = Arc::new(self.guests.welcome());
        let served_by = guest.served_by();
        let peer = Peer { address: client, by_tls: identity.is_some() };
        let visit = Visit { peer, handler: self.handler.clone(), guest, watcher: self.graceful.watcher(), place };
        let dealt = match identity {
            None => self.cores.deal(stream, |stream| visit.plain(stream)),
            Some(identity) => self.cores.deal(stream, |stream| visit.secured(stream, identity, end)),
        };
        match dealt {
            Ok(task) => served_by(task.abort_handle()),
            Err(error) => tracing::error!(%error, "a connection could not be handed to its thread"),
        }
    }
}

/// A connection, and what it holds as long as it lives: its place, and its mark among those who are here.
struct Visit<H> {
    peer: Peer,
    handler: H,
    guest: Arc<Guest>,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
}

impl<H: Handler> Visit<H> {
    fn plain(self, stream: TcpStream) -> impl Future<Output = ()> + Send {
        self.speak(Lingering::new(stream))
    }

    async fn secured(self, stream: TcpStream, identity: Identity, mut end: watch::Receiver<bool>) {
        let shaken = tokio::select! {
            _ = end.wait_for(|asked| *asked) => return,
            shaken = Box::pin(identity.handshake(stream)) => shaken,
        };
        match shaken {
            Ok(stream) => self.speak(stream).await,
            Err(error) => tracing::debug!(client = %self.peer.address, %error, "no TLS came about"),
        }
    }

    fn speak<S>(self, stream: S) -> impl Future<Output = ()> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, handler, guest, watcher, place } = self;
        // The connection and its requests are one task, and wake each other all the time.
        let connection = Quietly::new(watcher.watch(connection(stream, peer, handler, guest.clone())));
        async move {
            let _held = (place, guest);
            if let Err(error) = connection.await {
                tracing::debug!(client = %peer.address, %error, "connection ended");
            }
        }
    }
}

/// HTTP/1.1 over a stream that stands.
fn connection<S, H>(stream: S, peer: Peer, handler: H, guest: Arc<Guest>) -> impl GracefulConnection<Error = hyper::Error> + Send
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = service_fn(move |request| {
        let (handler, asking) = (handler.clone(), guest.asks());
        // Boxed, so that a stream or a resting connection does not keep the room of the steps that led to it.
        Box::pin(async move {
            let response = handler.handle(request, peer).await;
            Ok::<_, Infallible>(response.map(|body| asking.until_sent(body)))
        })
    });
    hyper::server::conn::http1::Builder::new()
        // Whoever is too slow is ended with all that are quiet.
        .header_read_timeout(None)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
}

/// While all places are taken, whoever could make room is looked for this often.
const LOOK: Duration = Duration::from_millis(100);

/// A client that is cut off or suspended says no goodbye. Without this its half-sent upload, or the answer that it takes no
/// more, would hold a node, and keep it awake, for ever.
const VANISHED: Duration = Duration::from_secs(120);

fn find_out_departures(stream: &TcpStream) {
    // Tokens are tiny writes.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(VANISHED / 2).with_interval(VANISHED / 8).with_retries(4);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(VANISHED));
}

fn concerns_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;
