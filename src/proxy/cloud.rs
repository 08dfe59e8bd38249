//! Requests for models of cloud providers: passed on as they are where the dialect is the same, else translated. No node
//! is asked, chosen or woken for them.

use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cloud_body::{Beginning, begin, figures_of};
use super::cloud_lists::{model_v1, show};
use super::local::is_count;
use super::tally::Tally;
use super::{Caller, Proxy, Refusal, Trace, over_the_limit};
use crate::classify::{self, Ask, Class, Metadata};
use crate::http::{Body, headers, reply};
use crate::provider::{Answer, Call, Choice, Provider};
use crate::translate::{self, Client, EmbedRequest, EmbedRoute, Flavour, Form, Now, Talk, Target, Tongue, Translation, Voice};
use crate::values::{Fault, Kind, Retry};

/// What of a request whoever answers could not be told.
const DROPPED: HeaderName = HeaderName::from_static("x-ollama-proxy-dropped");

/// Keeps nginx from holding a stream back.
const ACCEL: HeaderName = HeaderName::from_static("x-accel-buffering");

const EVENTS: &str = "text/event-stream";
const V1_JSON: &str = "application/json";

/// A request is sent again without what its model does not take at most so often: each refusal names one thing.
pub(super) const MOST_REFUSALS: usize = 3;

/// A request for a model in the cloud.
pub(super) struct Errand<'a> {
    pub(super) ask: &'a Ask,
    head: &'a Parts,
    /// Decoded.
    body: Bytes,
    /// It is a form in parts, which has its provider's name of the model already.
    form: bool,
    pub(super) choice: Choice,
    /// When it came.
    pub(super) began: Instant,
}

impl Proxy {
    /// `None`: no provider has its model, or nothing that a provider does is asked for.
    pub(super) async fn answer_from_cloud(
        &self,
        ask: &Ask,
        head: &Parts,
        body: &Bytes,
        caller: &Caller,
        trace: &mut Trace,
    ) -> Result<Option<Response<Body>>, Fault> {
        let Some(choice) = self.in_cloud(ask, head) else { return Ok(None) };
        let is_count = is_count(head);
        match ask.class {
            Class::Metadata(Metadata::Show { .. }) => return Ok(Some(show(&choice))),
            Class::Metadata(Metadata::ModelById(ref id)) => return Ok(Some(model_v1(&choice, id))),
            Class::Inference | Class::Unload(_) => {}
            Class::Other { .. } if is_count => {}
            Class::Metadata(_) | Class::Mutation(_) | Class::Other { .. } => return Ok(None),
        }
        caller.may_use(choice.provider.word()).inspect_err(|_| self.0.metrics.refused(Refusal::Node))?;
        trace.on_provider(choice.provider.word(), choice.label());
        let form = classify::is_form(&head.method, head.uri.path(), &head.headers);
        let renamed = if form { form_with_model(head, body, &choice.target.model) } else { None };
        let body = renamed.or_else(|| classify::decoded(head.uri.path(), &head.headers, body));
        let body =
            body.ok_or_else(|| Fault::client(Kind::BadRequest, "the request body is encoded in a way that cannot be read"))?;
        let errand = Errand { ask, head, body, form, choice, began: trace.started() };
        let serve = async { if is_count { errand.count(trace).await } else { errand.infer(self, trace).await } };
        let served = match self.0.settings.timeouts.request_limit {
            Some(limit) => tokio::time::timeout(limit, serve).await.unwrap_or_else(|_| Err(over_the_limit(limit))),
            None => serve.await,
        };
        let mut response = served?;
        let word = HeaderValue::from_static(errand.choice.provider.word());
        response.headers_mut().insert(headers::NODE, word);
        Ok(Some(response))
    }

    /// Who has the model of an ask, unless the client wants a node by its name.
    fn in_cloud(&self, ask: &Ask, head: &Parts) -> Option<Choice> {
        let providers = &self.0.settings.providers;
        if providers.all().is_empty() {
            return None;
        }
        let choice = providers.choose(ask.model.as_deref()?)?;
        let named = head.headers.get(headers::NODE).map(|name| name.to_str().unwrap_or_default());
        named.is_none_or(|name| name.eq_ignore_ascii_case(choice.provider.word())).then_some(choice)
    }
}

