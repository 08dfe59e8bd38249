//! Linux: states from `/proc`, figures from the kernel's socket diagnosis. Needs no privilege.
//!
//! Not to be had without it: a container's own sockets (each network namespace has its own tables and its own news).

use std::io::{ErrorKind, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::netlink::SocketAddrNetlink;
use socket2::SockFilter;
use tokio::time::Instant;

use super::estimate::Estimate;
use super::sock_diag;
use super::states::Counts;
use super::tally::{Socket, Tally};
use super::{Look, proc_net};
use crate::netlink::{self, Part};

/// News that are read before a look may go on; a busy port must not hold it for ever.
const NEWS_AT_ONCE: usize = 20_000;

/// What is watched, and what was counted.
pub(super) struct System {
    port: u16,
    /// Absent where the kernel refuses, as some sandboxes do.
    diagnosis: Option<Arc<Diagnosis>>,
    estimate: Mutex<Estimate>,
}

struct Diagnosis {
    news: socket2::Socket,
    /// Held while news are taken from the queue: no message may be in one reader's hand while another one looks.
    tally: Mutex<Tally>,
}

impl System {
    pub(super) fn start(port: u16) -> Self {
        let diagnosis = Diagnosis::start(port);
        if let Err(error) = &diagnosis {
            tracing::warn!(%error, "the kernel tells no bytes of sockets: they are estimated");
        }
        Self { port, diagnosis: diagnosis.ok(), estimate: Mutex::default() }
    }

    pub(super) fn look(&self) -> Look {
        let mut counts = Counts::default();
        for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
            proc_net::count(&std::fs::read_to_string(path).unwrap_or_default(), self.port, &mut counts);
        }
        let Some(diagnosis) = &self.diagnosis else {
            let mut estimate = self.estimate.lock().unwrap_or_else(PoisonError::into_inner);
            return estimate.look(counts, Instant::now());
        };
        let mut tally = diagnosis.lock();
        match dump(self.port) {
            Ok(sockets) => tally.looked(&sockets),
            Err(error) => tracing::debug!(%error, "the kernel did not list its sockets"),
        }
        diagnosis.read_news(&mut tally);
        Look { counts, bytes: tally.bytes(), estimated: false }
    }
}

impl Diagnosis {
    fn start(port: u16) -> std::io::Result<Arc<Self>> {
        let news = netlink::socket(sock_diag::PROTOCOL)?;
        // Before the news begin: those of other ports wake nobody here.
        news.attach_filter(&of_port(port))?;
        // As much as the system allows; not to get it is no fault.
        let _ = news.set_recv_buffer_size(1 << 20);
        rustix::net::bind(&news, &SocketAddrNetlink::new(0, sock_diag::DESTROYED))?;
        let tally = Mutex::new(Tally::beside(port, &dump(port)?));
        let diagnosis = Arc::new(Self { news, tally });
        let followed = diagnosis.clone();
        std::thread::Builder::new().name("ends".to_owned()).spawn(move || followed.follow())?;
        Ok(diagnosis)
    }

    /// Takes in each end of a connection as it comes. A thread that sleeps in the kernel: tokio can wait for a socket of this kind
    /// only by unsafe code.
    fn follow(&self) {
        loop {
            // Left in the queue until the lock is held, so that no look passes between.
            match rustix::net::recv(&self.news, &mut [0; 1], RecvFlags::PEEK) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.lock().lost_ends(),
                Err(error) => {
                    tracing::warn!(%error, "ends of connections are read only at scrapes from now on");
                    return;
                }
            }
            self.read_news(&mut self.lock());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the news that are there.
    fn read_news(&self, tally: &mut Tally) {
        let (mut buffer, mut ended) = ([0; 4096], Vec::new());
        for _ in 0..NEWS_AT_ONCE {
            match rustix::net::recv(&self.news, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    sock_diag::parse(&buffer[..length], &mut ended);
                    ended.drain(..).for_each(|socket| tally.ended(&socket));
                }
                Err(Errno::NOBUFS) => tally.lost_ends(),
                Err(Errno::INTR) => {}
                // None is left.
                Err(_) => return,
            }
        }
    }
}

/// A filter program (see the kernel's `networking/filter`): passes messages whose local port is `port`, or zero as older kernels have it.
fn of_port(port: u16) -> [SockFilter; 5] {
    const LOAD_HALF: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_HALF, 0, 0, sock_diag::LOCAL_PORT),
        SockFilter::new(JUMP_IF_EQUAL, 1, 0, u32::from(port)),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// All sockets of the port that carry figures.
fn dump(port: u16) -> std::io::Result<Vec<Socket>> {
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    for family in [sock_diag::IPV4, sock_diag::IPV6] {
        let mut socket = netlink::socket(sock_diag::PROTOCOL)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send(&sock_diag::question(family, port))?;
        loop {
            let length = socket.read(&mut buffer)?;
            match sock_diag::parse(&buffer[..length], &mut found) {
                Part::More => {}
                Part::Done => break,
                // A kernel without IPv6 refuses to list it.
                Part::Refused if family == sock_diag::IPV6 => break,
                Part::Refused => return Err(ErrorKind::Unsupported.into()),
            }
        }
    }
    Ok(found)
}
