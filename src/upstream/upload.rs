//! A request on its way to a node: head and body, written as the socket takes them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use hyper::body::Body as _;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::Trouble;
use crate::http::Body;

/// Head or chunk size, data, and what stands behind it: written together.
type Piece = Chain<Chain<Bytes, Bytes>, &'static [u8]>;

/// How a body that passes through goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A request, or what is still to be written of it.
pub struct Upload {
    /// The head, until it is part of a piece.
    head: Bytes,
    /// `None`: it has come to its end.
    body: Option<Body>,
    coding: Coding,
    piece: Piece,
    /// Its answer has no body.
    to_head: bool,
}

/// Why a request could not be written.
pub(super) enum Failure {
    /// Its own body broke off.
    Body(Trouble),
    /// The socket. The node may have answered all the same.
    Socket(io::Error),
}

impl Upload {
    pub(super) fn whole(head: Bytes, body: Bytes, to_head: bool) -> Self {
        Self { head: Bytes::new(), body: None, coding: Coding::Length(0), piece: piece(head, body, b""), to_head }
    }

    pub(super) fn streaming(head: Bytes, body: Body, coding: Coding, to_head: bool) -> Self {
        Self { head, body: Some(body), coding, piece: piece(Bytes::new(), Bytes::new(), b""), to_head }
    }

    pub(super) fn is_to_head(&self) -> bool {
        self.to_head
    }

    /// Writes what can be written now. `Ready`: all of it was.
    pub(super) fn poll(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            while self.piece.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 3];
                let count = self.piece.chunks_vectored(&mut slices);
                match ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count])) {
                    Ok(0) => return Poll::Ready(Err(Failure::Socket(io::ErrorKind::WriteZero.into()))),
                    Ok(written) => self.piece.advance(written),
                    Err(error) => return Poll::Ready(Err(Failure::Socket(error))),
                }
            }
            if self.body.is_none() && self.head.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.piece = ready!(self.next(cx)).map_err(Failure::Body)?;
        }
    }

    /// The next piece of the body; the first takes the head along, which waits for nothing.
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Trouble>> {
        let polled = self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx));
        let data = match polled {
            Poll::Pending if self.head.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(Ok(piece(std::mem::take(&mut self.head), Bytes::new(), b""))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Trouble::Broken(format!("the request broke off: {error}")))),
            // Trailers of a request are nobody's business here.
            Poll::Ready(Some(Ok(frame))) => Some(frame.into_data().unwrap_or_default()),
            Poll::Ready(None) => None,
        };
        if data.is_none() || self.body.as_ref().is_some_and(hyper::body::Body::is_end_stream) {
            self.body = None;
        }
        let head = std::mem::take(&mut self.head);
        Poll::Ready(match &mut self.coding {
            Coding::Length(left) => {
                let data = data.unwrap_or_default();
                let Some(rest) = left.checked_sub(data.len() as u64).filter(|rest| *rest == 0 || self.body.is_some()) else {
                    return Poll::Ready(Err(Trouble::Broken("the request is not as long as it says".to_owned())));
                };
                *left = rest;
                Ok(piece(head, data, b""))
            }
            Coding::Chunked => Ok(chunk(head, data.unwrap_or_default(), self.body.is_none())),
        })
    }
}

fn piece(front: Bytes, data: Bytes, behind: &'static [u8]) -> Piece {
    front.chain(data).chain(behind)
}

/// One chunk, with the end behind it if it is the last. Of no data there is none: it would be the end.
fn chunk(head: Bytes, data: Bytes, last: bool) -> Piece {
    let behind: &[u8] = match (data.is_empty(), last) {
        (true, true) => b"0\r\n\r\n",
        (true, false) => b"",
        (false, true) => b"\r\n0\r\n\r\n",
        (false, false) => b"\r\n",
    };
    if data.is_empty() {
        return piece(head, data, behind);
    }
    let mut front = Vec::from(head);
    front.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    piece(front.into(), data, behind)
}
