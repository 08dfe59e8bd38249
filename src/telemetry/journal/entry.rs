//! What is written down: wakes with their cause, changes of state, sleeps, requests. Never a word of a prompt: of what
//! a client sends only the model's name is kept, and that clipped.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::Error;
use serde::{Deserialize, Serialize};

/// A word from a fixed list, or one that was read back from the disk.
pub type Word = Cow<'static, str>;

/// One thing that happened, as `GET /journal` and the event `journal` show it: the fields of its kind stand beside
/// `kind`. All times are Unix seconds, `null` where unknown. An entry that is told again under the same `seq` has learnt
/// more and replaces what was told before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Counts up from one over all restarts.
    pub seq: u64,
    /// When.
    pub at: f64,
    /// The node that it happened to.
    pub node: Option<String>,
    /// What.
    #[serde(flatten)]
    pub event: Event,
    /// When it last changed, in changes of the whole journal.
    #[serde(skip)]
    pub(super) revision: u64,
}

impl Entry {
    /// A line of the file. The fields of its kind stand beside those of every entry: it is read once for each, which takes
    /// a quarter of the code of serde's `flatten`.
    pub(super) fn read(line: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Frame {
            seq: u64,
            at: f64,
            #[serde(default)]
            node: Option<String>,
            kind: Word,
        }
        let Frame { seq, at, node, kind } = serde_json::from_slice(line)?;
        let event = match kind.as_ref() {
            "wake" => Event::Wake(serde_json::from_slice(line)?),
            "state" => Event::State(serde_json::from_slice(line)?),
            "sleep" => Event::Sleep(serde_json::from_slice(line)?),
            "request" => Event::Request(serde_json::from_slice(line)?),
            "refused" => Event::Refused(serde_json::from_slice(line)?),
            "start" => Event::Start(serde_json::from_slice(line)?),
            "unused" => Event::Unused(serde_json::from_slice(line)?),
            other => return Err(serde_json::Error::custom(format!("no entry is of the kind {other:?}"))),
        };
        Ok(Self { seq, at, node, event, revision: 0 })
    }
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// Somebody or something wanted a machine awake, and what came of it.
    Wake(Box<Wake>),
    /// A node stands otherwise than before.
    State(Turn),
    /// A sleep, as far as there is evidence of it.
    Sleep(Sleep),
    /// A request that wanted more than a list.
    Request(Box<Request>),
    /// A client was kept from what it wanted by a limit of its own; told once, not for each request.
    Refused(Refused),
    /// This program started.
    Start(Start),
    /// A machine is awake for long, and nobody uses it, as its worker says.
    Unused(Unused),
}

impl Event {
    /// Whether it is about the power of machines. Requests come by the thousand and must not push these out.
    pub(super) fn is_request(&self) -> bool {
        matches!(self, Self::Request(_))
    }
}

/// Who wanted a machine awake.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// `request`, `manual`, `keep_awake` or `interval`.
    pub trigger: Word,
    /// The client's address.
    pub client: Option<String>,
    /// The family of its `User-Agent`.
    pub agent: Option<Word>,
    /// The route as a template, such as `/api/chat`.
    pub path: Option<Word>,
    /// The model that was asked for.
    pub model: Option<String>,
}

impl Cause {
    /// A person's explicit wish.
    pub fn manual(client: Option<IpAddr>, agent: Option<&'static str>) -> Self {
        let client = client.map(|client| client.to_canonical().to_string());
        Self { trigger: "manual".into(), client, agent: agent.map(Word::from), ..Self::default() }
    }

    /// A request that needs the GPU.
    pub fn request(client: IpAddr, agent: &'static str, path: &'static str, model: Option<&str>) -> Self {
        Self {
            trigger: "request".into(),
            client: Some(client.to_canonical().to_string()),
            agent: Some(agent.into()),
            path: Some(path.into()),
            model: model.map(|model| clipped(model, MODEL)),
        }
    }

    /// Our own wish, in the owner's name: `keep_awake` or `interval`.
    pub fn own(trigger: &'static str) -> Self {
        Self { trigger: trigger.into(), ..Self::default() }
    }

    /// In words, for logs and pages.
    pub fn words(&self) -> String {
        let who = match (&self.client, &self.agent) {
            (Some(client), Some(agent)) => format!(" from {client} ({agent})"),
            (Some(client), None) => format!(" from {client}"),
            (None, _) => String::new(),
        };
        let what = match (&self.path, &self.model) {
            (Some(path), Some(model)) => format!("{path} {model}"),
            (Some(path), None) => path.clone().into_owned(),
            (None, _) => match self.trigger.as_ref() {
                "manual" => "a person's wake".to_owned(),
                other => other.replace('_', " "),
            },
        };
        format!("{what}{who}")
    }
}

