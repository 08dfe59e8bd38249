//! The streamed answer of a provider on its way to the client: held back until it says something, then passed on or
//! translated as fast as the client reads. When the client leaves, hyper drops it, and the provider's call ends.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, timeout_at};

use super::account::Trace;
use super::cloud::{Errand, now};
use super::tally::{Figures, Tally};
use crate::http::{Body, BoxError};
use crate::provider::{Answer, AnswerBody, Choice, KeyGuard, Provider, broke_off};
use crate::translate::{EndWatch, Form, Now, Opening, Translation, Usage, in_band_error};
use crate::values::{Fault, Kind};

/// A stream that has said nothing for so long after its head is passed on all the same: clients wait for a head.
const COMMIT: Duration = Duration::from_secs(10);

/// What is done to the bytes that come.
enum Passage {
    /// Nothing, but that no key passes; the end is watched for.
    Relayed(Form, Box<EndWatch>, Box<KeyGuard>),
    Translated(Box<Translation>),
}

impl Passage {
    /// What the client gets for the next bytes. After an error what came before it still counts.
    fn feed(&mut self, chunk: Bytes, now: Now) -> (Bytes, Result<(), Fault>) {
        match self {
            Self::Relayed(_, watch, guard) => {
                watch.feed(&chunk);
                (guard.feed(chunk), Ok(()))
            }
            Self::Translated(translation) => {
                let mut written = Vec::new();
                let fed = translation.feed(&chunk, now, &mut written);
                (written.into(), fed)
            }
        }
    }

    /// What the client gets when the provider's side has ended. Without its end mark that is a failure, whatever HTTP says.
    fn finish(&mut self, provider: &Provider, now: Now) -> (Bytes, Result<(), Fault>) {
        match self {
            Self::Relayed(form, watch, guard) if *form == Form::Whole || watch.complete() => (guard.finish().into(), Ok(())),
            Self::Relayed(..) => (Bytes::new(), Err(provider.fault(Kind::Died, "its stream ended without its end mark"))),
            Self::Translated(translation) => {
                let mut written = Vec::new();
                let finished = translation.finish(now, &mut written);
                (written.into(), finished)
            }
        }
    }
}

/// A stream that has not said anything yet.
pub(super) struct Beginning {
    passage: Passage,
    /// Of a relayed one: a translation says nothing by itself before there is something to say.
    opening: Option<Opening>,
}

/// What a stream said first, and whether it went on.
#[derive(Default)]
struct First {
    said: Vec<u8>,
    ended: bool,
    /// It failed behind what it said.
    fault: Option<Fault>,
}

impl Beginning {
    pub(super) fn relayed(form: Form, guard: KeyGuard) -> Self {
        let passage = Passage::Relayed(form, Box::new(EndWatch::new(form)), Box::new(guard));
        Self { passage, opening: Some(Opening::default()) }
    }

    pub(super) fn translated(translation: Translation) -> Self {
        Self { passage: Passage::Translated(Box::new(translation)), opening: None }
    }

    /// Reads on until the stream says something, or has been silent for long.
    async fn first(&mut self, errand: &Errand<'_>, answer: &mut Answer) -> Result<First, Fault> {
        let mut first = First::default();
        let commit = Instant::now() + COMMIT;
        while let Ok(chunk) = timeout_at(commit, answer.chunk()).await {
            let (chunk, now) = (chunk?, now(errand.began));
            first.ended = chunk.is_none();
            // What a relayed stream holds back is no word of its own yet.
            let mut is_open = false;
            if let (Some(opening), Some(chunk)) = (&mut self.opening, &chunk) {
                is_open = opening.feed(chunk)?;
            }
            let (out, fed) = match chunk {
                Some(chunk) => self.passage.feed(chunk, now),
                None => self.passage.finish(errand.provider(), now),
            };
            first.said.extend_from_slice(&out);
            if self.opening.is_none() {
                is_open = !first.said.is_empty();
            }
            match fed {
                Err(early) if !is_open => return Err(early),
                fed => first.fault = fed.err(),
            }
            if is_open || first.ended {
                break;
            }
        }
        Ok(first)
    }
}