impl Errand<'_> {
    async fn infer(&self, proxy: &Proxy, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let (route, tongue) = (self.ask.route, self.provider().tongue());
        if let Some(voice) = Voice::of_route(route) {
            return match (voice, tongue) {
                (Voice::ChatCompletions | Voice::Completions, Tongue::OpenAi) => self.relay(proxy, trace).await,
                (Voice::Messages, Tongue::Anthropic) => self.relay(proxy, trace).await,
                _ => self.translate(proxy, voice, trace).await,
            };
        }
        match (EmbedRoute::of_template(route), tongue) {
            (Some(_), Tongue::Anthropic) => Err(cannot("Anthropic has no embeddings: ask a model of another provider")),
            (Some(EmbedRoute::OpenAi), _) => self.relay(proxy, trace).await,
            (Some(embed), _) => self.embed(embed, trace).await,
            (None, Tongue::OpenAi) => self.relay(proxy, trace).await,
            (None, _) => Err(cannot("this provider has no such route: use /v1/messages or /v1/chat/completions")),
        }
    }

    pub(super) fn provider(&self) -> &Provider {
        &self.choice.provider
    }

    fn now(&self) -> Now {
        now(self.began)
    }

    /// What the client said, in its provider's dialect already: only the name of the model changes.
    async fn relay(&self, proxy: &Proxy, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let path = self.head.uri.path().strip_prefix("/v1").unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
        if !path.bytes().all(plain) {
            return Err(cannot("this path means nothing to a cloud provider"));
        }
        let model = &self.choice.target.model;
        let body = if self.form { self.body.clone() } else { translate::with_model(&self.body, model)?.into() };
        let answer = self.call(path, body).await?;
        if !answer.status.is_success() {
            return self.refused(answer).await;
        }
        let (status, passed, kind) = (answer.status, answer.headers.clone(), answer.content_type.clone());
        let is_stream = kind.as_ref().is_some_and(|kind| kind.as_bytes().starts_with(EVENTS.as_bytes()));
        let mut response = if is_stream {
            let form = Form::of(self.ask.dialect, self.ask.route, Some(EVENTS));
            self.stream(proxy, answer, Beginning::relayed(form, self.provider().guard()), trace).await?
        } else {
            let whole = answer.whole().await?;
            // Other routes answer with sound, or with an `error` that belongs there.
            if let Some(fault) = Voice::of_route(self.ask.route).and_then(|_| translate::hidden(&whole)) {
                return Err(self.scrubbed(fault));
            }
            let mut guard = self.provider().guard();
            let passed = [&guard.feed(whole)[..], &guard.finish()].concat();
            given(V1_JSON, passed, trace)
        };
        *response.status_mut() = status;
        response.headers_mut().extend(passed);
        if let Some(kind) = kind {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        headers::confine(response.headers_mut());
        Ok(response)
    }

    /// An error in the client's own dialect passes as it is, except one about our key, which is not the client's business.
    async fn refused(&self, answer: Answer) -> Result<Response<Body>, Fault> {
        let status = answer.status;
        let passed = answer.headers.clone();
        let (fault, body) = answer.refusal().await;
        if fault.kind == Kind::Credentials || serde_json::from_slice::<Value>(&body).is_err() {
            return Err(fault);
        }
        let mut response = reply::whole(status, V1_JSON, body);
        response.headers_mut().extend(passed);
        if let Retry::After(wait) = fault.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        Ok(response)
    }

    async fn translate(&self, proxy: &Proxy, voice: Voice, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let mut talk = translate::understand(voice, &self.body)?;
        let client = Client::of(&talk, voice, id_of(trace), SystemTime::now());
        if talk.says_nothing() {
            let unload = matches!(self.ask.class, Class::Unload(_));
            return Ok(given(voice.content_type(false), translate::nothing_said(&client, unload, self.now()), trace));
        }
        let tongue = self.provider().tongue();
        if tongue == Tongue::Anthropic {
            self.provider().recall_thoughts(&self.choice.target.model, &mut talk);
        }
        let (body, mut dropped) = translate::ask(&talk, tongue, &self.choice.target)?;
        let path = if tongue == Tongue::Anthropic { "/messages" } else { "/chat/completions" };
        let answer = self.call_without_refused(path, body.into(), &mut dropped).await?;
        let mut response = self.translated(proxy, &talk, client, answer, trace).await?;
        tell_dropped(response.headers_mut(), &dropped);
        Ok(response)
    }

    async fn translated(
        &self,
        proxy: &Proxy,
        talk: &Talk,
        client: Client,
        answer: Answer,
        trace: &mut Trace,
    ) -> Result<Response<Body>, Fault> {
        let (voice, tongue) = (client.voice, self.provider().tongue());
        if !talk.stream {
            let said = answer.whole().await?;
            let (written, told) = translate::whole_told(tongue, client, &said, talk.may_call(), self.now())
                .map_err(|fault| self.scrubbed(fault))?;
            if let Some(thoughts) = told.thoughts {
                self.provider().keep_thoughts(&self.choice.target.model, *thoughts);
            }
            let response = given(voice.content_type(false), written, trace);
            trace.told(figures_of(told.usage));
            return Ok(response);
        }
        let mut translation = Translation::new(tongue, client);
        if talk.may_call() {
            translation.keep_thoughts();
        }
        let beginning = Beginning::translated(translation);
        let mut response = self.stream(proxy, answer, beginning, trace).await?;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(voice.content_type(true)));
        Ok(response)
    }

    async fn embed(&self, route: EmbedRoute, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        let wanted = EmbedRequest::of(route, &self.body)?;
        if let Some(loaded) = wanted.nothing_said(self.now()) {
            return Ok(given(reply::JSON, loaded, trace));
        }
        let Target { model, flavour, .. } = &self.choice.target;
        let body = if *flavour == Flavour::Compatible { wanted.for_compatible(model) } else { wanted.for_openai(model) };
        let answer = self.call("/embeddings", body).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal().await.0);
        }
        let written = wanted.from_openai(&answer.whole().await?, self.now()).map_err(|fault| self.scrubbed(fault))?;
        Ok(given(reply::JSON, written, trace))
    }

    /// Anthropic counts its own; for others the tokens are estimated.
    async fn count(&self, trace: &mut Trace) -> Result<Response<Body>, Fault> {
        if self.provider().tongue() == Tongue::Anthropic {
            let body = translate::with_model(&self.body, &self.choice.target.model)?;
            let answer = self.call("/messages/count_tokens", body).await?;
            if !answer.status.is_success() {
                return self.refused(answer).await;
            }
            return Ok(given(V1_JSON, answer.whole().await?, trace));
        }
        let tokens = translate::count_tokens(&self.body)?;
        Ok(given(V1_JSON, json!({ "input_tokens": tokens }).to_string(), trace))
    }

    /// Calls for a success. What the model turns out not to take is left out, and from then on at once: clients of other
    /// dialects cannot know it.
    async fn call_without_refused(&self, path: &str, mut body: Bytes, dropped: &mut Vec<String>) -> Result<Answer, Fault> {
        let model = self.choice.target.model.as_str();
        let mut leave_out = |body: &mut Bytes, key: &str| {
            let less = translate::without(body, key);
            if let Some(less) = &less {
                *body = less.body.clone().into();
                dropped.extend(less.dropped.then(|| key.to_owned()));
            }
            less.is_some()
        };
        for key in self.provider().refused_by(model) {
            leave_out(&mut body, key);
        }
        let mut refusals = 0;
        loop {
            let answer = self.call(path, body.clone()).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let (fault, said) = answer.refusal().await;
            let key = translate::refused_parameter(&said).filter(|_| refusals < MOST_REFUSALS);
            let Some(key) = key.filter(|key| leave_out(&mut body, key)) else { return Err(fault) };
            tracing::info!(
                provider = self.provider().word(),
                model,
                parameter = key,
                "the model does not take it; asked again without"
            );
            self.provider().learn_refusal(model, key);
            refusals += 1;
        }
    }

    async fn call(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, Fault> {
        let (model, client) = (self.choice.target.model.as_str(), Some(&self.head.headers));
        let content_type = self.head.headers.get(header::CONTENT_TYPE).filter(|_| self.form);
        self.provider().call(Call { method: Method::POST, path, model, body: body.into(), content_type, client }).await
    }

    async fn stream(
        &self,
        proxy: &Proxy,
        answer: Answer,
        beginning: Beginning,
        trace: &mut Trace,
    ) -> Result<Response<Body>, Fault> {
        let limit = proxy.0.settings.timeouts.request_limit.map(|limit| self.began + limit);
        let body = begin(self, answer, beginning, limit, trace).await.map_err(|fault| self.scrubbed(fault))?;
        let mut response = Response::new(body);
        hold_nowhere(response.headers_mut());
        Ok(response)
    }

    /// A provider may repeat our key in an error.
    fn scrubbed(&self, mut fault: Fault) -> Fault {
        fault.text = self.provider().without_key(&fault.text).into();
        fault
    }
}

