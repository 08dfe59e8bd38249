//! Failures to order: the next requests go wrong in a chosen way.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde::Deserialize;

use super::body::{Body, Cut};
use super::connection::Link;
use super::routes::Route;

/// One way for a request to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The connection ends (FIN) without a byte.
    CloseBeforeHead,
    /// The connection is reset (RST) without a byte.
    ResetBeforeHead,
    /// Status and headers go out, then the connection ends.
    CloseAfterHead,
    /// Status and headers go out, then the connection is reset.
    ResetAfterHead,
    /// The connection is reset after the first parts of the answer.
    ResetMidStream,
    /// A stream ends after its first parts, cleanly but without its end mark; a fixed-length answer breaks off.
    EndEarly,
    /// After the first parts of a stream the model's runner dies: each route shows that, or hides it, as Ollama does.
    /// An answer that does not stream becomes a 500.
    ErrorLine,
    /// 503 with Ollama's text for a full queue.
    #[serde(rename = "busy_503")]
    Busy,
    /// 500 with Ollama's text for a dead runner.
    #[serde(rename = "status_500")]
    Broken,
    /// Nothing ever comes.
    HangBeforeHead,
    /// After the first parts nothing more ever comes.
    StallMidStream,
}

#[derive(Debug)]
struct Armed {
    failure: Failure,
    times: u32,
    path: Option<String>,
}

/// The failures that wait for their request.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Armed>>);

impl Faults {
    pub(super) fn arm(&self, failure: Failure, times: u32, path: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Armed { failure, times, path });
    }

    /// The failure for a request. Those without a path wait for work: they pass listings and version checks by.
    pub(super) fn take(&self, path: &str, work: bool) -> Option<Failure> {
        let mut armed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        armed.retain(|a| a.times > 0);
        let hit = armed.iter_mut().find(|a| a.path.as_deref().map_or(work, |p| p == path))?;
        hit.times -= 1;
        Some(hit.failure)
    }
}

/// Whether a chunk of a stream begins its end. An answer of one token has it among its first parts already.
fn closes(chunk: &[u8]) -> bool {
    // A model's own quotes are escaped: what looks like one of these marks is one.
    const MARKS: [&str; 3] = ["\"done\":true", "\"status\":\"success\"", "\"finish_reason\":\""];
    MARKS.iter().any(|mark| chunk.windows(mark.len()).any(|part| part == mark.as_bytes()))
}

/// The body of an answer that goes wrong on its way.
pub(super) fn failing(body: Body, failure: Failure, route: Route, link: Arc<Link>) -> Body {
    let streamed = hyper::body::Body::size_hint(&body).exact().is_none();
    let parts = if matches!(failure, Failure::CloseAfterHead | Failure::ResetAfterHead) { 0 } else { 2 };
    Failing { body, failure, route, link, streamed, parts, last: Bytes::new(), flushed: None, ended: false }.boxed_unsync()
}

struct Failing {
    body: Body,
    failure: Failure,
    route: Route,
    link: Arc<Link>,
    streamed: bool,
    /// How many chunks still pass; the end of a stream never does.
    parts: u32,
    last: Bytes,
    /// Gives what was sent the time to leave before the connection breaks.
    flushed: Option<Pin<Box<tokio::time::Sleep>>>,
    ended: bool,
}

impl Failing {
    fn fail(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        const FLUSH: Duration = Duration::from_millis(30);
        match self.failure {
            Failure::StallMidStream => return Poll::Pending,
            Failure::EndEarly if self.streamed => return Poll::Ready(None),
            Failure::ErrorLine => {
                self.ended = true;
                return Poll::Ready(self.route.runner_error(&self.last).map(|line| Ok(Frame::data(line.into()))));
            }
            _ => {}
        }
        let flushed = self.flushed.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH)));
        std::task::ready!(flushed.as_mut().poll(cx));
        if matches!(self.failure, Failure::ResetAfterHead | Failure::ResetMidStream) {
            self.link.reset_at_end();
        }
        self.ended = true;
        Poll::Ready(Some(Err(Cut)))
    }
}

impl hyper::body::Body for Failing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.parts == 0 {
            return self.fail(cx);
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.parts = if self.streamed { self.parts - 1 } else { 0 };
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        let Ok(bytes) = frame.into_data() else { return Poll::Ready(None) };
        if self.streamed && closes(&bytes) {
            self.parts = 0;
            return self.fail(cx);
        }
        // A whole answer comes in one piece: half of it passes.
        let passed = if self.streamed { bytes } else { bytes.slice(..bytes.len() / 2) };
        self.last = passed.clone();
        Poll::Ready(Some(Ok(Frame::data(passed))))
    }
}