/// The body of an answer, once its stream has said something; until then its failure can be a real status.
pub(super) async fn begin(
    errand: &Errand<'_>,
    mut answer: Answer,
    mut beginning: Beginning,
    limit: Option<Instant>,
    trace: &mut Trace,
) -> Result<Body, Fault> {
    let First { said, ended, fault } = beginning.first(errand, &mut answer).await?;
    let mut tally = Tally::default();
    tally.feed(&said);
    let mut handed = trace.hand_on(answer.status);
    handed.streams();
    let mut body = CloudBody {
        out: said.into(),
        rest: (!ended).then(|| answer.into_body()),
        passage: beginning.passage,
        choice: errand.choice.clone(),
        began: errand.began,
        limit: limit.map(|at| Box::pin(tokio::time::sleep_until(at))),
        trace: handed,
        early: tally.figures(),
        tally: Tally::default(),
        abort: None,
    };
    if let Some(fault) = fault {
        body.breaks(&fault.text);
    } else if ended || body.is_done() {
        body.ends();
    }
    Ok(body.boxed_unsync())
}

/// The answer under way.
struct CloudBody {
    /// What the client gets next.
    out: Bytes,
    /// `None` when no more comes.
    rest: Option<AnswerBody>,
    passage: Passage,
    choice: Choice,
    began: Instant,
    /// The hard end of `--request-limit`.
    limit: Option<Pin<Box<Sleep>>>,
    trace: Trace,
    /// What the beginning told: Anthropic counts the prompt there.
    early: Figures,
    tally: Tally,
    /// Why the connection is about to be aborted: no mark of an error fits into this answer.
    abort: Option<String>,
}

impl CloudBody {
    /// Whether the client has all of a translated answer; of a relayed one only its end tells.
    fn is_done(&self) -> bool {
        matches!(&self.passage, Passage::Translated(translation) if translation.done())
    }

    fn take(&mut self, chunk: Bytes) {
        let (out, fed) = self.passage.feed(chunk, now(self.began));
        self.out = out;
        if let Err(fault) = fed {
            self.breaks(&fault.text);
        }
    }

    /// The provider's side has ended.
    fn finish(&mut self) {
        let (out, finished) = self.passage.finish(&self.choice.provider, now(self.began));
        self.out = out;
        match finished {
            Ok(()) => self.ends(),
            Err(fault) => self.breaks(&fault.text),
        }
    }

    /// The client has all. What mostly comes along, the end of the provider's own body, is read so that its connection
    /// can be used again; it is not waited for.
    fn part(&mut self, cx: &mut Context<'_>) {
        if let Some(rest) = &mut self.rest {
            drop(Pin::new(rest).poll_frame(cx));
        }
        self.ends();
    }

    fn ends(&mut self) {
        self.rest = None;
        self.trace.done();
        if let Passage::Translated(translation) = &mut self.passage {
            let told = translation.told();
            self.early = figures_of(told.usage);
            if let Some(thoughts) = told.thoughts {
                self.choice.provider.keep_thoughts(&self.choice.target.model, *thoughts);
            }
        }
    }

    /// Marks the break in the client's dialect; where no mark fits, aborts the connection.
    fn breaks(&mut self, why: &str) {
        self.rest = None;
        let why = self.choice.provider.without_key(why);
        self.trace.broke(&why);
        let mark = match &self.passage {
            Passage::Translated(translation) => Some(translation.error(&why)),
            Passage::Relayed(form, watch, _) => in_band_error(*form, &why, watch.mid_line()).map(Vec::from),
        };
        match mark {
            Some(mark) => self.out = [&self.out[..], &mark].concat().into(),
            None => self.abort = Some(why),
        }
    }

    /// Reads what has come, until there is something for the client or nothing more.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(rest) = self.rest.as_mut().filter(|_| self.out.is_empty()) {
            match Pin::new(rest).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(data);
                    }
                    if self.is_done() {
                        self.part(cx);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    let fault = broke_off(&self.choice.provider, &error);
                    self.breaks(&fault.text);
                }
                Poll::Ready(None) => self.finish(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl HttpBody for CloudBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.poll_rest(cx).is_pending() {
            let over = this.limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready());
            if !over {
                return Poll::Pending;
            }
            this.breaks("--request-limit was reached");
        }
        if !this.out.is_empty() {
            let out = std::mem::take(&mut this.out);
            if matches!(this.passage, Passage::Relayed(..)) {
                this.tally.feed(&out);
            }
            this.trace.passed(out.len());
            return Poll::Ready(Some(Ok(Frame::data(out))));
        }
        Poll::Ready(this.abort.take().map(|why| Err(why.into())))
    }

    /// So that hyper ends the answer with its last byte.
    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.out.is_empty() && self.abort.is_none()
    }
}

impl Drop for CloudBody {
    fn drop(&mut self) {
        let told = self.tally.figures();
        let (input, output) = (told.input.or(self.early.input), told.output.or(self.early.output));
        self.trace.told(Figures { input, output, ..told });
    }
}

/// Counts that a translation told.
pub(super) fn figures_of(usage: Usage) -> Figures {
    Figures { input: usage.input, output: usage.output, ..Figures::default() }
}
