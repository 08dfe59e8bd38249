//! How a request is put to a node that does not speak its client's dialect, and how that node's answer is read.
//!
//! Worked out anew for each attempt: the next node may be of another kind.

use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::response;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use super::cloud::{hold_nowhere, id_of, now, tell_dropped};
use super::send::{Beginning, Payload};
use super::source::{Source, Translated};
use super::{Job, Proxy, Trace};
use crate::classify;
use crate::fleet::Node;
use crate::http::reply;
use crate::translate::{self, Client, EmbedRequest, EmbedRoute, Flavour, Target, Tongue, Translation, Voice};
use crate::upstream::{AnswerBody, Trouble};
use crate::values::{Dialect, Fault, Kind};

/// The longest whole answer that is read to be translated.
const LONGEST: usize = 64 * 1024 * 1024;

/// As much of an error's text as is read.
const LONGEST_ERROR: usize = 64 * 1024;

/// What a node is sent in place of what the client sent.
pub(super) struct Wording {
    pub(super) method: Method,
    /// `None`: the client's own.
    pub(super) path: Option<&'static str>,
    pub(super) body: Bytes,
    /// Whether only the name of the model, or the encoding, is another one: then the answer passes as it comes.
    pub(super) reading: Option<Reading>,
}

/// How the answer is read.
pub(super) struct Reading {
    said: Said,
    tongue: Tongue,
    dialect: Dialect,
    /// The node in the client's errors.
    node: String,
    began: Instant,
    /// What the node could not be told.
    dropped: Vec<String>,
    /// The node and its model, by which their refusals are remembered.
    whose: String,
}

/// What the client said.
enum Said {
    Talk {
        client: Client,
        stream: bool,
    },
    Embed(EmbedRequest),
    /// Nothing but that a model be loaded, which such a node does by itself; what is answered then.
    Nothing(Client),
    NothingToEmbed(EmbedRequest),
}

impl Proxy {
    /// `None`: the node is sent what the client sent.
    ///
    /// # Errors
    /// `BadRequest` for what cannot be said to the node: nobody is woken for it.
    pub(super) fn wording(&self, node: &Node, job: &Job<'_>, trace: &Trace) -> Result<Option<Wording>, Fault> {
        let Payload::Buffered(buffered) = &job.payload else { return Ok(None) };
        let tongue = if node.is_ollama() { Tongue::Native } else { Tongue::OpenAi };
        let voice = Voice::of_route(job.ask.route);
        let spoken = match (tongue, voice) {
            (Tongue::Native, Some(Voice::ChatCompletions)) if self.0.settings.repair_v1 => true,
            (Tongue::Native, _) => return Ok(None),
            (_, Some(Voice::ChatCompletions | Voice::Completions)) => false,
            (_, voice) => {
                voice.is_some()
                    || matches!(EmbedRoute::of_template(job.ask.route), Some(EmbedRoute::Embed | EmbedRoute::Embeddings))
            }
        };
        let encoded = job.head.headers.contains_key(header::CONTENT_ENCODING);
        let body = classify::decoded(job.head.uri.path(), &job.head.headers, buffered.bytes());
        let model = name_at(node, job.ask.model.as_deref().unwrap_or_default());
        if !spoken {
            let renamed = body.filter(|body| !body.is_empty()).map(|body| match &job.ask.model {
                Some(asked) if *asked != model => (translate::with_model(&body, &model).map_or(body, Bytes::from), true),
                _ => (body, false),
            });
            return Ok(renamed.filter(|(_, renamed)| *renamed || encoded).map(|(body, _)| Wording {
                method: job.head.method.clone(),
                path: None,
                body,
                reading: None,
            }));
        }
        let body = body.ok_or_else(|| Fault::client(Kind::BadRequest, "the request body cannot be read"))?;
        let whose = format!("{}/{model}", node.name());
        let reading = |said, dropped| Reading {
            said,
            tongue,
            dialect: job.ask.dialect,
            node: format!("node {}", node.name()),
            began: trace.started(),
            dropped,
            whose: whose.clone(),
        };
        match voice {
            Some(voice) => {
                let mut wording = talk(voice, &body, model, tongue, reading, trace)?;
                for key in wording.reading.as_ref().map(|reading| self.0.refusals.of(&reading.whose)).unwrap_or_default() {
                    wording.leave_out(key);
                }
                Ok(Some(wording))
            }
            None => embed(job.ask.route, &body, &model, reading, trace).map(Some),
        }
    }

