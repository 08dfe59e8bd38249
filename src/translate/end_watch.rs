//! Watches the bytes of an answer pass by, to know whether it came to its proper end.
//!
//! Memory is bounded whatever the length of lines; how the bytes are cut into chunks makes no difference.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::Form;
use super::events::{Events, Signal};
use super::json::{Facts, Kind, Scanner};

/// What an end cannot be without, for each way to tell one: lines, progress, and the three kinds of events. Pieces that hold
/// none of their form's are not read letter by letter.
static MARKS: LazyLock<[Vec<Finder<'static>>; 5]> = LazyLock::new(|| {
    let marks: [&[&str]; 5] = [
        &["true", "error"],
        &["success", "error"],
        &["[DONE]", "error"],
        &["completed", "incomplete", "failed", "error"],
        &["message_stop", "error"],
    ];
    marks.map(|marks| marks.iter().map(|mark| Finder::new(*mark)).collect())
});

/// How a stream said it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Proper,
    /// The node itself reported an error in the stream.
    Error,
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// They were whole lines of JSON, of which none is the last one or holds its summary.
    Idle,
    /// They may be anything.
    Read,
}

/// The watch over one answer.
#[derive(Clone, Debug)]
pub struct EndWatch {
    form: Form,
    end: Option<End>,
    last_byte: Option<u8>,
    /// Of lines: some bytes of one were read, and its end was not.
    within_line: bool,
    scanner: Scanner,
    events: Events,
}

impl EndWatch {
    /// A watch that has seen nothing yet.
    pub fn new(form: Form) -> Self {
        Self { form, end: None, last_byte: None, within_line: false, scanner: Scanner::new(), events: Events::new() }
    }

    /// Takes note of the next bytes, in order.
    pub fn feed(&mut self, chunk: &[u8]) -> Passed {
        self.last_byte = chunk.last().copied().or(self.last_byte);
        match self.form {
            Form::Whole => {}
            Form::Ndjson | Form::Progress if chunk.ends_with(b"\n") && self.are_idle(chunk) => return Passed::Idle,
            Form::Ndjson | Form::Progress => self.feed_lines(chunk),
            Form::SseChat | Form::SseResponses | Form::SseMessages => self.feed_events(chunk),
        }
        Passed::Read
    }

    /// Whether the end mark was seen, or an error that the node itself reported in the stream. Always true for
    /// [`Form::Whole`], which has no mark to wait for.
    pub fn complete(&self) -> bool {
        self.form == Form::Whole || self.end.is_some()
    }

    /// Whether the stream stands in the middle: behind the last line end there are bytes, or (server-sent events) an
    /// event was begun whose empty line has not come. Then [`super::in_band_error`] must end it first.
    pub fn mid_line(&self) -> bool {
        self.last_byte.is_some_and(|byte| byte != b'\n') || (self.form.is_events() && self.events.is_open())
    }

    /// Whether the answer came to its proper end: for pull, push and create the `success` line, else the end mark.
    /// False after an error in the stream. For [`Form::Whole`] the HTTP status is the judge, not this.
    pub fn succeeded(&self) -> bool {
        self.form == Form::Whole || self.end == Some(End::Proper)
    }

    /// Whether an end may stand in these bytes.
    fn may_end_in(&self, bytes: &[u8]) -> bool {
        let marks = match self.form {
            Form::Whole => return false,
            Form::Ndjson => &MARKS[0],
            Form::Progress => &MARKS[1],
            Form::SseChat => &MARKS[2],
            Form::SseResponses => &MARKS[3],
            Form::SseMessages => &MARKS[4],
        };
        marks.iter().any(|mark| mark.find(bytes).is_some())
    }

    /// Whether these bytes begin at the beginning of a line and end nothing.
    fn are_idle(&self, lines: &[u8]) -> bool {
        !self.within_line && !self.may_end_in(lines)
    }

    fn feed_lines(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        let whole = memchr::memrchr(b'\n', rest).map_or(0, |end| end + 1);
        if self.are_idle(&rest[..whole]) {
            rest = &rest[whole..];
        }
        while self.end.is_none() && !rest.is_empty() {
            let to_line_end = memchr::memchr(b'\n', rest);
            if let Some(end) = to_line_end.filter(|end| self.are_idle(&rest[..=*end])) {
                rest = &rest[end + 1..];
                continue;
            }
            let part = &rest[..to_line_end.unwrap_or(rest.len())];
            let (read, facts) = self.scanner.feed(part);
            self.within_line |= read > 0;
            if let Some(facts) = facts {
                self.end = self.judge(facts, Kind::Unnamed);
            } else if to_line_end.is_some() {
                self.scanner = Scanner::new();
                self.within_line = false;
            }
            let line_end = usize::from(facts.is_none() && to_line_end.is_some());
            rest = &rest[read + line_end..];
        }
    }

    fn feed_events(&mut self, chunk: &[u8]) {
        if self.events.is_idle() && chunk.ends_with(b"\n\n") && !self.may_end_in(chunk) {
            return;
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            let (read, signal) = self.events.feed(rest);
            rest = &rest[read..];
            let end = match signal {
                Some(Signal::DoneMark) if self.form == Form::SseChat => Some(End::Proper),
                Some(Signal::Object(facts, kind)) => self.judge(facts, kind),
                Some(Signal::DoneMark) | None => None,
            };
            self.end = self.end.or(end);
        }
    }

    /// What an object of the stream says about its end.
    fn judge(&self, facts: Facts, kind: Kind) -> Option<End> {
        let proper = match self.form {
            Form::Ndjson => facts.done,
            Form::Progress => facts.success,
            Form::SseResponses => kind == Kind::ResponseEnd,
            Form::SseMessages => kind == Kind::MessageStop,
            Form::SseChat | Form::Whole => false,
        };
        if facts.error || matches!(kind, Kind::Error | Kind::ResponseFailed) {
            Some(End::Error)
        } else {
            proper.then_some(End::Proper)
        }
    }
}
