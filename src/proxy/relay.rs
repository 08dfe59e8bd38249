//! The body of a relayed answer: bytes pass untouched, every guard of the request lives in it, and a break is marked in
//! the client's dialect, never passed off as an end.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header;
use hyper::http::response;
use tokio::time::{Instant, Sleep};

use super::account::{Outcome, Trace};
use super::send::is_use;
use super::source::{Source, Stop};
use super::tally::Tally;
use crate::classify::{Ask, Class};
use crate::fleet::power::Power;
use crate::fleet::{InFlight, Node, UpstreamError};
use crate::http::BoxError;
use crate::schedule::Lease;
use crate::translate::{EndWatch, Form, Passed, in_band_error};

/// What a request holds until its answer has ended.
pub(super) struct Tail {
    pub(super) node: Node,
    pub(super) in_flight: InFlight,
    /// Its place on the node, with the verdict that the node earns.
    pub(super) lease: Option<Lease>,
    pub(super) trace: Trace,
    pub(super) class: Class,
    /// Silence after which the node's life is checked.
    pub(super) silence: Duration,
    /// The hard end of `--request-limit`.
    pub(super) limit: Option<Instant>,
    /// Whether own calls are allowed.
    pub(super) checks: bool,
}

/// Why a standing answer is given up.
enum Over {
    /// Its node failed a life check.
    Dead,
    /// The user's own hard end.
    Limit,
}

/// Something of the node's that is awaited while the answer stands still.
type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The answer on its way to the client.
pub(super) struct Relay {
    first: Option<Frame<Bytes>>,
    rest: Option<Source>,
    form: Form,
    watch: EndWatch,
    /// Of inference: what its end tells about tokens.
    tally: Option<Tally>,
    tail: Tail,
    last: Instant,
    /// Made when there is silence to be measured: most answers come whole.
    clock: Option<Pin<Box<Sleep>>>,
    check: Option<Later<bool>>,
    /// The good news of a mutation, kept back until its effect can be seen in the lists.
    news: Option<(Frame<Bytes>, Later<()>)>,
    lists_told: bool,
    /// Why the connection is about to be aborted.
    abort: Option<BoxError>,
    ended: bool,
    /// The status speaks for the node; an error of its own says nothing about the next request.
    good: bool,
}

/// How the answer is framed, and so how a break in it is told.
pub(super) fn form_of(ask: &Ask, head: &response::Parts) -> Form {
    // Into a body of fixed length no mark fits.
    let fixed = head.headers.contains_key(header::CONTENT_LENGTH);
    if fixed { Form::Whole } else { Form::of(ask.dialect, ask.route, content_type(head)) }
}

