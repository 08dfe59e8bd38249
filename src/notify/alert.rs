//! What the owner is told, and of which entries of the journal. Pure.

use serde_json::{Value, json};

use crate::telemetry::journal::{Entry, Event};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A machine did not wake, or woke without its Ollama.
    WakeFailed,
    /// An always-on node does not answer any more.
    NodeLost,
    /// A machine is awake for long and nobody uses it, as its worker says.
    AwakeTooLong,
    /// A trial.
    Test,
}

impl Kind {
    /// The word in JSON and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::WakeFailed => "wake_failed",
            Self::NodeLost => "node_lost",
            Self::AwakeTooLong => "awake_too_long",
            Self::Test => "test",
        }
    }

    fn title(self, node: &str) -> String {
        match self {
            Self::WakeFailed => format!("{node} did not wake"),
            Self::NodeLost => format!("{node} does not answer"),
            Self::AwakeTooLong => format!("{node} is awake and not used"),
            Self::Test => "ollama-proxy: a test".to_owned(),
        }
    }

    /// ntfy's names of small pictures, and its priority from 1 to 5.
    fn ntfy(self) -> (&'static str, u8) {
        match self {
            Self::WakeFailed => ("zzz", 4),
            Self::NodeLost => ("warning", 4),
            Self::AwakeTooLong => ("bulb", 3),
            Self::Test => ("white_check_mark", 3),
        }
    }
}

/// One message to the owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What happened.
    pub kind: Kind,
    /// To which node.
    pub node: Option<String>,
    /// In words.
    pub text: String,
    /// When, in Unix seconds.
    pub at: f64,
}

impl Alert {
    /// A trial.
    pub fn test(at: f64) -> Self {
        let text = "This is a test. When a wake fails or an always-on node is lost, you are told here.".to_owned();
        Self { kind: Kind::Test, node: None, text, at }
    }

    /// What this entry is worth to the owner, if anything. That a sleeper falls asleep is its purpose.
    pub(super) fn of(entry: &Entry, always_on: impl Fn(&str) -> bool) -> Option<Self> {
        let name = entry.node.as_deref()?;
        let (kind, text) = match &entry.event {
            Event::Wake(wake) => {
                let seconds = wake.seconds.unwrap_or_default();
                let asked = wake.cause.words();
                let text = match wake.result.as_deref()? {
                    "failed" => format!(
                        "It was wanted for {asked}. It did not answer within {seconds:.0} s; {} magic packets and {} calls of its wake URL \
                         went out. `ollama-proxy check` looks for the reason.",
                        wake.packets, wake.url_calls
                    ),
                    "refused" | "given_up" => format!(
                        "It was wanted for {asked}. The PC is on, but its Ollama refused connections for {seconds:.0} s: start Ollama there."
                    ),
                    _ => return None,
                };
                (Kind::WakeFailed, text)
            }
            Event::State(turn) if turn.from == "awake" && matches!(turn.to.as_ref(), "asleep" | "service_down") => {
                if !always_on(name) {
                    return None;
                }
                let why = turn.why.as_deref().unwrap_or("no answer");
                (Kind::NodeLost, format!("It is declared always on and does not answer any more ({why})."))
            }
            Event::Unused(unused) => {
                let hours = unused.seconds / 3600.0;
                let why = match &unused.why {
                    Some(why) => format!("its worker says: {why}"),
                    None => "let its own sleep timer run, start its worker with --suspend-after, or press Sleep on the page"
                        .to_owned(),
                };
                (Kind::AwakeTooLong, format!("It has been awake for {hours:.0} hours without any work; {why}."))
            }
            Event::State(_) | Event::Sleep(_) | Event::Request(_) | Event::Refused(_) | Event::Start(_) => return None,
        };
        Some(Self { kind, node: Some(name.to_owned()), text, at: entry.at })
    }

    fn title(&self) -> String {
        self.kind.title(self.node.as_deref().unwrap_or("a node"))
    }

    /// For a webhook: `{"event","node","title","message","at"}`.
    pub(super) fn webhook(&self) -> Value {
        json!({
            "event": self.kind.word(),
            "node": self.node,
            "title": self.title(),
            "message": self.text,
            "at": self.at,
        })
    }

    /// For ntfy's publishing as JSON.
    pub(super) fn ntfy(&self, topic: &str) -> Value {
        let (tag, priority) = self.kind.ntfy();
        json!({ "topic": topic, "title": self.title(), "message": self.text, "tags": [tag], "priority": priority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::journal::{Cause, Journal, Turn, Unused, Wake};

    fn alert_of(event: Event, always_on: bool) -> Option<Alert> {
        let journal = Journal::default();
        journal.note(Some("pc"), event);
        Alert::of(&journal.since(0)[0], |_| always_on)
    }

    fn wake(result: &'static str) -> Event {
        let cause = Cause::request([10, 0, 0, 7].into(), "open-webui", "/api/chat", Some("m"));
        let (result, seconds) = (Some(result.into()), Some(180.0));
        Event::Wake(Box::new(Wake { cause, packets: 40, result, seconds, ..Wake::default() }))
    }

    #[test]
    fn a_failed_wake_is_told_with_who_wanted_it_and_what_was_tried() {
        let alert = alert_of(wake("failed"), false).unwrap();
        assert_eq!((alert.kind, alert.node.as_deref()), (Kind::WakeFailed, Some("pc")));
        for part in ["10.0.0.7", "open-webui", "180 s", "40 magic packets"] {
            assert!(alert.text.contains(part), "{part} is not in {}", alert.text);
        }
        assert!(alert_of(wake("refused"), false).unwrap().text.contains("start Ollama"));
        assert_eq!(alert_of(wake("awake"), false), None);
    }

    #[test]
    fn a_machine_that_is_awake_for_nobody_is_told_with_what_keeps_it_awake() {
        let unused = |why: Option<&str>| Event::Unused(Unused { seconds: 15_000.0, why: why.map(str::to_owned) });
        let alert = alert_of(unused(Some("somebody uses the machine")), false).unwrap();
        assert_eq!(alert.kind, Kind::AwakeTooLong);
        assert!(alert.text.contains("4 hours") && alert.text.contains("somebody uses"), "{}", alert.text);
        assert!(alert_of(unused(None), false).unwrap().text.contains("--suspend-after"));
    }

    #[test]
    fn only_of_an_always_on_node_it_is_news_that_it_does_not_answer() {
        let lost = || Event::State(Turn::new("awake", "asleep", Some("no answer")));
        assert_eq!(alert_of(lost(), true).unwrap().kind, Kind::NodeLost);
        assert_eq!(alert_of(lost(), false), None);
        assert_eq!(alert_of(Event::State(Turn::new("unknown", "awake", None)), true), None);
    }

    #[test]
    fn both_forms_carry_the_same_words() {
        let alert = alert_of(wake("failed"), false).unwrap();
        let (webhook, ntfy) = (alert.webhook(), alert.ntfy("topic"));
        assert_eq!((&webhook["event"], &webhook["node"], &ntfy["topic"]), (&json!("wake_failed"), &json!("pc"), &json!("topic")));
        assert_eq!((&webhook["title"], &webhook["message"]), (&ntfy["title"], &ntfy["message"]));
    }
}
