//! The bar of a node's states over the last seven days, put together from the journal. Pure.

use std::sync::Arc;

use crate::telemetry::journal::{Entry, Event};

/// So far back.
const SPAN: f64 = 7.0 * 24.0 * 3600.0;

/// More stretches than this no bar can show.
const MOST: usize = 500;

/// From, to, state.
pub(super) type Stretch = (f64, f64, String);

/// The states of a node, oldest first, merged, without holes except while this program did not run. `entries` are those
/// that concern the node, oldest first; `present` is its state now.
pub(super) fn stretches(entries: &[Arc<Entry>], present: &str, now: f64) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    let mut open: Option<(f64, String)> = None;
    let mut close = |open: &mut Option<(f64, String)>, until: f64| {
        if let Some((from, state)) = open.take() {
            all.push((from, until.max(from), state));
        }
    };
    for entry in entries {
        match &entry.event {
            Event::Start(start) => {
                close(&mut open, start.down_since.unwrap_or(entry.at).min(entry.at));
                open = Some((entry.at, "unknown".to_owned()));
            }
            Event::State(turn) => {
                close(&mut open, entry.at);
                open = Some((entry.at, turn.to.clone().into_owned()));
            }
            Event::Wake(_) | Event::Sleep(_) | Event::Request(_) | Event::Refused(_) | Event::Unused(_) => {}
        }
    }
    if open.is_none() {
        open = Some((now, present.to_owned()));
    }
    close(&mut open, now);
    for entry in entries {
        if let Event::Sleep(sleep) = &entry.event {
            all = overlaid(all, sleep.from, sleep.until);
        }
    }
    bounded(all, now)
}

/// A sleep that was found out later: whatever seemed to be between its ends was sleep. Times of which nothing is known at
/// all stay so.
fn overlaid(all: Vec<Stretch>, from: f64, until: f64) -> Vec<Stretch> {
    let mut with = Vec::with_capacity(all.len() + 2);
    for (begin, end, state) in all {
        let (cut_from, cut_until) = (begin.max(from), end.min(until));
        if cut_from >= cut_until {
            with.push((begin, end, state));
            continue;
        }
        with.push((begin, cut_from, state.clone()));
        with.push((cut_from, cut_until, "asleep".to_owned()));
        with.push((cut_until, end, state));
    }
    with
}

fn bounded(all: Vec<Stretch>, now: f64) -> Vec<Stretch> {
    let mut merged: Vec<Stretch> = Vec::new();
    for (from, to, state) in all {
        let from = from.max(now - SPAN);
        if to <= from {
            continue;
        }
        match merged.last_mut() {
            Some(last) if last.2 == state && from - last.1 < 0.001 => last.1 = to,
            _ => merged.push((from, to, state)),
        }
    }
    merged.split_off(merged.len().saturating_sub(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::journal::{Journal, Sleep, Start, Turn};

    /// Entries at given times, made by the journal itself.
    fn entries(events: &[(f64, Event)]) -> Vec<Arc<Entry>> {
        let journal = Journal::default();
        for (_, event) in events {
            journal.note(Some("node1"), event.clone());
        }
        let mut entries = journal.since(0);
        for (entry, (at, _)) in entries.iter_mut().zip(events) {
            Arc::make_mut(entry).at = *at;
        }
        entries
    }

    fn turn(to: &'static str) -> Event {
        Event::State(Turn::new("unknown", to, None))
    }

    fn start(down_since: Option<f64>) -> Event {
        Event::Start(Start { version: "1".into(), down_since })
    }

    fn stretch(from: f64, to: f64, state: &str) -> Stretch {
        (from, to, state.to_owned())
    }

    #[test]
    fn states_follow_each_other_to_this_moment() {
        let entries = entries(&[(100.0, start(None)), (200.0, turn("awake")), (300.0, turn("asleep"))]);
        let shown = stretches(&entries, "asleep", 400.0);
        assert_eq!(shown, [stretch(100.0, 200.0, "unknown"), stretch(200.0, 300.0, "awake"), stretch(300.0, 400.0, "asleep")]);
    }

    #[test]
    fn a_sleep_found_later_is_shown_where_it_was() {
        let sleep = Event::Sleep(Sleep { from: 250.0, until: 300.0, evidence: "found asleep".into() });
        let entries = entries(&[(200.0, turn("awake")), (300.0, sleep), (300.0, turn("waking")), (310.0, turn("awake"))]);
        let shown = stretches(&entries, "awake", 320.0);
        let expected = [
            stretch(200.0, 250.0, "awake"),
            stretch(250.0, 300.0, "asleep"),
            stretch(300.0, 310.0, "waking"),
            stretch(310.0, 320.0, "awake"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn while_this_program_did_not_run_nothing_is_shown() {
        let entries = entries(&[(100.0, turn("awake")), (500.0, start(Some(300.0)))]);
        assert_eq!(stretches(&entries, "unknown", 600.0), [stretch(100.0, 300.0, "awake"), stretch(500.0, 600.0, "unknown")]);
    }

    #[test]
    fn equal_neighbours_are_one_and_old_ones_are_cut() {
        let now = 10.0 * SPAN;
        let entries = entries(&[(1.0, turn("awake")), (now - 50.0, turn("awake")), (now - 20.0, turn("asleep"))]);
        let shown = stretches(&entries, "asleep", now);
        assert_eq!(shown, [stretch(now - SPAN, now - 20.0, "awake"), stretch(now - 20.0, now, "asleep")]);
    }

    #[test]
    fn there_are_never_more_than_a_bar_can_show_and_the_newest_stay() {
        let words = ["awake", "asleep"];
        let events: Vec<_> = (0..2000_u32).map(|n| (f64::from(n), turn(words[n as usize % 2]))).collect();
        let shown = stretches(&entries(&events), "asleep", 2000.0);
        assert_eq!((shown.len(), shown.last()), (MOST, Some(&stretch(1999.0, 2000.0, "asleep"))));
    }

    #[test]
    fn a_node_without_records_has_an_empty_bar() {
        assert!(stretches(&[], "unknown", 100.0).is_empty());
    }
}