/// One wake of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wake {
    /// Who wanted it.
    pub cause: Cause,
    /// Magic packets sent.
    pub packets: u64,
    /// Calls of the wake URL.
    pub url_calls: u64,
    /// Until a TCP connect succeeded.
    pub seconds_to_connect: Option<f64>,
    /// Until HTTP was spoken.
    pub seconds_to_http: Option<f64>,
    /// Until a request that waited got its first byte, the model's load included.
    pub seconds_to_first_byte: Option<f64>,
    /// It had been seen asleep; else it may have been up all the time.
    pub slept: bool,
    /// `awake`; `failed`: nothing was heard until the deadline; `refused`: it is up, its Ollama is not; `given_up`: it
    /// refused before any packet was sent, and was polled in vain. `null`: nobody waited for an answer.
    pub result: Option<Word>,
    /// How long it took, well or not.
    pub seconds: Option<f64>,
}

/// A change of state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// The state before, as a word of the power machine.
    pub from: Word,
    /// The state after.
    pub to: Word,
    /// What was observed.
    pub why: Option<String>,
}

/// A sleep: from the end of its last use until it was found or announced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sleep {
    /// When it probably fell asleep.
    pub from: f64,
    /// Until when it is known to have slept.
    pub until: f64,
    /// `found asleep`: it did not answer; `announced`: its worker said so.
    pub evidence: Word,
}

/// A machine that is awake for nobody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unused {
    /// Since it last had work.
    pub seconds: f64,
    /// What keeps it awake, where its worker looked for that.
    pub why: Option<String>,
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// The client's address.
    pub client: String,
    /// The family of its `User-Agent`.
    pub agent: Word,
    /// `GET` and so on.
    pub method: Word,
    /// The route as a template.
    pub route: Word,
    /// The model as the client named it, clipped.
    pub model: Option<String>,
    /// What it was answered.
    pub status: u16,
    /// From its coming to the end of its answer.
    pub seconds: f64,
    /// Thereof held for a wake.
    pub held_seconds: Option<f64>,
    /// Thereof waited for a place.
    pub queued_seconds: Option<f64>,
    /// From its coming to the first byte of its answer.
    pub first_byte_seconds: Option<f64>,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of its answer.
    pub bytes_out: u64,
    /// Tokens of the prompt.
    pub tokens_in: Option<u64>,
    /// Tokens generated.
    pub tokens_out: Option<u64>,
    /// `done`, `failed` or `client_left`.
    pub outcome: Word,
}

/// A client that wants more than it may.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// Its address, or the name of its key.
    pub client: String,
    /// `wake_budget`.
    pub reason: Word,
}

/// A start of this program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Its version.
    pub version: Word,
    /// When it was last seen running before: what happened since then is not known.
    pub down_since: Option<f64>,
}

/// Letters of a model's name that are kept.
pub const MODEL: usize = 128;

/// Letters of a reason that are kept.
const WHY: usize = 300;

impl Turn {
    /// A change from one word of the power machine to another.
    pub fn new(from: &'static str, to: &'static str, why: Option<&str>) -> Self {
        Self { from: from.into(), to: to.into(), why: why.map(|why| clipped(why, WHY)) }
    }
}

/// At most so many letters.
pub fn clipped(text: &str, letters: usize) -> String {
    // As most are: a letter has at least one byte.
    if text.len() <= letters { text.to_owned() } else { text.chars().take(letters).collect() }
}

/// Milliseconds are enough for a reader.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// A stretch of time as it is written down.
pub fn seconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64())
}

/// A moment as it is written down: Unix seconds.
pub fn unix(time: SystemTime) -> f64 {
    rounded(time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_a_sentence_of_who_and_what() {
        let client = "192.168.1.7".parse().unwrap();
        let cause = Cause::request(client, "open-webui", "/api/chat", Some("llama3.2:3b"));
        assert_eq!(cause.words(), "/api/chat llama3.2:3b from 192.168.1.7 (open-webui)");
        assert_eq!(Cause::manual(None, None).words(), "a person's wake");
        assert_eq!(Cause::manual(Some(client), Some("browser")).words(), "a person's wake from 192.168.1.7 (browser)");
        assert_eq!(Cause::own("keep_awake").words(), "keep awake");
    }

    #[test]
    fn of_a_model_only_its_beginning_is_kept() {
        let cause = Cause::request([127, 0, 0, 1].into(), "curl", "/api/chat", Some(&"é".repeat(10_000)));
        assert_eq!(cause.model.map(|model| model.chars().count()), Some(MODEL));
    }

    #[test]
    fn an_ipv4_client_is_named_so_on_a_listener_for_both() {
        let cause = Cause::manual(Some("::ffff:10.0.0.5".parse().unwrap()), None);
        assert_eq!(cause.client.as_deref(), Some("10.0.0.5"));
    }
}
