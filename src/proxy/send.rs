//! One attempt: reach the node, send the request, wait for the first bytes of the answer while its silence is watched.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::admit::Permission;
use super::cloud::MOST_REFUSALS;
use super::failover::Ending;
use super::intake::Passing;
use super::relay::{Relay, Tail, form_of};
use super::source::Source;
use super::wording::Wording;
use super::{Job, Proxy, Trace};
use crate::classify::{Class, Metadata};
use crate::fleet::{InFlight, Node, UpstreamError};
use crate::http::{Body, Buffered, headers};
use crate::schedule::Lease;
use crate::telemetry::metrics::Counter;
use crate::translate::Form;
use crate::upstream::{self, Idle, Ready, RequestHead, Trouble, Upload};
use crate::values::{Fault, Kind, Retry};

/// The body of a request on its way to a node.
pub(super) enum Payload {
    /// In memory: may be sent again.
    Buffered(Buffered),
    /// A blob or a large form, passing through with flat memory: taken once.
    Streaming(Mutex<Option<Passing>>),
}

impl Payload {
    pub(super) fn streaming(passing: Passing) -> Self {
        Self::Streaming(Mutex::new(Some(passing)))
    }

    /// Whether no byte of it can have reached a node.
    pub(super) fn unsent(&self) -> bool {
        match self {
            Self::Buffered(_) => false,
            Self::Streaming(incoming) => incoming.lock().is_ok_and(|incoming| incoming.is_some()),
        }
    }

    /// Behind its head. Its bytes are counted as they go.
    fn behind(&self, head: RequestHead, sent: &Counter) -> Upload {
        match self {
            Self::Buffered(buffered) => {
                sent.add(buffered.bytes().len() as u64);
                head.with(buffered.bytes().clone())
            }
            Self::Streaming(incoming) => match incoming.lock().ok().and_then(|mut incoming| incoming.take()) {
                Some(incoming) => {
                    let (sent, length) = (sent.clone(), incoming.size_hint().exact());
                    let counted = incoming.map_frame(move |frame| {
                        sent.add(frame.data_ref().map_or(0, Bytes::len) as u64);
                        frame
                    });
                    head.streaming(counted.map_err(Into::into).boxed_unsync(), length)
                }
                None => head.with(Bytes::new()),
            },
        }
    }
}

/// The head of an answer with what came of its body first, and what the request holds of the node.
pub(super) struct Begun {
    head: hyper::http::response::Parts,
    first: Option<Frame<Bytes>>,
    rest: Source,
    in_flight: InFlight,
    /// Gone when the node is to be spared while others are tried.
    lease: Option<Lease>,
}

impl Begun {
    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Counts the answer against the node.
    pub(super) fn failed(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.failed();
        }
    }

    /// Gives the place on the node back while the answer is kept.
    pub(super) fn give_back(&mut self) {
        self.lease = None;
    }

    /// How the attempt ended, going by the answer.
    pub(super) fn ending(&self) -> Ending {
        let first = self.first.as_ref().and_then(Frame::data_ref);
        Ending::of_answer(self.head.status, first.map_or(&[], |data| data))
    }
}

/// As [`Begun`], while it is being received.
pub(super) struct Beginning {
    head: hyper::http::response::Parts,
    first: Option<Frame<Bytes>>,
    rest: Source,
    /// The parameter that it refuses, where the request can do without.
    refused: Option<&'static str>,
}

impl Beginning {
    /// With what came first of its body; nothing for an empty one.
    pub(super) fn of(head: hyper::http::response::Parts, first: Option<Bytes>, rest: Source) -> Self {
        Self { head, first: first.map(Frame::data), rest, refused: None }
    }

    /// As a refusal of a parameter, if it is one.
    pub(super) fn about(self, refused: Option<&'static str>) -> Self {
        Self { refused, ..self }
    }
}

/// An attempt that brought no answer.
pub(super) struct Failed {
    pub(super) ending: Ending,
    pub(super) fault: Fault,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { ending: Ending::of_fault(&fault), fault }
    }
}

