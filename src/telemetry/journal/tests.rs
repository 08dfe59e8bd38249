//! The journal is bounded, keeps what matters, and survives being written and read.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::*;

fn turn(to: &'static str) -> Event {
    Event::State(Turn::new("awake", to, Some("no answer")))
}

fn request(model: &str) -> Event {
    let outcome = "done".into();
    Event::Request(Box::new(Request { model: Some(model.to_owned()), outcome, status: 200, ..Request::default() }))
}

fn shown(journal: &Journal) -> Vec<Value> {
    journal.since(0).iter().map(|entry| json!(**entry)).collect()
}

fn lines(journal: &Journal) -> Vec<Value> {
    let text = String::from_utf8(journal.text()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_entry_shows_its_kind_and_its_fields_side_by_side() {
    let journal = Journal::default();
    journal.note(Some("node1"), turn("asleep"));
    let cause = Cause::request([10, 0, 0, 7].into(), "curl", "/api/chat", Some("m"));
    journal.note(Some("node1"), Event::Wake(Box::new(Wake { cause, packets: 3, ..Wake::default() })));
    let shown = shown(&journal);
    assert_eq!((&shown[0]["kind"], &shown[0]["seq"], &shown[0]["node"]), (&json!("state"), &json!(1), &json!("node1")));
    assert_eq!((&shown[0]["to"], &shown[0]["why"]), (&json!("asleep"), &json!("no answer")));
    let cause = json!({ "trigger": "request", "client": "10.0.0.7", "agent": "curl", "path": "/api/chat", "model": "m" });
    assert_eq!((&shown[1]["cause"], &shown[1]["seconds_to_http"]), (&cause, &Value::Null));
    assert!(shown[1].get("revision").is_none());
}

#[test]
fn requests_do_not_push_out_what_happened_to_machines() {
    let journal = Journal::default();
    journal.note(Some("node1"), turn("asleep"));
    for number in 0..1000 {
        journal.note(Some("node1"), request(&number.to_string()));
    }
    let kept = journal.since(0);
    assert_eq!(kept.len(), 1 + REQUESTS);
    assert_eq!((kept[0].seq, kept[1].seq, journal.last()), (1, 802, 1001));
    for _ in 0..2 * POWER {
        journal.note(Some("node1"), turn("asleep"));
    }
    assert_eq!(journal.since(0).len(), POWER + REQUESTS);
}

#[test]
fn every_kind_of_entry_comes_back_from_the_file_as_it_was() {
    let journal = Journal::default();
    let wake = Wake { cause: Cause::own("interval"), packets: 3, seconds: Some(1.5), ..Wake::default() };
    for event in [
        Event::Wake(Box::new(wake)),
        turn("asleep"),
        Event::Sleep(Sleep { from: 1.0, until: 2.0, evidence: "announced".into() }),
        request("m"),
        Event::Refused(Refused { client: "10.0.0.7".into(), reason: "wake_budget".into() }),
        Event::Start(Start { version: "1".into(), down_since: Some(3.0) }),
        Event::Unused(Unused { seconds: 4.0, why: Some("a game".into()) }),
    ] {
        journal.note(Some("node1"), event);
    }
    let (again, unreadable) = Journal::restored(&journal.text(), true, SystemTime::now()).unwrap();
    assert_eq!((shown(&again), unreadable), (shown(&journal), 0));
    assert_eq!(shown(&again).len(), 7);
    for other in [r#"{"seq":1,"at":1.0,"kind":"dream"}"#, r#"{"seq":1,"at":1.0}"#, r#"{"at":1.0,"kind":"start"}"#, "[]"] {
        assert!(Entry::read(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn what_is_written_is_read_again_and_counting_goes_on() {
    let journal = Journal::default();
    journal.note(None, Event::Start(Start { version: "1".into(), down_since: None }));
    journal.note(Some("node1"), turn("asleep"));
    journal.note(Some("node1"), request("m"));
    journal.note(Some("node1"), Event::Sleep(Sleep { from: 1.5, until: 2.0, evidence: "found asleep".into() }));
    let (again, unreadable) = Journal::restored(&journal.text(), true, SystemTime::now()).unwrap();
    assert_eq!(unreadable, 0);
    assert_eq!(shown(&again), shown(&journal));
    assert_eq!((again.note(None, turn("awake")), again.today().requests), (5, 1));
    assert!(again.kept_until().is_some_and(|until| until > 1e9));
}

#[test]
fn the_text_never_exceeds_its_bound_and_loses_the_oldest_first() {
    let journal = Journal::default();
    let why = "é".repeat(1000);
    for _ in 0..POWER {
        journal.note(Some(&"n".repeat(64)), Event::State(Turn::new("awake", "asleep", Some(&why))));
    }
    let text = journal.text();
    assert!(text.len() <= LARGEST && text.len() > LARGEST - 2000, "{}", text.len());
    let lines = lines(&journal);
    assert_eq!(lines.last().unwrap()["seq"], json!(POWER));
    assert!(lines[1]["seq"].as_u64() > Some(1));
}

#[test]
fn of_a_damaged_text_without_a_checksum_the_sound_lines_are_kept() {
    let journal = Journal::default();
    for _ in 0..3 {
        journal.note(None, turn("asleep"));
    }
    let text = String::from_utf8(journal.text()).unwrap();
    let cut = &text[..text.len() - 20];
    let now = SystemTime::now();
    assert!(Journal::restored(cut.as_bytes(), false, now).is_err(), "it should have a checksum");
    let earlier = cut.replacen("\"version\":2", "\"version\":1", 1);
    let (kept, unreadable) = Journal::restored(earlier.as_bytes(), false, now).unwrap();
    assert_eq!((kept.since(0).len(), unreadable), (2, 1));
    assert_eq!(kept.note(None, turn("awake")), 4);
    for nonsense in [&b"{}"[..], b"\xff\xfe", b"[1,2", b"null\n"] {
        assert!(Journal::restored(nonsense, true, now).is_err(), "{nonsense:?}");
    }
}

#[test]
fn times_ahead_of_the_clock_count_as_now() {
    let journal = Journal::default();
    journal.note(None, turn("asleep"));
    let earlier = SystemTime::now() - Duration::from_secs(3600);
    let (again, _) = Journal::restored(&journal.text(), true, earlier).unwrap();
    assert!(again.since(0)[0].at <= unix(earlier));
}

#[test]
fn an_amended_entry_is_told_again_and_keeps_its_number() {
    let journal = Journal::default();
    let seq = journal.note(Some("node1"), Event::Wake(Box::default()));
    let (_, seen) = journal.changes(0);
    journal.note(None, turn("awake"));
    journal.amend(seq, |event| {
        if let Event::Wake(wake) = event {
            wake.seconds_to_first_byte = Some(2.5);
        }
    });
    let (news, _) = journal.changes(seen);
    assert_eq!(news.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(journal.since(0).len(), 2);
    journal.amend(99, |_| panic!("nothing has this number"));
}

#[test]
fn a_running_request_is_listed_until_its_ticket_is_dropped() {
    let journal = Journal::default();
    let mut pulse = journal.pulse();
    let ticket = journal.enter(Running { id: "a".into(), ..Running::default() });
    ticket.on_node("node1");
    ticket.held(true);
    let running = journal.running();
    assert_eq!((running[0].node.as_deref(), running[0].held), (Some("node1"), true));
    assert!(pulse.has_changed().unwrap());
    pulse.mark_unchanged();
    drop(ticket);
    assert!(journal.running().is_empty() && pulse.has_changed().unwrap());
}
