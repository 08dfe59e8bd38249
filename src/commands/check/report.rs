//! The report: lines under headings, each marked, each fault with its way out.

use std::fmt;

use crate::commands::say;

/// What a line means for its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing fails by it now.
    Note,
    /// Something fails by it.
    Fault,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) mark: Mark,
    pub(super) text: String,
    /// What to do about it.
    pub(super) way_out: Option<String>,
}

impl Line {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, text: text.into(), way_out: None }
    }

    pub(super) fn note(text: impl Into<String>) -> Self {
        Self { mark: Mark::Note, text: text.into(), way_out: None }
    }

    /// A fault always names its way out.
    pub(super) fn fault(text: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { mark: Mark::Fault, text: text.into(), way_out: Some(way_out.into()) }
    }

    pub(super) fn with_way_out(self, way_out: impl Into<String>) -> Self {
        Self { way_out: Some(way_out.into()), ..self }
    }

    /// A fault, or only a note where something else does its work.
    pub(super) fn fault_unless(excused: bool, text: impl Into<String>, way_out: impl Into<String>) -> Self {
        let mark = if excused { Mark::Note } else { Mark::Fault };
        Self { mark, ..Self::fault(text, way_out) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ok => "ok   ",
            Mark::Note => "note ",
            Mark::Fault => "FAULT",
        };
        write!(f, "  {mark}  {}", plain(&self.text))?;
        match &self.way_out {
            Some(way_out) => write!(f, "\n         -> {}", plain(way_out)),
            None => Ok(()),
        }
    }
}

/// Some words come from nodes and wake services: none may move the cursor of a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Prints lines under a heading, and counts the faults among them.
pub(super) fn print(heading: &str, lines: &[Line]) -> usize {
    say(&format!("\n{heading}\n"));
    for line in lines {
        say(&format!("{line}\n"));
    }
    lines.iter().filter(|line| line.mark == Mark::Fault).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_stands_below_its_finding() {
        assert_eq!(Line::fault("it burns", "put it out").to_string(), "  FAULT  it burns\n         -> put it out");
        assert_eq!(Line::ok("fine").to_string(), "  ok     fine");
    }

    #[test]
    fn words_of_others_cannot_move_the_cursor() {
        assert_eq!(Line::note("a\x1b[2J\nb").to_string(), "  note   a?[2J?b");
    }

    #[test]
    fn an_excused_fault_is_a_note_that_keeps_its_way_out() {
        assert_eq!(Line::fault_unless(true, "a", "b"), Line::note("a").with_way_out("b"));
        assert_eq!(Line::fault_unless(false, "a", "b"), Line::fault("a", "b"));
    }
}
