//! Whether an idle machine may be put to sleep now. Pure: facts in, verdict out.

use std::time::Duration;

/// What hinders a sleep without telling when it ends is looked at again so often.
const AGAIN: Duration = Duration::from_secs(60);

/// What is known of the use of this machine at one moment. Times are how long ago something was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// A request runs here, or a lease lives.
    pub busy: bool,
    /// The last request that came through us, or our start.
    pub last_work: Duration,
    /// The last time that a model was seen to have been used without us.
    pub local_use: Option<Duration>,
    /// Connections to Ollama's port that are not ours; `None`: the system did not tell.
    pub connections: Option<u64>,
    /// Who else forbids the system to sleep, in words.
    pub inhibitors: Vec<String>,
    /// When somebody was last at the keyboard.
    pub person: Person,
    /// A window of `--keep-awake` that is open; how long until it may end.
    pub kept_awake: Option<Duration>,
}

/// Whether somebody sits there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Person {
    /// The system does not tell.
    #[default]
    Unknown,
    /// Somebody uses it now.
    Here,
    /// Nobody has touched it for so long.
    AwayFor(Duration),
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nobody needs it: put it to sleep.
    Sleep,
    /// Not now.
    Wait {
        /// When to look again; work that ends is looked at by itself.
        again: Duration,
        /// Why, for the log and the pages.
        why: String,
    },
}

/// The whole decision. `after` is how long nobody must have used the machine.
pub fn decide(facts: &Facts, after: Duration) -> Verdict {
    if facts.busy {
        return wait(AGAIN, "a request runs, or one is about to");
    }
    let used = facts.local_use.map_or(facts.last_work, |local| local.min(facts.last_work));
    if let Some(left) = after.checked_sub(used).filter(|left| !left.is_zero()) {
        return wait(left, "it was used not long ago");
    }
    if let Some(until) = facts.kept_awake {
        return wait(until, "it is kept awake now (--keep-awake)");
    }
    match facts.person {
        Person::Here => return wait(AGAIN, "somebody uses the machine"),
        Person::AwayFor(away) if away < after => {
            return wait(after.saturating_sub(away), "somebody used the machine not long ago");
        }
        Person::AwayFor(_) | Person::Unknown => {}
    }
    match facts.connections {
        None => return wait(AGAIN, "the system did not tell whether others are connected to Ollama"),
        Some(0) => {}
        Some(1) => return wait(AGAIN, "another program is connected to Ollama"),
        Some(count) => return wait(AGAIN, format!("{count} connections of others to Ollama are open")),
    }
    match facts.inhibitors.first() {
        Some(who) => wait(AGAIN, format!("sleep is inhibited: {who}")),
        None => Verdict::Sleep,
    }
}

fn wait(again: Duration, why: impl Into<String>) -> Verdict {
    // Never zero: a look that ends in another one at once would spin.
    Verdict::Wait { again: again.max(Duration::from_secs(1)), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(1200);

    fn idle() -> Facts {
        Facts { last_work: AFTER, connections: Some(0), ..Facts::default() }
    }

    fn waits(facts: &Facts) -> (u64, String) {
        match decide(facts, AFTER) {
            Verdict::Wait { again, why } => (again.as_secs(), why),
            Verdict::Sleep => panic!("it sleeps with {facts:?}"),
        }
    }

    #[test]
    fn a_machine_that_nobody_uses_may_sleep() {
        assert_eq!(decide(&idle(), AFTER), Verdict::Sleep);
        let away = Facts { person: Person::AwayFor(AFTER), local_use: Some(AFTER), ..idle() };
        assert_eq!(decide(&away, AFTER), Verdict::Sleep);
    }

    #[test]
    fn every_use_keeps_it_awake_by_itself_and_says_so() {
        let minute = Duration::from_secs(60);
        for (facts, again, why) in [
            (Facts { busy: true, ..idle() }, 60, "request"),
            (Facts { last_work: minute, ..idle() }, 1140, "not long ago"),
            (Facts { local_use: Some(minute), ..idle() }, 1140, "not long ago"),
            (Facts { person: Person::Here, ..idle() }, 60, "somebody"),
            (Facts { person: Person::AwayFor(minute), ..idle() }, 1140, "somebody"),
            (Facts { connections: Some(1), ..idle() }, 60, "another program"),
            (Facts { connections: Some(3), ..idle() }, 60, "3 connections"),
            (Facts { connections: None, ..idle() }, 60, "did not tell"),
            (Facts { inhibitors: vec!["backup: nightly run".to_owned()], ..idle() }, 60, "backup: nightly run"),
            (Facts { kept_awake: Some(Duration::from_secs(300)), ..idle() }, 300, "--keep-awake"),
        ] {
            let (is, says) = waits(&facts);
            assert_eq!(is, again, "{facts:?}");
            assert!(says.contains(why), "{says}");
        }
    }

    #[test]
    fn a_wait_is_never_empty() {
        let facts = Facts { last_work: AFTER.saturating_sub(Duration::from_millis(1)), ..idle() };
        assert_eq!(waits(&facts).0, 1);
        assert_eq!(waits(&Facts { kept_awake: Some(Duration::ZERO), ..idle() }).0, 1);
    }
}
