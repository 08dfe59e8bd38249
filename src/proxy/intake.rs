//! How much of a request's body is read before anything is decided: all of it, nothing of a blob, and of a large form as
//! much as names its model.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_ENCODING;
use hyper::http::request::Parts;

use super::send::Payload;
use super::{Caller, Proxy, Trace};
use crate::classify::{self, Ask};
use crate::http::{Buffered, body};
use crate::values::{Fault, Kind};

/// Forms up to this size are read whole: then a departed client is noticed while a node wakes, and they may be sent again.
const SMALL: usize = 1024 * 1024;

/// To look at a larger body takes longer than the streams that this thread serves should wait for their next piece.
const LARGE: usize = 1024 * 1024;

/// What a request wants. Of a large body, or one that must be decoded, a thread of its own finds out.
pub(super) async fn ask_of(head: &Parts, bytes: &Bytes) -> Ask {
    if bytes.len() < LARGE && !head.headers.contains_key(CONTENT_ENCODING) {
        return classify::classify(&head.method, head.uri.path(), &head.headers, bytes);
    }
    let (method, uri, fields, bytes) = (head.method.clone(), head.uri.clone(), head.headers.clone(), bytes.clone());
    let look = move || classify::classify(&method, uri.path(), &fields, &bytes);
    match tokio::task::spawn_blocking(look).await {
        Ok(ask) => ask,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program is about to end, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

impl Proxy {
    /// The payload, and as much of it as can be looked at.
    ///
    /// # Errors
    /// As [`body::read`].
    pub(super) async fn take_in(
        &self,
        head: &Parts,
        incoming: Incoming,
        caller: &Caller,
        trace: &mut Trace,
    ) -> Result<(Payload, Bytes), Fault> {
        let (limit, budget) = (self.0.settings.limits.body, &self.0.budget);
        if classify::streams_up(&head.method, head.uri.path()) {
            return Ok((Payload::streaming(Passing { beginning: None, rest: incoming }), Bytes::new()));
        }
        if !classify::is_form(&head.method, head.uri.path(), &head.headers) {
            let buffered = body::read(incoming, limit, budget).await?;
            let bytes = buffered.bytes().clone();
            trace.brought(bytes.len());
            return Ok((Payload::Buffered(buffered), bytes));
        }
        let mut rest = incoming;
        let mut next_look = SMALL;
        let enough = |so_far: &[u8]| {
            // What a key may not ask for may stand behind what it may.
            if so_far.len() < next_look || caller.is_for_some_models() {
                return false;
            }
            // Looking again costs all that came: so often as it has doubled.
            next_look = so_far.len() * 2;
            let model = classify::form_model(&head.headers, so_far);
            model.is_some_and(|(model, _)| self.0.settings.providers.choose(&model).is_none())
        };
        let read = body::read_until(Pin::new(&mut rest), limit, budget, enough).await;
        let (buffered, ended) = read.map_err(explained)?;
        let bytes = buffered.bytes().clone();
        if ended {
            trace.brought(bytes.len());
            return Ok((Payload::Buffered(buffered), bytes));
        }
        Ok((Payload::streaming(Passing { beginning: Some(buffered), rest }), bytes))
    }
}

/// A body that passes through, with what was read of it already.
pub(super) struct Passing {
    beginning: Option<Buffered>,
    rest: Incoming,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.beginning.take() {
            Some(beginning) => Poll::Ready(Some(Ok(Frame::data(beginning.bytes().clone())))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let beginning = self.beginning.as_ref().map_or(0, |beginning| beginning.bytes().len() as u64);
        self.rest.size_hint().exact().map_or_else(SizeHint::default, |rest| SizeHint::with_exact(beginning + rest))
    }
}

/// Where the model stands behind the file, all of the file must be held to know it.
fn explained(fault: Fault) -> Fault {
    if fault.kind != Kind::TooLarge {
        return fault;
    }
    let text = format!("{}; a form for a PC may have any size when its `model` stands in front of its file", fault.text);
    Fault { text: text.into(), ..fault }
}