/// What is said to a node: the client's own request, perhaps in other words.
#[derive(Clone, Copy)]
struct Saying<'a> {
    job: &'a Job<'a>,
    wording: Option<&'a Wording>,
}

/// How sending went, when it began, and to whom.
struct Try {
    peer: IpAddr,
    began: Instant,
    begun: Result<Beginning, Ended>,
}

impl Proxy {
    /// One attempt on the node of the lease.
    pub(super) async fn attempt(
        &self,
        node: &Node,
        permission: Permission,
        mut lease: Lease,
        job: &Job<'_>,
        trace: &mut Trace,
    ) -> Result<Begun, (Failed, Lease)> {
        if let Err(fault) = self.may_connect(node, permission) {
            return Err((fault.into(), lease));
        }
        // What cannot be said to this node wakes nobody.
        let mut wording = match self.wording(node, job, trace) {
            Ok(wording) => wording,
            Err(fault) => return Err((fault.into(), lease)),
        };
        let in_flight = node.enter();
        let tried = self.try_in_words(node, permission, &mut lease, job, &mut wording, trace).await;
        let Try { peer, began, begun } = match tried {
            Ok(tried) => tried,
            Err(fault) => {
                count_unreached(node, &fault);
                return Err((fault.into(), lease));
            }
        };
        let Beginning { head, first, rest, .. } = match begun {
            Ok(beginning) => beginning,
            Err(ended) => return Err((unanswered(node, job, ended, began), lease)),
        };
        if head.status.is_server_error() {
            node.metrics().failed(UpstreamError::Status5xx);
        }
        if is_use(&job.ask.class) {
            node.answered(peer);
        }
        if let (StatusCode::NOT_FOUND, Class::Inference, Some(model)) = (head.status, &job.ask.class, &job.ask.model) {
            node.lacks(model);
        }
        if changed_lists(job, &head) {
            Box::pin(node.mutated()).await;
        }
        Ok(Begun { head, first, rest, in_flight, lease: Some(lease) })
    }

    /// Once, and again without what the node's model turns out not to take: each refusal names one thing.
    async fn try_in_words(
        &self,
        node: &Node,
        permission: Permission,
        lease: &mut Lease,
        job: &Job<'_>,
        wording: &mut Option<Wording>,
        trace: &mut Trace,
    ) -> Result<Try, Fault> {
        let mut refusals = 0;
        loop {
            let said = Saying { job, wording: wording.as_ref() };
            let tried = self.try_once(node, permission, lease, said, trace).await?;
            let refused = tried.begun.as_ref().ok().and_then(|begun| begun.refused).filter(|_| refusals < MOST_REFUSALS);
            let again = refused.zip(wording.as_mut()).is_some_and(|(key, wording)| self.without_refused(wording, key));
            if !again {
                return Ok(tried);
            }
            refusals += 1;
        }
    }

    /// Over a connection at rest if there is one and the request may be repeated, else over a fresh one.
    async fn try_once(
        &self,
        node: &Node,
        permission: Permission,
        lease: &mut Lease,
        said: Saying<'_>,
        trace: &mut Trace,
    ) -> Result<Try, Fault> {
        let job = said.job;
        lease.begins();
        let began = Instant::now();
        let rested = node.idle().filter(|_| job.ask.replayable).and_then(Idle::take);
        if let Some(ready) = rested {
            let peer = ready.peer().ip();
            // The node may close a resting connection at the very moment of its use: that says nothing about the node.
            match self.begin(node, ready, said).await {
                Err(Ended::Trouble(_)) => {}
                begun => return Ok(Try { peer, began, begun }),
            }
        }
        let link = Box::pin(self.reach(node, permission, job, trace)).await?;
        lease.begins();
        let (peer, began) = (link.peer.ip(), Instant::now());
        let begun = self.begin(node, Ready::over(link, node.idle().cloned()), said).await;
        Ok(Try { peer, began, begun })
    }

