//! `keep_alive` as Ollama reads it: a number of seconds or a Go duration; negative means for ever.

use serde_json::value::RawValue;

const SECOND: f64 = 1e9;
/// What a preload asks for at least, so that the model outlives the wait for the request behind it.
const SHORTEST: f64 = 5.0 * 60.0 * SECOND;

/// How long a model stays loaded after a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum KeepAlive {
    Forever,
    Nanoseconds(f64),
}

/// Whether the value means "unload at once".
pub(super) fn is_zero(raw: &RawValue) -> bool {
    // Ollama counts in whole nanoseconds.
    matches!(read(raw), Some(KeepAlive::Nanoseconds(ns)) if ns < 1.0)
}

/// The JSON that a preload sends for an ask with this value: its own if that is longer than five minutes.
pub(super) fn for_preload(raw: Option<&RawValue>) -> &str {
    let longer = raw.filter(|raw| match read(raw) {
        Some(KeepAlive::Forever) => true,
        Some(KeepAlive::Nanoseconds(ns)) => ns > SHORTEST,
        None => false,
    });
    longer.map_or("\"5m\"", RawValue::get)
}

fn read(raw: &RawValue) -> Option<KeepAlive> {
    let ns = if raw.get().starts_with('"') {
        go_duration(&serde_json::from_str::<String>(raw.get()).ok()?)?
    } else {
        serde_json::from_str::<f64>(raw.get()).ok()? * SECOND
    };
    Some(if ns < 0.0 { KeepAlive::Forever } else { KeepAlive::Nanoseconds(ns) })
}

/// Reads `1h30m`, `-1m`, `.5s`, `0`; a bare number other than zero has no unit and is refused. In nanoseconds.
fn go_duration(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    if unsigned == "0" {
        return Some(0.0);
    }
    let mut rest = unsigned;
    let mut total = 0.0;
    loop {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let unit = rest[digits..].split(|c: char| c.is_ascii_digit() || c == '.').next()?;
        total += rest[..digits].parse::<f64>().ok()? * nanoseconds(unit)?;
        rest = &rest[digits + unit.len()..];
        if rest.is_empty() {
            return Some(sign * total);
        }
    }
}

fn nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
        "ms" => 1e6,
        "s" => SECOND,
        "m" => 60.0 * SECOND,
        "h" => 3600.0 * SECOND,
        _ => return None,
    })
}
