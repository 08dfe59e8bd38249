//! The listening socket of a PC that can be asleep: how loopback is made to drop connections.
//!
//! A suspended machine answers no SYN. On loopback the kernel answers for us, unless the accept queue is full: then Linux
//! drops the SYN without a word, and the client retries until its own limit (`tcp_abort_on_overflow`, 0 by default, matters
//! only for a handshake already half done). So while asleep the queue is cut down to the shortest there is (a backlog of 0
//! holds one connection), filled with connections of our own, and nobody accepts. On waking the fillers are closed, the
//! backlog goes back to its usual length, and the clients' next SYN gets through.
//!
//! What differs from a real PC: a connection that arrives in the instant before the queue is full is established and
//! silent, and the kernel goes on acknowledging the bytes and keep-alive probes of open connections.
//!
//! On other systems the connections are established and never answered.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// The listener, open or shut.
#[derive(Debug)]
pub(super) struct Doorstep {
    /// `None` while connections are refused.
    listener: Option<TcpListener>,
    address: SocketAddr,
    fillers: Vec<TcpStream>,
    /// Our own connections that may still come out of the queue after waking.
    ours: Vec<SocketAddr>,
}

impl Doorstep {
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener: Some(listener), address, fillers: Vec::new(), ours: Vec::new() })
    }

    /// The next connection that is not one of our own. Safe to drop: a connection is either returned or still queued.
    pub(super) async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let Some(listener) = &self.listener else { return std::future::pending().await };
            let (stream, peer) = listener.accept().await?;
            match self.ours.iter().position(|own| *own == peer) {
                Some(at) => drop(self.ours.swap_remove(at)),
                None => return Ok(stream),
            }
        }
    }

    /// From now on new connections are dropped.
    pub(super) async fn shut(&mut self) {
        const ANSWERED: Duration = Duration::from_millis(100);
        const MOST: usize = 16;
        if !cfg!(target_os = "linux") {
            return;
        }
        // Listening again with another backlog only changes the length of the queue.
        self.queue_length(0);
        // Clients of our own until one is not answered: from there on nobody is.
        for _ in 0..MOST {
            match tokio::time::timeout(ANSWERED, TcpStream::connect(self.address)).await {
                Ok(Ok(filler)) => {
                    self.ours.extend(filler.local_addr());
                    self.fillers.push(filler);
                }
                Ok(Err(_)) => {}
                Err(_unanswered) => return,
            }
        }
    }

    /// From now on new connections are refused.
    pub(super) fn refuse(&mut self) {
        self.fillers.clear();
        self.ours.clear();
        self.listener = None;
    }

    /// Connections get through again.
    pub(super) async fn open(&mut self) {
        const USUAL: i32 = 1024;
        const TRY_AGAIN: Duration = Duration::from_millis(50);
        self.fillers.clear();
        while self.listener.is_none() {
            self.listener = TcpListener::bind(self.address).await.ok();
            if self.listener.is_none() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
        if cfg!(target_os = "linux") {
            self.queue_length(USUAL);
        }
    }

    fn queue_length(&self, backlog: i32) {
        if let Some(listener) = &self.listener {
            let _ = socket2::SockRef::from(listener).listen(backlog);
        }
    }
}