    /// Sends, and waits for the head and the first bytes behind it: until those are here, a failure can still be a real
    /// status or another attempt.
    async fn begin(&self, node: &Node, ready: Ready, said: Saying<'_>) -> Result<Beginning, Ended> {
        let job = said.job;
        let request = self.upload(node, said).map_err(|why| Ended::Trouble(Trouble::Broken(why)))?;
        let mut beginning = std::pin::pin!(async {
            let (head, mut rest) = upstream::exchange(ready, request).await?.into_parts();
            if let Some(reading) = said.wording.and_then(|wording| wording.reading.as_ref()) {
                return Box::pin(reading.read(head, rest)).await;
            }
            let first = rest.frame().await.transpose()?;
            if first.is_none() && head.status.is_success() && form_of(&job.ask, &head) != Form::Whole {
                return Err(Trouble::Broken("its stream ended before it began".to_owned()));
            }
            Ok(Beginning { head, first, rest: Source::Plain(rest), refused: None })
        });
        if let Class::Metadata(_) = job.ask.class {
            let limit = self.metadata_limit(&job.ask.class);
            let in_time = tokio::time::timeout(limit, beginning).await;
            return in_time.map_err(|_| Ended::Late(limit))?.map_err(Ended::Trouble);
        }
        loop {
            tokio::select! {
                // Mostly it has begun when this is polled again: then the clock need not be looked at.
                biased;
                begun = &mut beginning => return begun.map_err(Ended::Trouble),
                alive = self.silent_but_alive(node) => if !alive { return Err(Ended::Dead) },
            }
        }
    }

    fn metadata_limit(&self, class: &Class) -> Duration {
        /// `/api/ps` can block for a whole model load.
        const PS: Duration = Duration::from_secs(2);
        match class {
            Class::Metadata(Metadata::Ps) => PS,
            _ => self.0.settings.timeouts.metadata,
        }
    }

    /// Law 3: after each stretch of silence, whether the node still lives. Without own calls TCP's keep-alive judges.
    async fn silent_but_alive(&self, node: &Node) -> bool {
        tokio::time::sleep(self.0.settings.timeouts.silence).await;
        // Boxed, like all ways that few requests go: the room for them is copied with each request.
        self.0.settings.no_own_calls || Box::pin(node.alive()).await
    }

    /// The request as the client put it, or in other words.
    fn upload(&self, node: &Node, said: Saying<'_>) -> Result<Upload, String> {
        let Saying { job, wording } = said;
        let method = wording.map_or(&job.head.method, |wording| &wording.method);
        let path = wording.and_then(|wording| wording.path).map(Uri::from_static);
        let mut head = RequestHead::new(method, &target(&node.config().path_prefix, path.as_ref().unwrap_or(&job.head.uri))?);
        // What is whole in memory waits for no leave to be sent; where the beginning was read, leave was given.
        let waits = matches!(&job.payload, Payload::Streaming(_)) && job.ask.class != Class::Inference;
        for (name, value) in headers::toward_node(&job.head.headers, node.host(), &self.0.via) {
            if (waits || *name != header::EXPECT) && wording.is_none_or(|wording| wording.leaves(name)) {
                head.header(name, value);
            }
        }
        if wording.is_some_and(|wording| wording.reading.is_some()) {
            head.header(&header::CONTENT_TYPE, &HeaderValue::from_static("application/json"));
        }
        // Servers of other kinds refuse a request because of an id that is no UUID.
        if node.is_ollama() || headers::is_uuid(&job.id) {
            head.header(&headers::REQUEST_ID, &job.id);
        }
        let sent = node.metrics().sent();
        Ok(match wording {
            Some(wording) => {
                sent.add(wording.body.len() as u64);
                head.with(wording.body.clone())
            }
            None => job.payload.behind(head, sent),
        })
    }

