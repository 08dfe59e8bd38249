//! Where the bytes of an answer come from: the node as it speaks, or the translation of what it says.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::cloud::now;
use crate::translate::Translation;
use crate::upstream::{AnswerBody, Trouble};
use crate::values::{Fault, Kind, Retry};

/// The rest of an answer.
#[allow(clippy::large_enum_variant, reason = "the large one is the usual one, and lies in a box with all else of its request")]
pub(super) enum Source {
    /// As it comes.
    Plain(AnswerBody),
    /// In the client's dialect.
    Translated(Box<Translated>),
    /// All of it was read already.
    Ended,
}

/// Why no more comes.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection.
    Trouble(Trouble),
    /// What the node said, or that it did not say its end.
    Said(String),
}

/// The translation of a stream under way.
pub(super) struct Translated {
    translation: Translation,
    /// `None` when no more comes.
    rest: Option<AnswerBody>,
    began: Instant,
    out: Bytes,
    /// Told when `out` is out.
    fault: Option<Fault>,
}

impl Translated {
    pub(super) fn new(translation: Translation, rest: AnswerBody, began: Instant) -> Self {
        Self { translation, rest: Some(rest), began, out: Bytes::new(), fault: None }
    }

    /// Reads on until the client has something to hear, or the stream fails before that.
    pub(super) async fn begin(&mut self) -> Result<Result<Bytes, Fault>, Trouble> {
        poll_fn(|cx| self.poll_out(cx)).await?;
        if self.out.is_empty() {
            // An end without a word is a fault of the translation's own.
            return Ok(Err(self.fault.take().unwrap_or_else(no_word)));
        }
        Ok(Ok(std::mem::take(&mut self.out)))
    }

    /// Ready when there is something for the client, or no more comes.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Trouble>> {
        while let Some(rest) = self.rest.as_mut().filter(|_| self.out.is_empty()) {
            let mut written = Vec::new();
            let fed = match Pin::new(rest).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(trouble))) => {
                    self.rest = None;
                    return Poll::Ready(Err(trouble));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.translation.feed(&data, now(self.began), &mut written),
                    Err(_) => Ok(()),
                },
                Poll::Ready(None) => {
                    self.rest = None;
                    self.translation.finish(now(self.began), &mut written)
                }
            };
            self.out = written.into();
            if let Err(fault) = fed {
                self.fault = Some(fault);
                self.rest = None;
            } else if self.translation.done() {
                self.part(cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The client has all. What mostly comes along, the end of the node's own body, is read so that its connection can be
    /// used again; it is not waited for.
    fn part(&mut self, cx: &mut Context<'_>) {
        if let Some(rest) = &mut self.rest {
            while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut *rest).poll_frame(cx) {}
        }
        self.rest = None;
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stop>>> {
        match self.poll_out(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(trouble)) => return Poll::Ready(Some(Err(Stop::Trouble(trouble)))),
            Poll::Ready(Ok(())) => {}
        }
        if !self.out.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.out)))));
        }
        Poll::Ready(self.fault.take().map(|fault| Err(Stop::Said(fault.text.into_owned()))))
    }

    fn is_end(&self) -> bool {
        self.rest.is_none() && self.out.is_empty() && self.fault.is_none()
    }
}

fn no_word() -> Fault {
    Fault::node(Kind::Died, Retry::Never, "its stream ended before it began")
}

impl Body for Source {
    type Data = Bytes;
    type Error = Stop;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Stop>>> {
        match &mut *self {
            Self::Plain(body) => Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Stop::Trouble))),
            Self::Translated(translated) => translated.poll_frame(cx),
            Self::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Translated(translated) => translated.is_end(),
            Self::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Translated(_) => SizeHint::default(),
            Self::Ended => SizeHint::with_exact(0),
        }
    }
}
