//! A body that ends in order when something happens, however much is left of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;

use super::body::{Body, BoxError};

struct Ended<F> {
    body: Body,
    end: Pin<Box<F>>,
}

/// The same body, until `end` comes.
pub fn ended_by(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Body {
    Ended { body, end: Box::pin(end) }.boxed_unsync()
}

impl<F: Future<Output = ()>> hyper::body::Body for Ended<F> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // First: what waits in the body is not for a reader whose time is over.
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
