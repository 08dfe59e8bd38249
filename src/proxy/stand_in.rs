//! Models that stand in for the one that was asked for, when no node can serve that in time (`fallback` of the node file).
//! Never after the first byte: what has begun to answer is the client's answer.

use std::time::Duration;

use bytes::Bytes;
use hyper::header;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use super::cloud::form_with_model;
use super::send::Payload;
use super::{Proxy, Question, Trace};
use crate::classify::{self, Ask, Class};
use crate::config::FallbackWait;
use crate::fleet::power::Power;
use crate::http::{Body, Buffered, headers};
use crate::translate;
use crate::values::{Fault, Kind, ModelKey, Retry, Whose};

/// How long a request waits for its model while another could stand in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    began: Instant,
    settings: FallbackWait,
}

impl Patience {
    /// What is left of it after waiting so long for a place.
    pub(super) fn left(self, waited: Duration) -> Option<Duration> {
        self.settings.wait.checked_sub(waited)
    }

    /// When a node is waited for no longer that wakes, or is up while Ollama is `down` on it; the wake itself goes on.
    pub(super) fn ends(self, down: bool) -> Option<Instant> {
        (down || self.settings.asleep).then(|| self.began + self.settings.wait)
    }

    /// The fault that leads to the next model, and to no other node.
    pub(super) fn over(self, who: &str) -> Fault {
        let wait = humantime::format_duration(self.settings.wait);
        Fault::ours(
            Kind::Busy,
            Retry::After(Duration::from_secs(30)),
            format!("{who} could not serve within {wait} (--fallback-wait)"),
        )
    }
}

/// Whether another model may stand in after a fault. `may_wake` tells that a sleeping node could still be woken, so that
/// being asleep was the request's own wish.
fn leads_on(fault: &Fault, asleep_counts: bool, may_wake: bool) -> bool {
    match fault.kind {
        Kind::NoNode | Kind::Refusing | Kind::WakeFailed | Kind::Died | Kind::Busy => true,
        Kind::Overloaded | Kind::Limited | Kind::Credentials => true,
        Kind::Asleep => asleep_counts || !may_wake,
        // `--request-limit` is a hard end.
        Kind::Timeout => fault.whose == Whose::Provider,
        // A name that nobody has is the client's affair, and its 404 makes `ollama run` pull.
        Kind::NotFound
        | Kind::BadRequest
        | Kind::Unauthorized
        | Kind::Forbidden
        | Kind::Method
        | Kind::SlowClient
        | Kind::Conflict
        | Kind::TooLarge
        | Kind::Draining
        | Kind::Loop => false,
    }
}

