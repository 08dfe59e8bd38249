//! Windows through the week, across midnight and across Sunday.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn keep(text: &str) -> KeepAwake {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// `fri 18:00`
fn at(text: &str) -> LocalTime {
    let (day, clock) = text.split_once(' ').unwrap();
    let (hour, minute) = clock.split_once(':').unwrap();
    let weekday = DAYS.iter().position(|name| name.starts_with(day)).unwrap();
    LocalTime {
        weekday: u8::try_from(weekday).unwrap(),
        minute: hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap(),
    }
}

#[test]
fn a_window_holds_from_its_first_minute_to_its_last() {
    for (text, moment, expected) in [
        ("mon-fri 18:00-23:00", "mon 18:00", true),
        ("mon-fri 18:00-23:00", "fri 22:59", true),
        ("mon-fri 18:00-23:00", "fri 23:00", false),
        ("mon-fri 18:00-23:00", "wed 17:59", false),
        ("mon-fri 18:00-23:00", "sat 19:00", false),
        ("daily 08:00-22:00", "sun 08:00", true),
        ("08:00-22:00", "sun 08:00", true),
        ("daily 00:00-24:00", "sun 23:59", true),
        ("sat,sun 10:00-02:00", "sun 01:59", true),
        ("sat,sun 10:00-02:00", "mon 01:59", true),
        ("sat,sun 10:00-02:00", "sat 01:00", false),
        ("sat,sun 10:00-02:00", "mon 02:00", false),
        ("fri-mon 9:00-10:00", "sun 09:30", true),
        ("fri-mon 9:00-10:00", "tue 09:30", false),
        ("mon-fri 18:00-23:00, sat,sun 10:00-02:00", "sat 11:00", true),
        ("mon-fri 18:00-23:00; sat 10:00-12:00", "sat 18:30", false),
        ("mon 08:00-09:00, 18:00-19:00", "mon 18:30", true),
        ("mon 08:00-09:00, 18:00-19:00", "tue 18:30", false),
        ("Monday - Friday 18:00 - 23:00", "tue 20:00", true),
        ("daily 18:00–23:00", "tue 20:00", true),
        ("daily 18:00-24:00", "tue 23:59", true),
        ("daily 18:00-00:00", "wed 00:00", false),
    ] {
        assert_eq!(keep(text).wants(at(moment), None), expected, "{text} at {moment}");
    }
}

#[test]
fn after_counts_from_the_last_inference_request() {
    let keep = keep("30m");
    assert_eq!(keep, KeepAwake::After(Duration::from_secs(1800)));
    assert!(!keep.wants(at("mon 00:00"), None), "nobody asked yet");
    assert!(keep.wants(at("mon 00:00"), Some(Duration::from_secs(1799))));
    assert!(!keep.wants(at("mon 00:00"), Some(Duration::from_secs(1800))));
}

#[test]
fn off_has_several_names_and_keeps_nothing_awake() {
    for text in ["off", "OFF", "0", "false", "none", ""] {
        assert_eq!(keep(text), KeepAwake::Off, "{text}");
    }
    assert!(!KeepAwake::Off.wants(at("mon 00:00"), Some(Duration::ZERO)));
}

#[test]
fn what_says_nothing_is_refused_with_an_example() {
    for text in [
        "on",
        "always",
        "mon-fri",
        "mon-fri 18",
        "funday 10:00-11:00",
        "mon 10:00-10:00",
        "mon 25:00-26:00",
        "mon 10:60-11:00",
        ";",
        "mon 24:00-25:00",
        "mo 10:00-11:00",
        "mon 1:5-2:00",
        "sat 10:00-11:00 sun",
    ] {
        let why = text.parse::<KeepAwake>().unwrap_err().to_string();
        assert!(why.contains(":00"), "{text}: {why}");
    }
}

#[test]
fn the_next_change_is_the_next_begin_or_end_but_within_the_hour() {
    let minutes = |text: &str, moment: &str| keep(text).next_change(at(moment)).as_secs() / 60;
    assert_eq!(minutes("mon-fri 18:00-23:00", "mon 17:45"), 15);
    assert_eq!(minutes("mon-fri 18:00-23:00", "mon 22:59"), 1);
    assert_eq!(minutes("mon-fri 18:00-23:00", "mon 18:00"), 60, "the begin is past, the end is far");
    assert_eq!(minutes("sun 23:30-00:30", "sun 23:50"), 40, "across the end of the week");
    assert_eq!(minutes("off", "sun 23:50"), 60);
}

proptest! {
    #[test]
    fn nothing_changes_before_the_next_change(
        first in 0u8..7, last in 0u8..7, from in 0u16..1440, to in 0u16..1440, weekday in 0u8..7, minute in 0u16..1440,
    ) {
        prop_assume!(from != to);
        let name = |day: u8| DAYS[usize::from(day)];
        let clock = |at: u16| format!("{}:{:02}", at / 60, at % 60);
        let keep = keep(&format!("{}-{} {}-{}", name(first), name(last), clock(from), clock(to)));
        let now = LocalTime { weekday, minute };
        let wait = u16::try_from(keep.next_change(now).as_secs() / 60).unwrap();
        prop_assert!((1..=60).contains(&wait));
        for later in 1..wait {
            let week = now.minute_of_week() + later;
            let then = LocalTime { weekday: u8::try_from(week / DAY % 7).unwrap(), minute: week % DAY };
            prop_assert_eq!(keep.wants(then, None), keep.wants(now, None));
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[a-z0-9:;, -]{0,40}") {
        let _ = text.parse::<KeepAwake>();
    }
}
