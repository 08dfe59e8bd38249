//! The log: lines on stderr, as text or as one JSON object each.

use std::fmt::{Debug, Write as _};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// Starts logging for the whole process. Our own lines are written from `level` on, those of our dependencies only when they
/// warn. A second call changes nothing.
pub fn start(json: bool, level: Level) {
    // Coloured lines only for eyes: escape codes in a file or in journald make it unsearchable.
    let colour = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_timer(Clock::default()).with_writer(std::io::stderr);
    // The error says that a log was already started, which is what a test that calls us twice wants.
    let _ = if json {
        registry().with(targets(level)).with(lines.json().flatten_event(true)).try_init()
    } else if colour {
        registry().with(targets(level)).with(lines.with_target(false)).try_init()
    } else {
        registry().with(targets(level)).with(lines.with_ansi(false).with_target(false).fmt_fields(Plain)).try_init()
    };
}

/// The time in UTC to the microsecond. A thousand lines of one second share its words.
#[derive(Default)]
struct Clock(Mutex<Second>);

/// A second since 1970, in words up to the point.
#[derive(Default)]
struct Second {
    since: u64,
    words: String,
}

impl Clock {
    fn write(&self, now: Duration, line: &mut Writer<'_>) -> std::fmt::Result {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.words.is_empty() || second.since != now.as_secs() {
            let words = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now.as_secs())).to_string();
            *second = Second { since: now.as_secs(), words: words.trim_end_matches('Z').to_owned() };
        }
        line.write_str(&second.words)?;
        let mut digits = *b".000000Z";
        let mut micros = now.subsec_micros();
        for digit in digits[1..7].iter_mut().rev() {
            *digit += u8::try_from(micros % 10).unwrap_or_default();
            micros /= 10;
        }
        line.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl FormatTime for Clock {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        self.write(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(), line)
    }
}

/// Fields as `name=value`, without the care for colours that costs as much as the rest of a line.
struct Plain;

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut line = Line(String::with_capacity(USUAL));
        fields.record(&mut line);
        writer.write_str(&line.0)
    }
}

/// Room for the fields of most lines.
const USUAL: usize = 384;

/// A line that is being written: whole, and then handed on in one piece.
struct Line(String);

impl Line {
    fn begin(&mut self, field: &Field) {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.begin(field);
        // Only the value itself could refuse: then its field stays empty.
        let _ = write!(self.0, "{value:?}");
    }

    /// Most texts hold nothing that must be escaped, and are not searched for it letter by letter.
    fn record_str(&mut self, field: &Field, text: &str) {
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            return self.record_debug(field, &text);
        }
        self.begin(field);
        self.0.push('"');
        self.0.push_str(text);
        self.0.push('"');
    }
}

fn targets(level: Level) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_default(level.min(Level::WARN))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Paper(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_field_stands_as_name_and_value_and_nothing_in_it_breaks_the_line() {
        let paper = Paper::default();
        let pen = paper.clone();
        let lines = fmt::layer().without_time().with_ansi(false).with_target(false).fmt_fields(Plain);
        let log = registry().with(lines.with_writer(move || pen.clone()));
        tracing::subscriber::with_default(log, || {
            tracing::info!(route = "/api/chat", node = %"gpu", status = 200_u16, took = 0.5, none = None::<u8>, "request");
            tracing::info!(why = "a \"b\" \\ c\nd\u{1b} é", "odd");
        });
        let written = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let first = " INFO request route=\"/api/chat\" node=gpu status=200 took=0.5\n";
        assert_eq!(written, format!("{first} INFO odd why=\"a \\\"b\\\" \\\\ c\\nd\\u{{1b}} é\"\n"));
    }

    #[test]
    fn the_time_stands_in_utc_to_the_microsecond_in_every_second() {
        let clock = Clock::default();
        for (micros, words) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_709_210_096_000_042, "2024-02-29T12:34:56.000042Z"),
            (1_709_210_096_987_654, "2024-02-29T12:34:56.987654Z"),
            (1_709_210_097_000_000, "2024-02-29T12:34:57.000000Z"),
        ] {
            let mut line = String::new();
            clock.write(Duration::from_micros(micros), &mut Writer::new(&mut line)).unwrap();
            assert_eq!(line, words);
        }
    }

    #[test]
    fn our_lines_have_the_level_asked_for_and_other_crates_only_warn() {
        let debug = targets(Level::DEBUG);
        assert!(debug.would_enable("ollama_proxy::proxy", &Level::DEBUG));
        assert!(!debug.would_enable("ollama_proxy::proxy", &Level::TRACE));
        assert!(debug.would_enable("hyper", &Level::WARN));
        assert!(!debug.would_enable("hyper", &Level::INFO));
        assert!(!targets(Level::ERROR).would_enable("hyper", &Level::WARN));
    }

    #[test]
    fn a_second_start_is_harmless() {
        start(false, Level::ERROR);
        start(true, Level::ERROR);
    }
}