    /// Has the wording leave out what the node has just refused, and from now on at once: clients of other dialects cannot
    /// know it. Says whether the node may be asked again.
    pub(super) fn without_refused(&self, wording: &mut Wording, key: &'static str) -> bool {
        let spared = wording.leave_out(key);
        if let Some(reading) = wording.reading.as_ref().filter(|_| spared) {
            tracing::info!(model = reading.whose, parameter = key, "the model does not take it; asked again without");
            self.0.refusals.learn(&reading.whose, key);
        }
        spared
    }
}

fn talk(
    voice: Voice,
    body: &[u8],
    model: String,
    tongue: Tongue,
    reading: impl Fn(Said, Vec<String>) -> Reading,
    trace: &Trace,
) -> Result<Wording, Fault> {
    let talk = translate::understand(voice, body)?;
    let client = Client::of(&talk, voice, id_of(trace), SystemTime::now());
    if talk.says_nothing() {
        return Ok(Wording::greeting(reading(Said::Nothing(client), Vec::new())));
    }
    let target = Target { model, flavour: Flavour::Compatible, ..Target::default() };
    let (body, dropped) = translate::ask(&talk, tongue, &target)?;
    let path = if tongue == Tongue::Native { "/api/chat" } else { "/v1/chat/completions" };
    let said = Said::Talk { client, stream: talk.stream };
    Ok(Wording { method: Method::POST, path: Some(path), body: body.into(), reading: Some(reading(said, dropped)) })
}

fn embed(
    route: &str,
    body: &[u8],
    model: &str,
    reading: impl Fn(Said, Vec<String>) -> Reading,
    trace: &Trace,
) -> Result<Wording, Fault> {
    let wanted = EmbedRequest::of(EmbedRoute::of_template(route).unwrap_or(EmbedRoute::Embed), body)?;
    if wanted.nothing_said(now(trace.started())).is_some() {
        return Ok(Wording::greeting(reading(Said::NothingToEmbed(wanted), Vec::new())));
    }
    let body = wanted.for_compatible(model).into();
    Ok(Wording {
        method: Method::POST,
        path: Some("/v1/embeddings"),
        body,
        reading: Some(reading(Said::Embed(wanted), Vec::new())),
    })
}

/// The name by which the node lists the model. Clients of Ollama may append `:latest` to what has no tag.
fn name_at(node: &Node, asked: &str) -> String {
    let view = node.view();
    let listed = view.holding.find(asked).map(|listed| listed.name.clone());
    listed.unwrap_or_else(|| asked.strip_suffix(":latest").unwrap_or(asked).to_owned())
}

impl Wording {
    /// Asks for nothing that costs: that it answers is all that is wanted.
    fn greeting(reading: Reading) -> Self {
        Self { method: Method::GET, path: Some("/health"), body: Bytes::new(), reading: Some(reading) }
    }

    /// Says the same without a parameter, if that is in it.
    fn leave_out(&mut self, key: &str) -> bool {
        let (Some(reading), Some(less)) = (&mut self.reading, translate::without(&self.body, key)) else { return false };
        self.body = less.body.into();
        reading.dropped.extend(less.dropped.then(|| key.to_owned()));
        true
    }

    /// Whether a header of the client's holds for these words too.
    pub(super) fn leaves(&self, name: &HeaderName) -> bool {
        // What is read here may not be compressed, and is JSON both ways.
        let of_reading = [header::ACCEPT_ENCODING, header::ACCEPT, header::CONTENT_TYPE];
        *name != header::CONTENT_ENCODING && (self.reading.is_none() || !of_reading.contains(name))
    }
}

