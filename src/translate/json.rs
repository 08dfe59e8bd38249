//! A scanner that reads the top level of JSON objects from a stream, byte by byte in constant memory.
//!
//! It looks for the few members that end a stream. It trusts its input to be JSON: on other input it finds nothing, or
//! something, but never fails.

/// The longest key or value that matters is `response.incomplete`.
const LONGEST: usize = 24;

/// What one complete object said at its top level. Later members win over earlier ones of the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `"done":true`
    pub(super) done: bool,
    /// `"error"` with any value but `null`, `false` or an empty text.
    pub(super) error: bool,
    /// `"status":"success"`
    pub(super) success: bool,
    /// The value of `"type"`, if it matters.
    pub(super) kind: Kind,
}

/// What kind of event an object or an `event:` line names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// None was named.
    #[default]
    Unnamed,
    /// One that ends nothing.
    Other,
    /// `message_stop`
    MessageStop,
    /// `response.completed`, or `response.incomplete` when a limit ended the answer.
    ResponseEnd,
    /// `response.failed`
    ResponseFailed,
    /// `error`
    Error,
}

impl Kind {
    pub(super) fn named(name: &[u8]) -> Self {
        match name {
            b"message_stop" => Self::MessageStop,
            b"response.completed" | b"response.incomplete" => Self::ResponseEnd,
            b"response.failed" => Self::ResponseFailed,
            b"error" => Self::Error,
            _ => Self::Other,
        }
    }
}

/// A text of bounded length; a longer one is remembered only as too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Short {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Short {
    pub(super) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    fn extend(&mut self, part: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..) {
            let fits = room.len().min(part.len());
            room[..fits].copy_from_slice(&part[..fits]);
        }
        self.len = (self.len + part.len()).min(LONGEST + 1);
    }

    /// The text; empty when it was too long, which no text that matters is.
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

/// The member that is being read, at depth 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Key,
    Value,
}

/// Whether the next byte stands within a quoted text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

/// What a value at depth 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A number, `true`, `false` or `null`; or nothing yet.
    Word,
    Text,
    /// A list or an object.
    Nested,
}

/// The state between two bytes.
#[derive(Clone, Debug)]
pub(super) struct Scanner {
    depth: u32,
    quote: Quote,
    member: Member,
    key: Short,
    value: Short,
    shape: Shape,
    facts: Facts,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            depth: 0,
            quote: Quote::Outside,
            member: Member::Key,
            key: Short::default(),
            value: Short::default(),
            shape: Shape::Word,
            facts: Facts::default(),
        }
    }

    /// Reads on until an object is complete or the bytes are used up. Says how many bytes it read.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Facts>) {
        let mut at = 0;
        while at < bytes.len() {
            // Nearly all bytes of a stream lie within texts, where only these two matter.
            if self.quote == Quote::Inside {
                let rest = &bytes[at..];
                let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(rest.len());
                self.take(&rest[..plain]);
                at += plain;
            }
            let Some(&byte) = bytes.get(at) else { break };
            at += 1;
            if let Some(facts) = self.step(byte) {
                return (at, Some(facts));
            }
        }
        (bytes.len(), None)
    }

    fn step(&mut self, byte: u8) -> Option<Facts> {
        match (self.quote, byte) {
            (Quote::Inside, b'"') => self.quote = Quote::Outside,
            (Quote::Inside | Quote::Escaped, _) => {
                let escapes = self.quote == Quote::Inside && byte == b'\\';
                self.quote = if escapes { Quote::Escaped } else { Quote::Inside };
                self.take(&[byte]);
            }
            (Quote::Outside, b'"') => {
                self.quote = Quote::Inside;
                self.shape_value(Shape::Text);
            }
            (Quote::Outside, b'{' | b'[') => self.open(),
            (Quote::Outside, b'}' | b']') => return self.close(),
            (Quote::Outside, b':') if self.depth == 1 => self.member = Member::Value,
            (Quote::Outside, b',') if self.depth == 1 => self.end_member(),
            (Quote::Outside, b' ' | b'\t' | b'\r' | b'\n') => {}
            (Quote::Outside, _) => self.take(&[byte]),
        }
        None
    }

    fn shape_value(&mut self, shape: Shape) {
        if self.depth == 1 && self.member == Member::Value {
            self.shape = shape;
        }
    }

    /// Keeps a part of a key or of a plain value at depth 1.
    fn take(&mut self, part: &[u8]) {
        if self.depth == 1 {
            match self.member {
                Member::Key => self.key.extend(part),
                Member::Value => self.value.extend(part),
            }
        }
    }

    fn open(&mut self) {
        if self.depth == 0 {
            *self = Self::new();
        }
        self.shape_value(Shape::Nested);
        self.depth = self.depth.saturating_add(1);
    }

    fn close(&mut self) -> Option<Facts> {
        if self.depth == 1 {
            self.end_member();
        }
        let ends = self.depth == 1;
        self.depth = self.depth.saturating_sub(1);
        ends.then_some(self.facts)
    }

    fn end_member(&mut self) {
        let value = (self.shape, self.value.get());
        if self.member == Member::Value {
            match self.key.get() {
                b"done" => self.facts.done = value == (Shape::Word, b"true"),
                b"status" => self.facts.success = value == (Shape::Text, b"success"),
                b"type" => self.facts.kind = if self.shape == Shape::Text { Kind::named(value.1) } else { Kind::Other },
                b"error" => {
                    let says_nothing = matches!(value, (Shape::Word, b"null" | b"false" | b""))
                        || (self.shape == Shape::Text && self.value.len() == 0);
                    self.facts.error = !says_nothing;
                }
                _ => {}
            }
        }
        self.member = Member::Key;
        self.key = Short::default();
        self.value = Short::default();
        self.shape = Shape::Word;
    }
}