fn cannot(why: &'static str) -> Fault {
    Fault::client(Kind::BadRequest, why)
}

/// A whole answer.
fn given(content_type: &'static str, body: impl Into<Bytes>, trace: &mut Trace) -> Response<Body> {
    let body = body.into();
    trace.passed(body.len());
    let mut tally = Tally::default();
    tally.feed(&body);
    trace.told(tally.figures());
    reply::whole(StatusCode::OK, content_type, body)
}

/// The body of a form with another model in it; `None` where it names none.
pub(super) fn form_with_model(head: &Parts, form: &[u8], model: &str) -> Option<Bytes> {
    let (_, at) = classify::form_model(&head.headers, form)?;
    Some([&form[..at.start], model.as_bytes(), &form[at.end..]].concat().into())
}

/// Names what of the request could not be told, if anything.
pub(super) fn tell_dropped(headers: &mut HeaderMap, dropped: &[String]) {
    if let Ok(names) = HeaderValue::from_str(&dropped.join(", ")) {
        if !dropped.is_empty() {
            headers.insert(DROPPED, names);
        }
    }
}

/// A stream is for now: no cache keeps it, and no other proxy holds it back.
pub(super) fn hold_nowhere(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEL, HeaderValue::from_static("no"));
}

/// The time, for what is written now.
pub(super) fn now(began: Instant) -> Now {
    Now { wall: SystemTime::now(), since: began.elapsed() }
}

/// Letters and digits of the request's id, which name its answer too.
pub(super) fn id_of(trace: &Trace) -> String {
    let id = trace.id().to_str().unwrap_or_default();
    id.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}
