//! The log: lines on stderr, as text or as one JSON object each.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;
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
        registry().with(targets(level)).with(lines.with_ansi(false).with_target(false).fmt_fields(plain())).try_init()
    };
}

/// Fields as `name=value`, without the care for colours that costs as much as the rest of a line.
fn plain() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let field = debug_fn(|line, field, value| match field.name() {
        "message" => write!(line, "{value:?}"),
        name => write!(line, "{name}={value:?}"),
    });
    field.delimited(" ")
}

fn targets(level: Level) -> Targets {
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level).with_default(level.min(Level::WARN))
}

#[cfg(test)]
mod tests {
    use super::*;

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
