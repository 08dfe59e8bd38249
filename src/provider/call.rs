//! Calls of a provider: addresses, credentials, and what comes back. A call ends when its answer is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Provider;
use crate::config::{ProviderKind, Secret};
use crate::translate;
use crate::upstream::{self, Idle, Trouble, outward};
use crate::values::{self, Fault, Kind, Retry, Whose};

/// Silence after which it is given up: models that reason say nothing for minutes.
const SILENCE: Duration = Duration::from_secs(600);

/// The longest whole answer that is read.
const LONGEST: usize = 64 * 1024 * 1024;

/// As much of an error's text as is read.
const LONGEST_ERROR: usize = 64 * 1024;

const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Headers of a client that a provider may see; all others stay here, its own keys among them.
const TO_PROVIDER: [HeaderName; 4] =
    [ANTHROPIC_VERSION, ANTHROPIC_BETA, HeaderName::from_static("openai-beta"), HeaderName::from_static("traceparent")];

/// Headers of a provider that a client may see.
const TO_CLIENT: [&str; 4] = ["x-ratelimit-", "anthropic-ratelimit-", "openai-processing-ms", "retry-after"];

/// As what we call.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("ollama-proxy/", env!("CARGO_PKG_VERSION")));

/// There is no TLS for calls of providers.
#[derive(Debug)]
pub struct NoTls(pub(super) std::io::Error);

impl std::fmt::Display for NoTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no TLS for cloud providers: {}", self.0)
    }
}

impl std::error::Error for NoTls {}

/// What to ask of a provider.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// Behind `/v1`, such as `/chat/completions`.
    pub path: &'a str,
    /// The model at the provider, which Azure wants in the address.
    pub model: &'a str,
    /// JSON, unless `content_type` says otherwise; empty for none.
    pub body: Bytes,
    /// The type of a body that is no JSON.
    pub content_type: Option<&'a HeaderValue>,
    /// The headers of the client; only harmless ones are passed on.
    pub client: Option<&'a HeaderMap>,
}

/// The head of a provider's answer, with its body behind it.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its type.
    pub content_type: Option<HeaderValue>,
    /// What of its headers a client may see.
    pub headers: HeaderMap,
    retry_after: Option<Duration>,
    body: AnswerBody,
    provider: Provider,
}

/// The bytes of an answer. Dropping it ends the call.
pub struct AnswerBody {
    /// `None` only while dropping.
    rest: Option<upstream::AnswerBody>,
    home: Idle,
    silence: Pin<Box<Sleep>>,
    /// Whether the silence is being counted: only while somebody listens.
    waiting: bool,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnswerBody")
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(rest).poll_frame(cx);
        let waited = std::mem::replace(&mut self.waiting, polled.is_pending());
        if polled.is_ready() {
            return polled;
        }
        if !waited {
            self.silence.as_mut().reset(Instant::now() + SILENCE);
        }
        self.silence.as_mut().poll(cx).map(|()| Some(Err(Trouble::Silent)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.rest = None;
        self.home.sweep_later();
    }
}

impl Provider {
    /// Sends a call and waits for the head of its answer.
    ///
    /// # Errors
    /// `Died` or `Timeout` when there is none.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, Fault> {
        let url = self.url(&call).map_err(|why| self.fault(Kind::Died, &why))?;
        let mut request = Request::new(call.body);
        (*request.method_mut(), *request.uri_mut()) = (call.method, url);
        *request.headers_mut() = self.headers(call.client);
        if !request.body().is_empty() {
            let kind = call.content_type.cloned().unwrap_or(HeaderValue::from_static("application/json"));
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        let answered = timeout(SILENCE, outward::send(request, Some(&self.0.home))).await.unwrap_or(Err(Trouble::Silent));
        let (head, rest) = answered
            .map_err(|trouble| self.fault(kind_of(&trouble), &format!("it could not be reached: {trouble}")))?
            .into_parts();
        let headers = head.headers;
        let may_pass = |name: &HeaderName| TO_CLIENT.iter().any(|known| name.as_str().starts_with(known));
        let passed = headers.iter().filter(|(name, _)| may_pass(name));
        let passed = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Answer {
            status: head.status,
            content_type: headers.get(header::CONTENT_TYPE).cloned(),
            headers: passed,
            retry_after: retry_after(&headers),
            body: AnswerBody { rest: Some(rest), home: self.0.home.clone(), silence: Box::pin(sleep(SILENCE)), waiting: false },
            provider: self.clone(),
        })
    }

    fn url(&self, call: &Call<'_>) -> Result<Uri, String> {
        let (config, path) = (&self.0.config, call.path);
        let base = &config.base;
        let text = match (config.kind, &config.api_version) {
            (ProviderKind::OpenAi, _) => format!("{base}{path}"),
            (ProviderKind::Anthropic, _) => format!("{base}/v1{path}"),
            (ProviderKind::Azure, None) => format!("{base}/openai/v1{path}"),
            (ProviderKind::Azure, Some(version)) => {
                // A name from a client's request stays one segment, whatever letters it has.
                let model = values::encoded_part(call.model);
                if matches!(model.as_str(), "." | "..") {
                    return Err("the name of its model is none".to_owned());
                }
                format!("{base}/openai/deployments/{model}{path}?api-version={version}")
            }
        };
        values::url(&text).map_err(|why| format!("its address is no URL: {why}"))
    }