fn content_type(head: &response::Parts) -> Option<&str> {
    head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

impl Relay {
    pub(super) fn new(ask: &Ask, head: &response::Parts, first: Option<Frame<Bytes>>, rest: Source, tail: Tail) -> Self {
        let content_type = content_type(head);
        let form = form_of(ask, head);
        let tally = (tail.class == Class::Inference && tells_figures(content_type)).then(Tally::default);
        let ended = first.is_none();
        let watch = EndWatch::new(form);
        // Of a whole answer the lists were told before it began.
        let lists_told = form == Form::Whole;
        let rest = Some(rest);
        let good = !head.status.is_server_error();
        let mut relay = Self {
            first,
            rest,
            form,
            watch,
            tally,
            tail,
            last: Instant::now(),
            clock: None,
            check: None,
            news: None,
            lists_told,
            abort: None,
            ended,
            good,
        };
        if relay.ended {
            relay.tail.trace.done();
        }
        if form != Form::Whole {
            relay.tail.trace.streams();
        }
        relay
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            // Idle lines tell neither an end nor figures; and a body of fixed length ends where it says.
            let idle = self.form != Form::Whole && self.watch.feed(data) == Passed::Idle;
            if let Some(tally) = self.tally.as_mut().filter(|_| !idle) {
                tally.feed(data);
            }
            self.tail.node.metrics().received().add(data.len() as u64);
            self.tail.trace.passed(data.len());
        }
        self.last = Instant::now();
        self.check = None;
        frame
    }

    /// Passes a frame on, unless it tells that the models were changed: then the lists are read first.
    fn deliver(&mut self, frame: Frame<Bytes>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = self.pass(frame);
        if self.lists_told || !self.watch.succeeded() || !changes_lists(&self.tail.class) {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.lists_told = true;
        let node = self.tail.node.clone();
        self.news = Some((frame, Box::pin(async move { node.mutated().await })));
        self.poll_news(cx)
    }

    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some((_, lists_read)) = &mut self.news {
            ready!(lists_read.as_mut().poll(cx));
        }
        Poll::Ready(self.news.take().map(|(frame, _)| Ok(frame)))
    }

    /// The node's side has ended. Without its end mark that is a failure, whatever HTTP says.
    fn finish(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.form == Form::Whole || self.watch.complete() {
            self.ended = true;
            self.tail.trace.done();
            return Poll::Ready(None);
        }
        self.breaks("the node's stream ended without its end mark", cx)
    }

    /// Marks the break in the client's dialect; where no mark fits, aborts the connection.
    fn breaks(&mut self, why: &str, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.tail.node.count_failure();
        self.tail.node.metrics().failed(UpstreamError::Body);
        // A sleeper that fell asleep has not failed.
        let stayed = self.tail.node.config().always_on || self.tail.node.view().power == Power::Awake;
        if let Some(lease) = self.tail.lease.as_mut().filter(|_| stayed) {
            lease.failed();
        }
        self.break_off(why, cx)
    }

    /// By nobody's fault: our own limit.
    fn break_off(&mut self, why: &str, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.rest = None;
        let text = format!("node {}: {why}", self.tail.node.name());
        self.tail.trace.broke(&text);
        match in_band_error(self.form, &text, self.watch.mid_line()) {
            Some(mark) => {
                self.ended = true;
                Poll::Ready(Some(Ok(Frame::data(mark))))
            }
            // An error at once would throw away what hyper has not written yet: the client shall see how far it came.
            None => {
                self.abort = Some(text.into());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Watches silence: after each stretch of it the node's life is checked. `Ready` when all is over.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Over> {
        loop {
            if let Some(check) = &mut self.check {
                let alive = ready!(check.as_mut().poll(cx));
                self.check = None;
                self.last = Instant::now();
                if !alive {
                    return Poll::Ready(Over::Dead);
                }
            }
            let quiet = self.last + self.tail.silence;
            let due = self.tail.limit.map_or(quiet, |limit| limit.min(quiet));
            let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            ready!(clock.as_mut().poll(cx));
            // The clock is set when it rings, not with each piece that passes: most answers end before.
            if due > Instant::now() {
                clock.as_mut().reset(due);
                continue;
            }
            if self.tail.limit.is_some_and(|limit| limit <= Instant::now()) {
                return Poll::Ready(Over::Limit);
            }
            if self.tail.checks {
                let node = self.tail.node.clone();
                self.check = Some(Box::pin(async move { node.alive().await }));
            } else {
                self.last = Instant::now();
            }
        }
    }
}

/// Whether such a body may end with a summary that we can read.
fn tells_figures(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|kind| kind.contains("json") || kind.contains("event-stream"))
}

fn changes_lists(class: &Class) -> bool {
    matches!(class, Class::Mutation(mutation) if mutation.changes_lists())
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(frame) = this.first.take() {
            return this.deliver(frame, cx);
        }
        if this.news.is_some() {
            return this.poll_news(cx);
        }
        if let Some(why) = this.abort.take() {
            this.ended = true;
            return Poll::Ready(Some(Err(why)));
        }
        if this.ended {
            return Poll::Ready(None);
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        match Pin::new(rest).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => this.deliver(frame, cx),
            Poll::Ready(Some(Err(Stop::Said(why)))) => this.breaks(&why, cx),
            Poll::Ready(Some(Err(Stop::Trouble(trouble)))) => {
                this.tail.node.failed_to(&trouble, Instant::now());
                this.breaks(&format!("it went away in mid-stream: {trouble}"), cx)
            }
            Poll::Ready(None) => this.finish(cx),
            Poll::Pending => match this.poll_silence(cx) {
                Poll::Ready(Over::Dead) => this.breaks("it stopped answering in mid-stream", cx),
                Poll::Ready(Over::Limit) => this.break_off("--request-limit was reached", cx),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// A whole body ends with its last byte: hyper need not ask again.
    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.ended || (self.form == Form::Whole && self.rest.as_ref().is_some_and(Body::is_end_stream)))
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        match self.rest.as_ref().and_then(|rest| rest.size_hint().exact()) {
            Some(rest) if self.form == Form::Whole => SizeHint::with_exact(first + rest),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Relay {
    /// The client has it all, or it left: then the drop of `rest` closes the connection, and the GPU stops.
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.tail.trace.done();
        }
        if self.tail.trace.outcome() == Outcome::Done && is_use(&self.tail.class) {
            self.tail.node.seen_now();
            if let Some(lease) = self.tail.lease.as_mut().filter(|_| self.good) {
                lease.served();
            }
        }
        if let Some(tally) = &self.tally {
            self.tail.trace.told(tally.figures());
        }
        if self.tail.class == Class::Inference {
            self.tail.node.inferred();
        }
        let _ = &self.tail.in_flight;
    }
}
