//! The log: lines on stderr, as text or as one JSON object each.

use std::fmt::{Debug, Write as _};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::ink::Ink;

/// Starts logging for the whole process. Our own lines are written from `level` on, those of our dependencies only when they
/// warn. A second call changes nothing.
pub fn start(json: bool, level: Level) {
    // Coloured lines only for eyes: escape codes in a file or in journald make it unsearchable.
    let colour = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_timer(Clock::default());
    // The error says that a log was already started, which is what a test that calls us twice wants.
    let _ = if json {
        registry().with(targets(level)).with(lines.json().flatten_event(true).with_writer(Ink)).try_init()
    } else if colour {
        registry().with(targets(level)).with(lines.with_target(false).with_writer(std::io::stderr)).try_init()
    } else {
        registry().with(targets(level)).with(fmt::layer().event_format(Plain::default()).with_writer(Ink)).try_init()
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

/// Lines as the default format writes them, without the care for colours and spans that costs more than all the rest.
#[derive(Default)]
struct Plain(Clock);

impl<S, N> FormatEvent<S, N> for Plain
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut line = Line(String::with_capacity(USUAL));
        self.0.format_time(&mut Writer::new(&mut line.0))?;
        line.0.push_str(match *event.metadata().level() {
            Level::TRACE => " TRACE",
            Level::DEBUG => " DEBUG",
            Level::INFO => "  INFO",
            Level::WARN => "  WARN",
            Level::ERROR => " ERROR",
        });
        event.record(&mut line);
        line.0.push('\n');
        writer.write_str(&line.0)
    }
}

/// Room for most lines.
const USUAL: usize = 384;

/// A line that is being written: whole, and then handed on in one piece.
struct Line(String);

impl Line {
    fn begin(&mut self, field: &Field) {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Line {
    fn number(&mut self, number: u64) {
        let (mut digits, mut at, mut left) = ([0; 20], 20, number);
        while at == 20 || left > 0 {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.0.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.begin(field);
        // Only the value itself could refuse: then its field stays empty.
        let _ = write!(self.0, "{value:?}");
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        self.begin(field);
        self.number(number);
    }

    fn record_i64(&mut self, field: &Field, number: i64) {
        match u64::try_from(number) {
            Ok(number) => self.record_u64(field, number),
            Err(_) => self.record_debug(field, &number),
        }
    }

    /// Most are rounded to thousandths: their digits need not be searched for.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "looked at first")]
    fn record_f64(&mut self, field: &Field, number: f64) {
        let thousandths = (number * 1000.0).round();
        let is_short = (1.0..1e12).contains(&thousandths) && (thousandths / 1000.0).to_bits() == number.to_bits();
        if !is_short {
            return self.record_debug(field, &number);
        }
        self.begin(field);
        let thousandths = thousandths as u64;
        self.number(thousandths / 1000);
        self.0.push('.');
        let mut rest = thousandths % 1000;
        for place in [100, 10, 1] {
            self.0.push(char::from(b'0' + (rest / place) as u8));
            rest %= place;
            if rest == 0 {
                return;
            }
        }
    }

    /// Most texts hold nothing that must be escaped, and are not searched for it letter by letter.
    fn record_str(&mut self, field: &Field, text: &str) {
        let is_special = |byte: u8| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\');
        // Many letters at once: it need not end at the first that is special.
        if text.bytes().fold(false, |special, byte| special | is_special(byte)) {
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

    /// What a log of this form writes.
    fn written<L>(layer: impl FnOnce(Paper) -> L, tell: impl FnOnce()) -> String
    where
        L: tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync,
    {
        let paper = Paper::default();
        tracing::subscriber::with_default(registry().with(layer(paper.clone())), tell);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    /// Behind the time.
    fn plainly(tell: impl FnOnce()) -> String {
        let lines = written(|paper| fmt::layer().event_format(Plain::default()).with_writer(move || paper.clone()), tell);
        lines.lines().flat_map(|line| [line.split_once('Z').unwrap().1, "\n"]).collect()
    }

    #[test]
    fn a_field_stands_as_name_and_value_and_nothing_in_it_breaks_the_line() {
        let written = plainly(|| {
            tracing::info!(route = "/api/chat", node = %"gpu", status = 200_u16, took = 0.5, none = None::<u8>, "request");
            tracing::warn!(why = "a \"b\" \\ c\nd\u{1b} é", "odd");
        });
        let first = "  INFO request route=\"/api/chat\" node=gpu status=200 took=0.5\n";
        assert_eq!(written, format!("{first}  WARN odd why=\"a \\\"b\\\" \\\\ c\\nd\\u{{1b}} é\"\n"));
    }

    #[test]
    fn numbers_stand_as_they_always_did() {
        let whole = [0, 7, 10, 1_234_567, u64::MAX];
        let signed = [0, 12, -12, i64::MIN, i64::MAX];
        let broken =
            [0.0, 0.001, 0.01, 0.1, 1.0, 12.34, 0.999, 59.0, 1e9, 0.0005, 1e-9, 1e16, -1.5, 0.1 + 0.2, f64::INFINITY, f64::NAN];
        let tell = || {
            for number in whole {
                tracing::info!(number);
            }
            for number in signed {
                tracing::info!(number);
            }
            for number in broken {
                tracing::info!(number);
            }
        };
        let expected = whole.iter().map(|number| format!("{number:?}"));
        let expected = expected.chain(signed.iter().map(|number| format!("{number:?}")));
        let expected = expected.chain(broken.iter().map(|number| format!("{number:?}")));
        let expected: Vec<String> = expected.map(|number| format!("  INFO number={number}\n")).collect();
        assert_eq!(plainly(tell), expected.concat());
    }

    #[test]
    fn every_thousandth_stands_as_it_always_did() {
        let numbers: Vec<f64> = (0..20_000_u32).chain((0..400).map(|n| n * 7_919_123)).map(|n| f64::from(n) / 1000.0).collect();
        let tell = || {
            for &number in &numbers {
                tracing::info!(number);
            }
        };
        let expected: Vec<String> = numbers.iter().map(|number| format!("  INFO number={number:?}\n")).collect();
        assert_eq!(plainly(tell), expected.concat());
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
