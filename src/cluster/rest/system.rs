//! What the system tells about those who want it awake: inhibitors of others, and whether somebody sits at it. Its own tools are
//! asked, only when a sleep is due, and bounded.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::process::Command;

use super::decide::Person;

/// What one tool may take.
const TOOL: Duration = Duration::from_secs(5);

/// Service, path and interface.
const LOGIND: [&str; 3] = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];

/// Who else wants the system awake, and whether a person is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Inhibitors of others, in words.
    pub inhibitors: Vec<String>,
    /// Somebody at the keyboard.
    pub person: Person,
}

/// Asks the system.
pub async fn ask() -> Told {
    if cfg!(windows) {
        // `powercfg /requests` needs an administrator, and idle time is told only within a person's session.
        return Told::default();
    }
    if cfg!(target_os = "macos") {
        let assertions = run("pmset", &["-g", "assertions"]).await.unwrap_or_default();
        let input = run("ioreg", &["-c", "IOHIDSystem", "-d", "4"]).await.unwrap_or_default();
        return Told { inhibitors: assertions_of(&assertions), person: input_of(&input) };
    }
    let [service, path, interface] = LOGIND;
    let list = run("busctl", &["--json=short", "call", service, path, interface, "ListInhibitors"]).await;
    let hint = ["--json=short", "get-property", service, path, interface, "IdleHint", "IdleSinceHint"];
    let hint = run("busctl", &hint).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Told {
        inhibitors: list.map(|text| inhibitors_of(&text)).unwrap_or_default(),
        person: hint.map(|text| person_of(&text, now)).unwrap_or_default(),
    }
}

async fn run(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TOOL, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ListInhibitors` of logind: what, who, why, mode, user and process of each. Those that only delay a sleep do not forbid it,
/// and those of keys and lids say nothing about it.
fn inhibitors_of(text: &str) -> Vec<String> {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let all = answer["data"][0].as_array().map(Vec::as_slice).unwrap_or_default();
    let forbids = |one: &&Value| {
        let what = one[0].as_str().unwrap_or_default();
        one[3].as_str().is_some_and(|mode| mode.starts_with("block"))
            && what.split(':').any(|what| what == "sleep" || what == "idle")
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter().filter(forbids).map(|one| format!("{} ({})", word(&one[1]), word(&one[2]))).collect()
}

/// `IdleHint` and `IdleSinceHint` of logind, one JSON object per line. A session that never tells when it is idle counts as used.
fn person_of(text: &str, now: Duration) -> Person {
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_default());
    let (Some(idle), Some(since)) = (lines.next().and_then(|line| line["data"].as_bool()), lines.next()) else {
        return Person::Unknown;
    };
    let since = since["data"].as_u64().filter(|since| *since > 0).map(Duration::from_micros);
    match (idle, since) {
        (false, _) => Person::Here,
        (true, Some(since)) => Person::AwayFor(now.saturating_sub(since)),
        // Nobody is logged in.
        (true, None) => Person::Unknown,
    }
}

/// `pmset -g assertions`: a line per process that holds one.
fn assertions_of(text: &str) -> Vec<String> {
    let forbids = ["PreventUserIdleSystemSleep", "PreventSystemSleep", "NoIdleSleepAssertion"];
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("pid "));
    lines.filter(|line| forbids.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

/// `ioreg -c IOHIDSystem`: nanoseconds since the last touch of a key or the mouse.
fn input_of(text: &str) -> Person {
    let nanoseconds = text
        .lines()
        .find(|line| line.contains("\"HIDIdleTime\""))
        .and_then(|line| line.split('=').nth(1).and_then(|value| value.trim().parse::<u64>().ok()));
    nanoseconds.map_or(Person::Unknown, |idle| Person::AwayFor(Duration::from_nanos(idle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inhibitors_that_forbid_a_sleep_count() {
        let text = r#"{"type":"a(ssssuu)","data":[[["sleep","NetworkManager","turns networks off","delay",0,7],
            ["handle-power-key:handle-lid-switch","gnome","handles keys","block",1000,8],
            ["sleep:idle","backup","nightly run","block",0,9],["idle","player","film","block-weak",1000,10]]]}"#;
        assert_eq!(inhibitors_of(text), ["backup (nightly run)", "player (film)"]);
        assert_eq!(inhibitors_of("Failed to connect to bus"), Vec::<String>::new());
    }

    #[test]
    fn who_is_not_idle_is_there_and_who_is_idle_is_away_since_then() {
        let lines = |idle: bool, since: u64| format!("{{\"type\":\"b\",\"data\":{idle}}}\n{{\"type\":\"t\",\"data\":{since}}}\n");
        let now = Duration::from_secs(1000);
        assert_eq!(person_of(&lines(false, 400_000_000), now), Person::Here);
        assert_eq!(person_of(&lines(true, 400_000_000), now), Person::AwayFor(Duration::from_secs(600)));
        assert_eq!(person_of(&lines(true, 0), now), Person::Unknown);
        assert_eq!(person_of("", now), Person::Unknown);
    }

    #[test]
    fn macos_words_are_understood() {
        let text = "Assertion status system-wide:\n   PreventUserIdleSystemSleep 1\nListed by owning process:\n   pid 91(coreaudiod): \
                    [0x1] 00:01:02 PreventUserIdleSystemSleep named: \"audio\"\n   pid 92(x): [0x2] 00:00:01 UserIsActive named: \"y\"\n";
        assert_eq!(assertions_of(text).len(), 1);
        assert_eq!(input_of("  |   \"HIDIdleTime\" = 5000000000\n"), Person::AwayFor(Duration::from_secs(5)));
    }
}