impl Reading {
    /// Reads the answer until there is something for the client; until then a failure can still be a real status.
    pub(super) async fn read(&self, head: response::Parts, rest: AnswerBody) -> Result<Beginning, Trouble> {
        let status = head.status;
        // Whoever does not know the path that it was greeted on has answered all the same.
        let greets = status.is_client_error() && matches!(self.said, Said::Nothing(_) | Said::NothingToEmbed(_));
        if !status.is_success() && !greets {
            let body = whole(rest, LONGEST_ERROR).await.unwrap_or_default();
            let talks = matches!(self.said, Said::Talk { .. });
            let refused = translate::refused_parameter(&body).filter(|_| talks && status == StatusCode::BAD_REQUEST);
            return Ok(self.refused(head, &body).about(refused));
        }
        let (native, now) = (reply::JSON, now(self.began));
        let written = match &self.said {
            Said::Talk { client, stream: true } => return self.stream(client, head, rest).await,
            Said::Talk { client, stream: false } => {
                let said = whole(rest, LONGEST).await?;
                let kind = client.voice.content_type(false);
                translate::whole(self.tongue, client.clone(), &said, now).map(|written| (kind, written))
            }
            Said::Embed(wanted) => wanted.from_openai(&whole(rest, LONGEST).await?, now).map(|written| (native, written)),
            Said::Nothing(client) => Ok((client.voice.content_type(false), translate::nothing_said(client, false, now))),
            Said::NothingToEmbed(wanted) => Ok((native, wanted.nothing_said(now).unwrap_or_default())),
        };
        Ok(match written {
            Ok((kind, written)) => self.given(StatusCode::OK, kind, written, head),
            Err(fault) => self.failed(&fault, head),
        })
    }

    async fn stream(&self, client: &Client, mut head: response::Parts, rest: AnswerBody) -> Result<Beginning, Trouble> {
        let mut source = Translated::new(Translation::new(self.tongue, client.clone()), rest, self.began);
        match source.begin().await? {
            Err(fault) => Ok(self.failed(&fault, head)),
            Ok(first) => {
                self.describe(&mut head, client.voice.content_type(true));
                hold_nowhere(&mut head.headers);
                Ok(Beginning::of(head, Some(first), Source::Translated(Box::new(source))))
            }
        }
    }

    /// An error of the node's in the client's dialect. Not a 401: Ollama's own clients would sign in at ollama.com.
    fn refused(&self, head: response::Parts, body: &[u8]) -> Beginning {
        let status = match head.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StatusCode::BAD_GATEWAY,
            other => other,
        };
        let text = said(body).unwrap_or_else(|| translate::of_answer(&self.node, head.status.as_u16(), body, None).text.into());
        self.error(status, &text, head)
    }

    fn failed(&self, fault: &Fault, head: response::Parts) -> Beginning {
        self.error(reply::status(fault.kind), &format!("{}: {}", self.node, fault.text), head)
    }

    fn error(&self, status: StatusCode, text: &str, head: response::Parts) -> Beginning {
        let kind = if self.dialect == Dialect::Native { reply::JSON } else { "application/json" };
        self.given(status, kind, reply::error_body(status, text, self.dialect).into_bytes(), head)
    }

    /// A whole answer.
    fn given(&self, status: StatusCode, kind: &'static str, body: Vec<u8>, mut head: response::Parts) -> Beginning {
        head.status = status;
        self.describe(&mut head, kind);
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Beginning::of(head, Some(body.into()), Source::Ended)
    }

    /// The node's headers are about a body that nobody gets.
    fn describe(&self, head: &mut response::Parts, kind: &'static str) {
        let after = head.headers.remove(header::RETRY_AFTER);
        head.headers = HeaderMap::new();
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        head.headers.extend(after.map(|after| (header::RETRY_AFTER, after)));
        tell_dropped(&mut head.headers, &self.dropped);
    }
}

/// What Ollama says of its errors is what its clients know.
fn said(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?.get("error")?.as_str().map(str::to_owned)
}

async fn whole(body: AnswerBody, most: usize) -> Result<Bytes, Trouble> {
    let body = Limited::new(body, most).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| match error.downcast::<Trouble>() {
        Ok(trouble) => *trouble,
        Err(error) => Trouble::Broken(error.to_string()),
    })
}
