//! When a node is kept awake without traffic: the opt-in `--keep-awake`, judged against local time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{Datelike, Timelike};

use crate::config::duration::{self, Unit};

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// The opt-in of `--keep-awake`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeepAwake {
    /// Nodes sleep when they like (default).
    #[default]
    Off,
    /// For this long after the last inference request.
    After(Duration),
    /// In these parts of the week.
    Windows(Vec<Window>),
}

/// A part of the day on some days of the week; one that crosses midnight belongs to the day on which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minute of the day, 0 to 1439.
    from: u16,
    /// Length in minutes, 1 to 1440.
    length: u16,
}

/// A moment of the week in local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 is Monday, 6 Sunday.
    pub weekday: u8,
    /// Minute of the day, 0 to 1439.
    pub minute: u16,
}

impl LocalTime {
    /// The time by this machine's clock and time zone.
    pub fn now() -> Self {
        let now = chrono::Local::now();
        let minute = now.hour() * 60 + now.minute();
        Self {
            weekday: u8::try_from(now.weekday().num_days_from_monday()).unwrap_or(0),
            minute: u16::try_from(minute).unwrap_or(0),
        }
    }

    fn minute_of_week(self) -> u16 {
        (u16::from(self.weekday) * DAY + self.minute) % WEEK
    }
}

impl Window {
    /// Begin and length in minutes of the week, one pair per day.
    fn spans(&self) -> impl Iterator<Item = (u16, u16)> {
        let (from, length) = (self.from, self.length);
        (0u16..).zip(self.days).filter(|(_, on)| *on).map(move |(day, _)| (day * DAY + from, length))
    }

    fn holds(&self, minute: u16) -> bool {
        self.spans().any(|(from, length)| (minute + WEEK - from) % WEEK < length)
    }
}

impl KeepAwake {
    /// Whether a node is to be kept awake now. `since_last_request` is the time since the last inference request, if any.
    pub fn wants(&self, local: LocalTime, since_last_request: Option<Duration>) -> bool {
        match self {
            Self::Off => false,
            Self::After(time) => since_last_request.is_some_and(|since| since < *time),
            Self::Windows(windows) => windows.iter().any(|window| window.holds(local.minute_of_week())),
        }
    }

    /// How long until a window begins or ends, but never more than an hour, so that a clock that is set meanwhile (daylight
    /// saving, a board without its own clock) is noticed. Never zero.
    pub fn next_change(&self, local: LocalTime) -> Duration {
        const LOOK_AGAIN: u16 = 60;
        let Self::Windows(windows) = self else { return Duration::from_secs(u64::from(LOOK_AGAIN) * 60) };
        let now = local.minute_of_week();
        let boundaries = windows.iter().flat_map(Window::spans).flat_map(|(from, length)| [from, (from + length) % WEEK]);
        let waits = boundaries.map(|at| (at + WEEK - now) % WEEK).filter(|wait| *wait > 0);
        Duration::from_secs(u64::from(waits.min().unwrap_or(WEEK).min(LOOK_AGAIN)) * 60)
    }
}

/// Why a text says nothing about keeping awake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeepAwake(String);

impl fmt::Display for BadKeepAwake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadKeepAwake {}

impl FromStr for KeepAwake {
    type Err = BadKeepAwake;

    /// `off`, a time such as `30m`, or windows such as `mon-fri 18:00-23:00; sat,sun 10:00-02:00`.
    fn from_str(text: &str) -> Result<Self, BadKeepAwake> {
        let text = text.trim();
        if text.is_empty() || duration::is_off(text) {
            return Ok(Self::Off);
        }
        if let Ok(time) = duration::duration(text, Unit::Seconds) {
            return Ok(if time.is_zero() { Self::Off } else { Self::After(time) });
        }
        let text = text.to_lowercase().replace('–', "-");
        let mut windows = Vec::new();
        for part in text.split(';').filter(|part| !part.trim().is_empty()) {
            read_part(part, &mut windows)?;
        }
        if windows.is_empty() { Err(bad(&text)) } else { Ok(Self::Windows(windows)) }
    }
}

fn bad(what: &str) -> BadKeepAwake {
    BadKeepAwake(format!(
        "`{what}` is neither `off`, a time such as 30m, nor a window such as `mon-fri 18:00-23:00` or `daily 08:00-22:00`"
    ))
}

/// Days gather until a span of hours closes them. Hours without days of their own take the days of the hours before them,
/// the first ones every day.
fn read_part(part: &str, windows: &mut Vec<Window>) -> Result<(), BadKeepAwake> {
    let tight = part.split('-').map(str::trim).collect::<Vec<_>>().join("-");
    let mut days = [true; 7];
    let mut fresh: Option<[bool; 7]> = None;
    let mut open = true;
    for word in tight.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()) {
        if word.contains(':') {
            days = fresh.take().unwrap_or(days);
            let (from, length) = hours(word)?;
            windows.push(Window { days, from, length });
            open = false;
        } else {
            let named = days_named(word)?;
            let mut gathered = fresh.unwrap_or_default();
            gathered.iter_mut().zip(named).for_each(|(day, on)| *day |= on);
            fresh = Some(gathered);
            open = true;
        }
    }
    if open { Err(BadKeepAwake(format!("`{}` names days but no hours such as 18:00-23:00", part.trim()))) } else { Ok(()) }
}

fn days_named(word: &str) -> Result<[bool; 7], BadKeepAwake> {
    let index = |name: &str| (name.len() >= 3).then(|| DAYS.iter().position(|day| day.starts_with(name))).flatten();
    let (first, last) = match word.split_once('-') {
        _ if word == "daily" => (0, 6),
        Some((first, last)) => index(first).zip(index(last)).ok_or_else(|| bad(word))?,
        None => index(word).map(|day| (day, day)).ok_or_else(|| bad(word))?,
    };
    let count = (last + 7 - first) % 7;
    Ok(std::array::from_fn(|day| (day + 7 - first) % 7 <= count))
}

fn hours(word: &str) -> Result<(u16, u16), BadKeepAwake> {
    let clock = |text: &str| -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let plain = |digits: &str| (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain(hour) || !plain(minute) || minute.len() != 2 {
            return None;
        }
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
    };
    let (from, to) = word.split_once('-').and_then(|(from, to)| clock(from).zip(clock(to))).ok_or_else(|| bad(word))?;
    if from == to || from == DAY {
        return Err(BadKeepAwake(format!("`{word}` is empty; the whole day is 00:00-24:00")));
    }
    Ok((from, if to > from { to - from } else { to + DAY - from }))
}

#[cfg(test)]
mod tests;