    /// Hands the answer on, with all that the request holds inside its body.
    pub(super) fn relay(&self, node: &Node, job: &Job<'_>, begun: Begun, trace: &mut Trace) -> Response<Body> {
        let Begun { mut head, first, rest, in_flight, lease } = begun;
        headers::toward_client(&mut head.headers);
        headers::confine(&mut head.headers);
        if let Ok(name) = HeaderValue::from_str(node.name().as_str()) {
            head.headers.insert(headers::NODE, name);
        }
        head.version = Version::HTTP_11;
        let tail = Tail {
            node: node.clone(),
            in_flight,
            lease,
            trace: trace.hand_on(head.status),
            class: job.ask.class.clone(),
            silence: self.0.settings.timeouts.silence,
            limit: self.0.settings.timeouts.request_limit.map(|limit| trace.started() + limit),
            checks: !self.0.settings.no_own_calls,
        };
        let relay = Relay::new(&job.ask, &head, first, rest, tail);
        Response::from_parts(head, relay.boxed_unsync())
    }
}

/// Whether an answer is a sign that the node is in use. Were those to pollers, polling would keep it in use for ever.
pub(super) fn is_use(class: &Class) -> bool {
    !matches!(class, Class::Metadata(_) | Class::Other { may_wake: false })
}

enum Ended {
    Trouble(Trouble),
    Dead,
    Late(Duration),
}

/// What the client, the metrics and the node's keeper are told of an answer that never began.
fn unanswered(node: &Node, job: &Job<'_>, ended: Ended, began: Instant) -> Failed {
    let error = match ended {
        Ended::Trouble(_) => UpstreamError::Reset,
        Ended::Dead | Ended::Late(_) => UpstreamError::Timeout,
    };
    node.metrics().failed(error);
    match ended {
        Ended::Trouble(trouble) => {
            node.failed_to(&trouble, began);
            let silent = matches!(trouble, Trouble::Lost(_) | Trouble::Silent);
            let ending = if silent { Ending::FellSilent } else { Ending::WentAway };
            Failed { ending, fault: died(node, job, &trouble.to_string()) }
        }
        Ended::Dead => Failed { ending: Ending::FellSilent, fault: died(node, job, "it stopped answering") },
        Ended::Late(limit) => {
            let text = format!("node {} gave no answer within {}", node.name(), humantime::format_duration(limit));
            Fault::node(Kind::Timeout, Retry::Never, text).into()
        }
    }
}

/// A node that could not be reached: by its fault, unless it merely sleeps or did not wake.
fn count_unreached(node: &Node, fault: &Fault) {
    if matches!(fault.kind, Kind::Refusing | Kind::NoNode | Kind::Died) {
        node.metrics().failed(UpstreamError::Connect);
    }
}

/// Whether a whole answer (not a stream, whose last line tells) says that the models were changed.
fn changed_lists(job: &Job<'_>, head: &hyper::http::response::Parts) -> bool {
    let Class::Mutation(mutation) = job.ask.class else { return false };
    mutation.changes_lists() && head.status.is_success() && head.headers.contains_key(header::CONTENT_LENGTH)
}

/// It went away before the client had a byte. Repeating is our business only while it does no harm.
fn died(node: &Node, job: &Job<'_>, why: &str) -> Fault {
    let retry = if job.may_be_repeated() { Retry::Now } else { Retry::Never };
    let text = format!("node {} went away before it answered: {why}", node.name());
    Fault::node(Kind::Died, retry, text)
}

/// The path and query as the client sent them, behind the node's own prefix.
fn target(prefix: &str, uri: &Uri) -> Result<Uri, String> {
    // As it came, when it names no host: reading it anew would only give the same.
    if prefix.is_empty() && uri.authority().is_none() && uri.path_and_query().is_some() {
        return Ok(uri.clone());
    }
    let asked = uri.path_and_query().map_or("/", |path| path.as_str());
    format!("{prefix}{asked}").parse().map_err(|_| format!("{prefix}{asked} is no path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_and_repeated_keys_are_kept_behind_the_prefix() {
        let uri: Uri = "http://pi/api/tags?a=1&a=2&b=%2F".parse().unwrap();
        assert_eq!(target("/ollama", &uri).unwrap(), "/ollama/api/tags?a=1&a=2&b=%2F");
        assert_eq!(target("", &uri).unwrap(), "/api/tags?a=1&a=2&b=%2F");
    }
}
