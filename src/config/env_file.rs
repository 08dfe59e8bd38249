//! The environment as plain values, and the `.env` file that ranks behind it.

use std::collections::BTreeMap;

/// Names and values, of the process or of a `.env` file.
pub type Env = BTreeMap<String, String>;

/// The environment of this process. Variables that are no UTF-8 are left out: none of ours can be among them.
pub fn environment() -> Env {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Reads the text of a `.env` file, as shells and Docker Compose write it: comments, `export `, quotes, any line ends.
/// Lines without `=` are no settings and left out; the last of two equal names counts.
pub(super) fn parse(text: &str) -> Env {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split(['\n', '\r']).filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => line,
    };
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end();
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    plain.then(|| (name.to_owned(), unquoted(value.trim())))
}

/// Quotes belong to the file, not to the value; in a bare value ` #` begins a comment.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            if let Some(end) = closing(inner, quote) {
                let inner = &inner[..end];
                return if quote == '"' { unescaped(inner) } else { inner.to_owned() };
            }
        }
    }
    if value.starts_with('#') {
        return String::new();
    }
    let comment = value.char_indices().find(|(at, c)| *c == '#' && value[..*at].ends_with(char::is_whitespace));
    value[..comment.map_or(value.len(), |(at, _)| at)].trim_end().to_owned()
}

fn closing(inner: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if c == quote && !escaped {
            return Some(at);
        }
        escaped = quote == '"' && c == '\\' && !escaped;
    }
    None
}

/// Only `\"`, `\\` and `\n` are escapes: a Windows path keeps its backslashes.
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('"' | '\\')) => text.extend(rest.next()),
            ('\\', Some('n')) => {
                rest.next();
                text.push('\n');
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        parse(text).remove("A").unwrap_or_else(|| panic!("{text:?}"))
    }

    #[test]
    fn a_value_is_read_as_shells_and_compose_write_it() {
        for (text, expected) in [
            ("A=1", "1"),
            ("  export A=1  ", "1"),
            ("export\tA=1", "1"),
            ("A = 1", "1"),
            ("A=\"x # y\" # note", "x # y"),
            ("A='x \\n \"y\"'", "x \\n \"y\""),
            ("A=\"line\\nbreak \\\"q\\\"\"", "line\nbreak \"q\""),
            ("A=\"C:\\temp\"", "C:\\temp"),
            ("A=http://h/#frag", "http://h/#frag"),
            ("A=1 # note", "1"),
            ("A=1\t# note", "1"),
            ("A=# note", ""),
            ("A=", ""),
            ("A=a=b", "a=b"),
            ("A=\"open", "\"open"),
            ("A=it's", "it's"),
            ("A=1\nA=2", "2"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_from_windows_reads_the_same() {
        let env = parse("\u{feff}A=1\r\n# B=2\r\nC=\"3\"\r\n");
        assert_eq!(env, Env::from([("A".into(), "1".into()), ("C".into(), "3".into())]));
    }

    #[test]
    fn lines_that_are_no_settings_are_left_out() {
        assert!(parse("hello\n=1\n# A=1\n\nexport\nA B=1\n").is_empty());
    }
}
