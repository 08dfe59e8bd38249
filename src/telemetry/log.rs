//! The log: lines on stderr, as text or as one JSON object each.

use std::fmt::Debug;
use std::io::IsTerminal;

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

/// Starts logging for the whole process. Our own lines are written from `level` on, those of our dependencies only when they
/// warn. A second call changes nothing.
pub fn start(json: bool, level: Level) {
    // Coloured lines only for eyes: escape codes in a file or in journald make it unsearchable.
    let colour = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr);
    // The error says that a log was already started, which is what a test that calls us twice wants.
    let _ = if json {
        registry().with(targets(level)).with(lines.json().flatten_event(true)).try_init()
    } else if colour {
        registry().with(targets(level)).with(lines.with_target(false)).try_init()
    } else {
        registry().with(targets(level)).with(lines.with_ansi(false).with_target(false).fmt_fields(Plain)).try_init()
    };
}

/// Fields as `name=value`, without the care for colours that costs as much as the rest of a line.
struct Plain;

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> std::fmt::Result {
        let mut line = Line { writer, begun: false, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// A line that is being written.
struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    result: std::fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> std::fmt::Result) {
        if self.result.is_ok() {
            self.result = self.begin(field.name()).and_then(|()| value(&mut self.writer));
        }
    }

    fn begin(&mut self, name: &str) -> std::fmt::Result {
        if std::mem::replace(&mut self.begun, true) {
            self.writer.write_char(' ')?;
        }
        if name == "message" {
            return Ok(());
        }
        self.writer.write_str(name)?;
        self.writer.write_char('=')
    }
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |line| write!(line, "{value:?}"));
    }

    /// Most texts hold nothing that must be escaped, and are not searched for it letter by letter.
    fn record_str(&mut self, field: &Field, text: &str) {
        let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'));
        self.put(field, |line| {
            if !is_plain {
                return write!(line, "{text:?}");
            }
            line.write_char('"')?;
            line.write_str(text)?;
            line.write_char('"')
        });
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
    struct Paper(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

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
