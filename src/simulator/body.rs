//! Response bodies: whole, or made chunk by chunk inside the connection's own task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, SizeHint};

/// The body of every simulated answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// The connection is to end here, without a proper end of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated server broke the connection off")
    }
}

impl std::error::Error for Cut {}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of unknown length: `step` makes one chunk at a time and hands its state on; `None` is the end.
/// Dropping the body drops the state, which is how a departed client cancels a generation.
pub(super) fn chunks<S, F, Fut>(state: S, step: F) -> Body
where
    S: Send + 'static,
    F: FnMut(S) -> Fut + Send + 'static,
    Fut: Future<Output = Option<(Bytes, S)>> + Send + 'static,
{
    Unfold { state: Some(state), making: None, step }.boxed_unsync()
}

struct Unfold<S, F, Fut> {
    state: Option<S>,
    making: Option<Pin<Box<Fut>>>,
    step: F,
}

// Nothing in it is pinned in place: the future under way sits in its own box.
impl<S, F, Fut> Unpin for Unfold<S, F, Fut> {}

impl<S, F, Fut> hyper::body::Body for Unfold<S, F, Fut>
where
    F: FnMut(S) -> Fut,
    Fut: Future<Output = Option<(Bytes, S)>>,
{
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        if let Some(state) = this.state.take() {
            this.making = Some(Box::pin((this.step)(state)));
        }
        let Some(making) = &mut this.making else { return Poll::Ready(None) };
        let made = ready!(making.as_mut().poll(cx));
        this.making = None;
        Poll::Ready(made.map(|(bytes, state)| {
            this.state = Some(state);
            Ok(Frame::data(bytes))
        }))
    }
}

/// Keeps `guard` for as long as the body lives.
pub(super) fn guarded<G: Send + 'static>(body: Body, guard: G) -> Body {
    Guarded { body, _guard: guard }.boxed_unsync()
}

struct Guarded<G> {
    body: Body,
    _guard: G,
}

impl<G> Unpin for Guarded<G> {}

impl<G> hyper::body::Body for Guarded<G> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The same bytes without telling how many: they go out in chunks.
pub(super) fn of_unknown_length(body: Body) -> Body {
    chunks(body, |mut body| async move {
        let frame = body.frame().await?.ok()?;
        frame.into_data().ok().map(|bytes| (bytes, body))
    })
}
