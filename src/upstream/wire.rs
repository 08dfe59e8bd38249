//! The reading side of a connection to a node.
//!
//! What a thousand streams say token by token is read into one place, the stack, and copied to where it just fits: that place is
//! always in the processor's cache, and no stream keeps room for more than what it said. Whoever says much gets room of its own.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{Link, Socket};

/// So much is little.
pub(super) const LITTLE: usize = 8 * 1024;

/// The most that is read at once. It is twice of what came last, and never less than a little.
const MOST: usize = 64 * 1024;

/// A socket with what came of it and was not handed on yet.
pub(super) struct Wire {
    pub(super) stream: Socket,
    pub(super) peer: SocketAddr,
    pub(super) buffer: BytesMut,
    wanted: usize,
}

impl Wire {
    /// Nothing came of it yet.
    pub(super) fn new(link: Link) -> Self {
        Self { stream: link.stream, peer: link.peer, buffer: BytesMut::new(), wanted: LITTLE }
    }

    /// Whether little is expected and nothing lies here. Then it is read onto the stack and copied from there.
    pub(super) fn expects_little(&self) -> bool {
        self.wanted <= LITTLE && self.buffer.is_empty()
    }

    /// Reads on behind what is there. 0: the node has closed its side.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.expects_little() {
            let mut room = [const { MaybeUninit::uninit() }; LITTLE];
            let mut room = ReadBuf::uninit(&mut room);
            let read = ready!(self.poll_little(cx, &mut room))?;
            self.buffer = BytesMut::from(room.filled());
            return Poll::Ready(Ok(read));
        }
        if self.buffer.capacity() - self.buffer.len() < self.wanted / 4 {
            self.buffer.reserve(self.wanted);
        }
        let read = ready!(pin!(self.stream.read_buf(&mut self.buffer)).poll(cx))?;
        self.expect(read);
        Poll::Ready(Ok(read))
    }

    /// Reads into some empty room.
    pub(super) fn poll_little(&mut self, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        ready!(pin!(&mut self.stream).poll_read(cx, room))?;
        let read = room.filled().len();
        self.expect(read);
        Poll::Ready(Ok(read))
    }

    fn expect(&mut self, read: usize) {
        self.wanted = (2 * read).clamp(LITTLE, MOST);
    }
}
