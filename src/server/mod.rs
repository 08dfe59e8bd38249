//! The accept loop over hyper's HTTP/1.1 connection: bounds, limits on slow heads, graceful end. Knows no Ollama.
//!
//! `http1`, not `auto`: the version sniffing of `auto` has no timeout, so a silent client would stay for ever.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::http::{Body, Quietly};
use guests::Guests;
use linger::Lingering;

mod guests;
mod linger;

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

/// What answers a request. The address is the client's.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Never fails: a fault is a reply too, since an `Err` would make hyper close the socket without one.
    fn handle(&self, request: Request<Incoming>, client: SocketAddr) -> impl Future<Output = Response<Body>> + Send;
}

/// Serves until `end` turns true; then lets running answers finish for `bounds.grace`.
///
/// Returns how many connections were still busy after that and were cut.
pub async fn serve<H: Handler>(listeners: Vec<TcpListener>, bounds: Bounds, handler: H, end: watch::Receiver<bool>) -> usize {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let guests = Guests::new();
    let mut loops = JoinSet::new();
    for listener in listeners {
        let accept = Accept {
            bounds,
            handler: handler.clone(),
            graceful: GracefulShutdown::new(),
            places: places.clone(),
            guests: guests.clone(),
        };
        loops.spawn(accept.run(listener, end.clone()));
    }
    let mut ends = JoinSet::new();
    while let Some(graceful) = loops.join_next().await {
        ends.spawn(async {
            if let Ok(graceful) = graceful {
                graceful.shutdown().await;
            }
        });
    }
    let all = async { while ends.join_next().await.is_some() {} };
    match tokio::time::timeout(bounds.grace, all).await {
        Ok(()) => 0,
        Err(_) => guests.count(),
    }
}

struct Accept<H> {
    bounds: Bounds,
    handler: H,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
    guests: Guests,
}

impl<H: Handler> Accept<H> {
    /// Accepts until the end is asked for; then hands out what still runs.
    async fn run(self, listener: TcpListener, mut end: watch::Receiver<bool>) -> GracefulShutdown {
        loop {
            let accepted = tokio::select! {
                _ = end.wait_for(|asked| *asked) => return self.graceful,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    // Not before there is a client: a listener without one would keep a place from the others for ever.
                    let place = tokio::select! {
                        _ = end.wait_for(|asked| *asked) => return self.graceful,
                        place = self.place() => place,
                    };
                    let Some(place) = place else { return self.graceful };
                    self.connection(stream, client, place);
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

    fn connection(&self, stream: TcpStream, client: SocketAddr, place: OwnedSemaphorePermit) {
        find_out_departures(&stream);
        let handler = self.handler.clone();
        let guest = Arc::new(self.guests.welcome());
        let present = guest.clone();
        let service = service_fn(move |request| {
            let (handler, asking) = (handler.clone(), present.asks());
            // Boxed, so that a stream or a resting connection does not keep the room of the steps that led to it.
            Box::pin(async move {
                let response = handler.handle(request, client).await;
                Ok::<_, Infallible>(response.map(|body| asking.until_sent(body)))
            })
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.head)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(Lingering::new(stream)), service);
        let connection = self.graceful.watch(connection);
        let served_by = guest.served_by();
        let task = tokio::spawn(async move {
            let _held = (place, guest);
            // The connection and its requests are one task, and wake each other all the time.
            if let Err(error) = Quietly::new(connection).await {
                tracing::debug!(%client, %error, "connection ended");
            }
        });
        served_by(task.abort_handle());
    }
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
