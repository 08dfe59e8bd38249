//! The body of one event stream. Its drop gives the reader's place back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

use super::Hub;
use crate::http::BoxError;

pub(super) struct EventStream {
    /// What it begins with.
    pub(super) first: VecDeque<Bytes>,
    pub(super) news: mpsc::Receiver<Bytes>,
    /// Bytes in `news`.
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) number: u64,
    pub(super) hub: Hub,
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(text) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(text))));
        }
        match ready!(self.news.poll_recv(cx)) {
            Some(text) => {
                self.waiting.fetch_sub(text.len(), Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            None if self.hub.has_ended() => Poll::Ready(None),
            // A stream with a hole must not look like one that is whole: the client comes back and says where it was.
            None => Poll::Ready(Some(Err("this reader did not keep up with the events".into()))),
        }
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.hub.leave(self.number);
    }
}