    fn headers(&self, client: Option<&HeaderMap>) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([(header::USER_AGENT, AGENT)]);
        for name in TO_PROVIDER {
            let given = client.iter().flat_map(|client| client.get_all(&name));
            headers.extend(given.map(|value| (name.clone(), value.clone())));
        }
        let kind = self.0.config.kind;
        if kind == ProviderKind::Anthropic {
            headers.entry(ANTHROPIC_VERSION).or_insert(HeaderValue::from_static("2023-06-01"));
        }
        if let Some((name, value)) = self.0.config.key.as_ref().and_then(|key| credential(kind, key)) {
            headers.insert(name, value);
        }
        headers
    }

    /// A fault of this provider's that came before or within an answer.
    pub fn fault(&self, kind: Kind, why: &str) -> Fault {
        let text = self.without_key(&format!("{}: {why}", self.word()));
        Fault { kind, whose: Whose::Provider, retry: Retry::After(Duration::from_secs(10)), text: text.into() }
    }

    /// A text without the key, which some providers repeat. Shorter keys are masked here than [`KeyGuard`] masks in answers:
    /// these are our own words, which a mask in the wrong place does no harm.
    ///
    /// [`KeyGuard`]: super::KeyGuard
    pub fn without_key(&self, text: &str) -> String {
        match &self.0.config.key {
            Some(key) if key.reveal().len() >= 4 => text.replace(key.reveal(), "…"),
            _ => text.to_owned(),
        }
    }
}

impl Answer {
    /// The body, to be streamed.
    pub fn into_body(self) -> AnswerBody {
        self.body
    }

    /// The whole body of a success.
    ///
    /// # Errors
    /// It breaks off, or is longer than any answer should be.
    pub async fn whole(mut self) -> Result<Bytes, Fault> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > LONGEST {
                return Err(self.provider.fault(Kind::Died, "its answer is longer than 64 MiB"));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// The next bytes.
    ///
    /// # Errors
    /// The answer breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Fault> {
        let frame = self.body.frame().await.transpose().map_err(|trouble| broke_off(&self.provider, &trouble))?;
        Ok(frame.and_then(|frame| frame.into_data().ok()))
    }

    /// The fault that an answer which is no success is, and its own body, as far as it is short and holds no key.
    pub async fn refusal(mut self) -> (Fault, Bytes) {
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST_ERROR {
                break;
            }
        }
        let body = self.provider.without_key(&String::from_utf8_lossy(&body));
        let fault = translate::of_answer(self.provider.word(), self.status.as_u16(), body.as_bytes(), self.retry_after);
        (fault, body.into())
    }
}

/// An answer that did not come to its end.
pub fn broke_off(provider: &Provider, trouble: &Trouble) -> Fault {
    provider.fault(kind_of(trouble), &format!("its answer broke off: {trouble}"))
}

fn kind_of(trouble: &Trouble) -> Kind {
    if matches!(trouble, Trouble::Silent | Trouble::NoAnswer) { Kind::Timeout } else { Kind::Died }
}

fn credential(kind: ProviderKind, key: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let (name, text) = match kind {
        ProviderKind::OpenAi => (header::AUTHORIZATION, format!("Bearer {}", key.reveal())),
        ProviderKind::Anthropic => (HeaderName::from_static("x-api-key"), key.reveal().to_owned()),
        ProviderKind::Azure => (HeaderName::from_static("api-key"), key.reveal().to_owned()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    // So that nobody's debug output shows it.
    value.set_sensitive(true);
    Some((name, value))
}

/// When to come again, in any of the ways in which providers say it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let millis = number("retry-after-ms").or_else(|| number("x-ms-retry-after-ms")).map(|millis| millis / 1000.0);
    Duration::try_from_secs_f64(millis.or_else(|| number("retry-after"))?.ceil().max(1.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderConfig;
    use crate::provider::Providers;

    fn url(kind: ProviderKind, base: &str, version: Option<&str>, model: &str) -> String {
        let api_version = version.map(str::to_owned);
        let config = ProviderConfig { kind, base: base.to_owned(), key: None, models: vec![], api_version };
        let providers = Providers::new(&[config]).unwrap();
        let call =
            Call { method: Method::POST, path: "/chat/completions", model, body: Bytes::new(), content_type: None, client: None };
        providers.all()[0].url(&call).unwrap().to_string()
    }

    #[test]
    fn each_provider_has_its_own_way_to_an_address() {
        let openai = url(ProviderKind::OpenAi, "https://api.openai.com/v1", None, "m");
        assert_eq!(openai, "https://api.openai.com/v1/chat/completions");
        let anthropic = url(ProviderKind::Anthropic, "https://api.anthropic.com", None, "m");
        assert_eq!(anthropic, "https://api.anthropic.com/v1/chat/completions");
        let azure = url(ProviderKind::Azure, "https://me.openai.azure.com", None, "m");
        assert_eq!(azure, "https://me.openai.azure.com/openai/v1/chat/completions");
        let older = url(ProviderKind::Azure, "https://me.openai.azure.com", Some("2025-04-01-preview"), "a/../?b");
        let path = "openai/deployments/a%2F..%2F%3Fb/chat/completions?api-version=2025-04-01-preview";
        assert_eq!(older, format!("https://me.openai.azure.com/{path}"));
    }

    #[test]
    fn a_wait_may_be_told_in_three_ways() {
        let wait = |name: &'static str, value: &'static str| {
            retry_after(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]))
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("retry-after-ms", "1500"), Some(Duration::from_secs(2)));
        assert_eq!(wait("x-ms-retry-after-ms", "20"), Some(Duration::from_secs(1)));
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "-9e999"), Some(Duration::from_secs(1)));
    }
}
