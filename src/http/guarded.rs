//! A body that holds something until it has ended or was dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use super::body::{Body, BoxError};

struct Guarded<G> {
    body: Body,
    _guard: G,
}

/// The same body; `guard` is dropped with it.
pub fn guarded(body: Body, guard: impl Send + Unpin + 'static) -> Body {
    Guarded { body, _guard: guard }.boxed_unsync()
}

impl<G: Unpin> hyper::body::Body for Guarded<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
