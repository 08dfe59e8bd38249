//! Connections of one always-on node that rest between requests. Sleepers never have any: an open connection keeps many
//! machines awake, and a stale one hangs for minutes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::Ready;

/// Well below the idle limits of servers, so that it is mostly we who close.
const REST: Duration = Duration::from_secs(30);

/// More than this many connections at rest are closed at once: as many as a burst of requests leaves, with room to spare.
const MOST: usize = 100;

/// A cheap handle on the resting connections.
#[derive(Clone, Default)]
pub struct Idle(Arc<Mutex<Vec<Resting>>>);

struct Resting {
    since: Instant,
    /// The runtime that watches its socket. Used in another it would wake this one for each byte.
    runtime: Id,
    ready: Ready,
}

impl Resting {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < REST
    }
}

fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idle({})", self.count())
    }
}

impl Idle {
    /// The one that came last in this runtime and is still open; ready for one request that may be sent again.
    pub fn take(&self) -> Option<Ready> {
        let here = here()?;
        let mut all = self.lock();
        while let Some(at) = all.iter().rposition(|resting| resting.runtime == here) {
            let mut resting = all.remove(at);
            if resting.is_fresh() && resting.ready.still_open() {
                return Some(resting.ready.with_home(self.clone()));
            }
        }
        None
    }

    /// How many rest that may still be used.
    pub fn count(&self) -> usize {
        self.lock().iter().filter(|resting| resting.is_fresh()).count()
    }

    /// Closes those that rested too long. Called with each check of the node, so that no timer is needed.
    pub fn sweep(&self) {
        self.lock().retain(Resting::is_fresh);
    }

    /// Closes those that will have rested too long by then, for a home that nobody checks.
    pub fn sweep_later(&self) {
        if let Ok(runtime) = Handle::try_current() {
            let home = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(REST).await;
                home.sweep();
            });
        }
    }

    /// Closes all of them: the machine is about to sleep.
    pub fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn put(&self, ready: Ready) {
        // Dropped with the runtime itself, it can be used no more.
        let Some(runtime) = here() else { return };
        let mut all = self.lock();
        if all.len() < MOST {
            all.push(Resting { since: Instant::now(), runtime, ready });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{Link, RequestHead, Upload, exchange};
    use http_body_util::BodyExt;
    use hyper::{Method, Uri};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    fn request() -> Upload {
        RequestHead::new(&Method::GET, &Uri::from_static("/")).with(bytes::Bytes::new())
    }

    async fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = TcpStream::connect(peer).await.unwrap();
        (Link { stream: stream.into(), peer }, listener.accept().await.unwrap().0)
    }

    /// Answers one request on the node's side.
    async fn answer(node: &mut TcpStream, text: &str) {
        let mut head = [0; 1024];
        assert_ne!(node.read(&mut head).await.unwrap(), 0);
        node.write_all(text.as_bytes()).await.unwrap();
    }

    async fn whole(ready: Ready, node: &mut TcpStream) -> bytes::Bytes {
        let (answered, ()) =
            tokio::join!(exchange(ready, request()), answer(node, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"));
        answered.unwrap().into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_connection_rests_after_each_whole_answer_and_serves_the_next_request() {
        let idle = Idle::default();
        let (link, mut node) = pair().await;
        assert_eq!(whole(Ready::over(link, Some(idle.clone())), &mut node).await, "hi");
        for _ in 0..3 {
            let again = idle.take().expect("it rests");
            assert_eq!(whole(again, &mut node).await, "hi");
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_node_closed_while_it_rested_is_not_used() {
        let idle = Idle::default();
        let (link, mut node) = pair().await;
        whole(Ready::over(link, Some(idle.clone())), &mut node).await;
        node.shutdown().await.unwrap();
        // One turn of the reactor, which is what sees the FIN.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(idle.take().is_none());
    }

    #[tokio::test]
    async fn a_connection_rests_after_a_stream_in_chunks_too() {
        let idle = Idle::default();
        let (link, mut node) = pair().await;
        let ready = Ready::over(link, Some(idle.clone()));
        let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let (answered, ()) = tokio::join!(exchange(ready, request()), answer(&mut node, chunks));
        assert_eq!(answered.unwrap().into_body().collect().await.unwrap().to_bytes(), "hi");
        assert!(idle.take().is_some());
    }

    #[tokio::test]
    async fn a_connection_whose_answer_was_left_unread_does_not_rest() {
        let idle = Idle::default();
        let (link, mut node) = pair().await;
        let ready = Ready::over(link, Some(idle.clone()));
        let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi";
        let (answered, ()) = tokio::join!(exchange(ready, request()), answer(&mut node, half));
        drop(answered.unwrap());
        assert!(idle.take().is_none());
    }
}
