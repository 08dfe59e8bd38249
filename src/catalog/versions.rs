//! Versions of nodes: which texts count as one, and which of two is lower.

use serde::Deserialize;

/// What is answered when no node's version was ever learnt. Clients read each part as a number and refuse old ones
/// (VS Code wants at least 0.6.4), so an empty or invented word would lock them out.
pub(super) const NEVER_LEARNT: &str = r#"{"version":"0.12.0"}"#;

/// A version that can be compared. A pre-release (`0.33.0-rc2`) is lower than its release.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    parts: Vec<u64>,
    is_release: bool,
}

/// Reads the body of `/api/version`. `None` unless it holds a dotted number, with or without a suffix behind `-` or
/// `+`: clients parse what we serve, so other words are not kept.
pub(super) fn read(body: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    struct Body {
        version: String,
    }
    let Body { version } = serde_json::from_slice(body).ok()?;
    let number = version.split(['-', '+']).next()?;
    let parts = number.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    (parts.len() > 1).then(|| Version { parts, is_release: !version.contains('-') })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Version> {
        read(format!(r#"{{"version":"{text}"}}"#).as_bytes())
    }

    #[test]
    fn versions_compare_as_numbers_not_as_text() {
        assert!(of("0.9.6") < of("0.12.0"));
        assert!(of("0.33.0-rc2") < of("0.33.0"));
        assert!(of("0.32.9") < of("0.33.0-rc2"));
        assert!(of("1.0.0") > of("0.99.99"));
    }

    #[test]
    fn only_dotted_numbers_are_versions() {
        for text in ["", "unknown", "12", "v0.12.0", "0..1", "0.1x.0", "0.12."] {
            assert_eq!(of(text), None, "{text}");
        }
        assert!(of("0.5.7-0-ga420a453-dirty").is_some());
        assert!(read(b"<html>").is_none() && read(br#"{"version":7}"#).is_none());
    }

    #[test]
    fn the_fallback_is_itself_a_version() {
        assert_eq!(read(NEVER_LEARNT.as_bytes()), of("0.12.0"));
    }
}
