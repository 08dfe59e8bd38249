//! A reader of server-sent events that keeps no event: it finds the data of each and scans it as it passes.

use super::json::{Facts, Kind, Scanner, Short};

const DONE_MARK: &[u8] = b"[DONE]";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Something in a `data:` line that may end the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// `[DONE]`
    DoneMark,
    /// A whole JSON object, and what its event is by its `type` or else by its `event:` line.
    Object(Facts, Kind),
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Field,
    EventName,
    Data,
    Comment,
}

/// The state between two bytes.
#[derive(Clone, Debug)]
pub(super) struct Events {
    place: Place,
    field: Short,
    /// The beginning of the value, without leading spaces.
    value: Short,
    name: Kind,
    scanner: Scanner,
    after_cr: bool,
    open: bool,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Field,
            field: Short::default(),
            value: Short::default(),
            name: Kind::Unnamed,
            scanner: Scanner::new(),
            after_cr: false,
            open: false,
        }
    }

    /// Whether an event was begun and not ended by its empty line.
    pub(super) fn is_open(&self) -> bool {
        self.open || self.field.len() > 0 || self.place != Place::Field
    }

    /// Whether it stands between two events: nothing before has a say in what comes.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_open() && !self.after_cr
    }

    /// Reads on until there is a signal or the bytes are used up. Says how many bytes it read.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> (usize, Option<Signal>) {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if self.place == Place::Data || self.place == Place::Comment {
                let line = &rest[..rest.iter().position(|b| ends_line(*b)).unwrap_or(rest.len())];
                if !line.is_empty() {
                    let (read, signal) = self.value(line);
                    at += read;
                    if signal.is_some() {
                        return (at, signal);
                    }
                    continue;
                }
            }
            self.step(rest[0]);
            at += 1;
        }
        (bytes.len(), None)
    }

    fn step(&mut self, byte: u8) {
        let second_half_of_crlf = byte == b'\n' && self.after_cr;
        self.after_cr = byte == b'\r';
        match (byte, self.place) {
            _ if second_half_of_crlf => {}
            _ if ends_line(byte) => self.end_line(),
            (b':', Place::Field) => {
                let field = self.field.get();
                self.place = match field.strip_prefix(BYTE_ORDER_MARK).unwrap_or(field) {
                    b"data" => Place::Data,
                    b"event" => Place::EventName,
                    _ => Place::Comment,
                };
            }
            (_, Place::Field) => self.field.push(byte),
            (b' ', _) if self.value.len() == 0 => {}
            _ => self.value.push(byte),
        }
    }

    /// Reads a part of a line's value that holds no line end.
    fn value(&mut self, part: &[u8]) -> (usize, Option<Signal>) {
        self.after_cr = false;
        if self.place == Place::Comment {
            return (part.len(), None);
        }
        for (at, byte) in part.iter().enumerate() {
            if self.value.len() >= DONE_MARK.len() {
                break;
            }
            if *byte != b' ' || self.value.len() > 0 {
                self.value.push(*byte);
            }
            if self.value.get() == DONE_MARK {
                // The scanner saw as much of the mark as earlier chunks held.
                self.scanner = Scanner::new();
                return (at + 1, Some(Signal::DoneMark));
            }
        }
        let (read, facts) = self.scanner.feed(part);
        (read, facts.map(|facts| Signal::Object(facts, if facts.kind == Kind::Unnamed { self.name } else { facts.kind })))
    }

    fn end_line(&mut self) {
        match self.place {
            Place::Field if self.field.len() == 0 => {
                self.name = Kind::Unnamed;
                self.scanner = Scanner::new();
                self.open = false;
            }
            Place::EventName => {
                self.name = Kind::named(self.value.get().trim_ascii_end());
                self.open = true;
            }
            Place::Field | Place::Data | Place::Comment => self.open = true,
        }
        self.place = Place::Field;
        self.field = Short::default();
        self.value = Short::default();
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