/// The same for a provider's own error, which would pass as it is.
fn refuses(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

impl Proxy {
    /// The models that stand in for that of an ask, in their order.
    pub(super) fn stand_ins(&self, ask: &Ask, head: &Parts) -> Vec<String> {
        let rules = self.0.scheduler.rules();
        let off = self.0.settings.fallback_wait.is_none() || rules.stand_ins.is_empty();
        if off || ask.class != Class::Inference || head.headers.contains_key(headers::NODE) {
            return Vec::new();
        }
        let Some(key) = ask.key.as_ref() else { return Vec::new() };
        let known = rules.stand_ins.iter().find(|(model, _)| ModelKey::of(model) == *key);
        known.map(|(_, others)| others.clone()).unwrap_or_default()
    }

    /// Asks for the model, then for each that stands in for it. Of the last one the client waits as for any.
    pub(super) async fn answer_or_stand_in(
        &self,
        first: Question<'_>,
        others: Vec<String>,
        trace: &mut Trace,
    ) -> Result<Response<Body>, Fault> {
        let form = classify::is_form(&first.head.method, first.head.uri.path(), &first.head.headers);
        let plain = || classify::decoded(first.head.uri.path(), &first.head.headers, first.bytes);
        let body = if form { Some(first.bytes.clone()) } else { plain() };
        // What streams through is gone with the first attempt.
        let Some(body) = body.filter(|_| matches!(first.payload, Payload::Buffered(_))) else {
            return self.answer_one(first, None, trace).await;
        };
        let asked = first.ask.model.clone().unwrap_or_default();
        let (mut head, caller) = (first.head.clone(), first.caller.clone());
        head.headers.remove(header::CONTENT_ENCODING);
        let last = others.len();
        let mut failed = match self.step(first, last > 0, trace).await {
            Step::Ends(answer) => return answer,
            Step::LeadsOn(fault) => fault,
        };
        for (number, model) in others.into_iter().enumerate() {
            let Some(bytes) = put_to(&head, &body, form, &model) else { break };
            tracing::info!(asked, model, why = %failed, "another model stands in");
            let ask = classify::classify(&head.method, head.uri.path(), &head.headers, &bytes);
            trace.stands_in(&ask);
            let payload = Payload::Buffered(Buffered::beside(bytes.clone()));
            let question = Question { head: &head, ask, payload, bytes: &bytes, caller: caller.clone() };
            match self.step(question, number + 1 < last, trace).await {
                Step::Ends(answer) => return answer,
                Step::LeadsOn(fault) => failed.text = format!("{}; {model} in its place: {fault}", failed.text).into(),
            }
        }
        Err(failed)
    }

    async fn step(&self, question: Question<'_>, others: bool, trace: &mut Trace) -> Step {
        let settings = self.0.settings.fallback_wait;
        let asleep = settings.is_some_and(|settings| settings.asleep);
        let patience = settings.filter(|_| others).map(|settings| Patience { began: Instant::now(), settings });
        let ended = self.answer_one(question, patience, trace).await;
        match ended {
            Err(fault) if leads_on(&fault, asleep, self.may_yet_wake()) => Step::LeadsOn(fault),
            Ok(response) if others && refuses(response.status()) && !trace.is_handed_on() => {
                let text = format!("whoever has it answered {}", response.status());
                Step::LeadsOn(Fault { kind: Kind::Died, whose: Whose::Provider, retry: Retry::Never, text: text.into() })
            }
            ended => Step::Ends(ended),
        }
    }

    /// Whether some node sleeps that could be woken.
    fn may_yet_wake(&self) -> bool {
        self.0.fleet.nodes().enabled().any(|node| {
            let view = node.view();
            view.means.any() && !matches!(view.power, Power::WakeFailed { .. })
        })
    }
}

/// The body with another model in it: JSON, or a form that was read whole.
fn put_to(head: &Parts, body: &Bytes, form: bool, model: &str) -> Option<Bytes> {
    if form { form_with_model(head, body, model) } else { translate::with_model(body, model).ok().map(Bytes::from) }
}

/// How asking for one model ended.
enum Step {
    /// With the client's answer.
    Ends(Result<Response<Body>, Fault>),
    /// So that another may stand in.
    LeadsOn(Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind, whose: Whose) -> Fault {
        Fault { kind, whose, retry: Retry::Never, text: "".into() }
    }

    #[test]
    fn another_model_stands_in_where_no_node_can_serve_and_never_for_a_mistake_of_the_client() {
        for kind in [Kind::NoNode, Kind::Refusing, Kind::WakeFailed, Kind::Died, Kind::Busy, Kind::Overloaded, Kind::Limited] {
            assert!(leads_on(&fault(kind, Whose::Node), false, true), "{kind:?}");
        }
        for kind in [Kind::NotFound, Kind::BadRequest, Kind::Forbidden, Kind::TooLarge, Kind::Draining, Kind::Loop] {
            assert!(!leads_on(&fault(kind, Whose::Client), true, false), "{kind:?}");
        }
    }

    #[test]
    fn asleep_counts_only_when_it_is_to_or_when_nothing_can_be_done_about_it() {
        let asleep = fault(Kind::Asleep, Whose::Node);
        assert!(!leads_on(&asleep, false, true));
        assert!(leads_on(&asleep, true, true) && leads_on(&asleep, false, false));
        let settings = |asleep| FallbackWait { wait: Duration::from_secs(20), asleep };
        let patience = |asleep| Patience { began: Instant::now(), settings: settings(asleep) };
        assert!(patience(true).ends(false).is_some() && patience(false).ends(false).is_none());
        assert!(patience(false).ends(true).is_some(), "Ollama is down: that is no sleep");
        assert_eq!(patience(false).left(Duration::from_secs(21)), None);
    }

    #[test]
    fn a_hard_end_of_the_request_is_an_end() {
        assert!(!leads_on(&fault(Kind::Timeout, Whose::Node), true, false));
        assert!(leads_on(&fault(Kind::Timeout, Whose::Provider), false, true));
    }
}
