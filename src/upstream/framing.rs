//! Where the body of an answer ends, and its bytes without what frames them. Pure.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

/// Extensions of chunks and trailers together: nobody reads them, so nobody may send many.
const BESIDE: u32 = 16 * 1024;

/// What is still to come of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunks),
    /// All that comes until the connection is closed.
    ToTheEnd,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    /// Bytes that were of no use.
    beside: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first digit of a size.
    Start,
    /// In the digits of a size, which is this so far.
    Size(u64),
    /// In white space behind them.
    Space(u64),
    /// In an extension.
    Extension(u64),
    /// Before the line feed behind a size.
    SizeEnd(u64),
    /// So many bytes before the end of a chunk's data.
    Data(u64),
    /// Behind the data: carriage return, line feed.
    DataReturn,
    DataEnd,
    /// At the beginning of a line behind the last chunk.
    Last,
    /// In a trailer, and before its line feed.
    Trailer,
    TrailerEnd,
    /// Before the very last line feed.
    LastEnd,
    Over,
    /// What came is no chunk: told when all before it was handed on.
    Malformed(&'static str),
}

impl Framing {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunks { place: Place::Start, beside: 0 })
    }

    /// Whether all of the body was taken. One that lasts to the end never knows.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks { place: Place::Over, .. }))
    }

    /// The bytes that are to come, if the head told. A body in chunks stays one, also when all of it is here already.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::ToTheEnd => None,
        }
    }

    /// Takes what belongs to the body off the front of `buffer`: all data in it, as one piece. `None`: there is none.
    ///
    /// # Errors
    /// What is malformed, once all data before it was taken.
    pub(super) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, &'static str> {
        let Taken { used, data } = self.take_from(buffer)?;
        if used == 0 {
            return Ok(None);
        }
        let mut piece = buffer.split_to(used);
        piece.truncate(data.end);
        piece.advance(data.start);
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }

    /// The same off the front of any bytes; where its data lie then.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn take_from(&mut self, bytes: &mut [u8]) -> Result<Taken, &'static str> {
        let used = match self {
            Self::Length(left) => {
                let taken = most(*left, bytes.len());
                *left -= taken as u64;
                taken
            }
            Self::Chunked(chunks) => return chunks.take_from(bytes),
            Self::ToTheEnd => bytes.len(),
        };
        Ok(Taken { used, data: 0..used })
    }
}

/// What was taken off the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// So many are done with.
    pub(super) used: usize,
    /// Among them the data, put together.
    pub(super) data: Range<usize>,
}

impl Chunks {
    /// The data is moved together where it stands: a chunk that came alone is not moved at all.
    fn take_from(&mut self, bytes: &mut [u8]) -> Result<Taken, &'static str> {
        let (mut used, mut data) = (0, 0..0);
        while used < bytes.len() {
            match self.place {
                Place::Data(left) => {
                    if data.is_empty() {
                        data = used..used;
                    }
                    let taken = most(left, bytes.len() - used);
                    if used > data.end {
                        bytes.copy_within(used..used + taken, data.end);
                    }
                    used += taken;
                    data.end += taken;
                    let left = left - taken as u64;
                    self.place = if left == 0 { Place::DataReturn } else { Place::Data(left) };
                }
                Place::Over | Place::Malformed(_) => break,
                place => {
                    self.place = self.step(place, bytes[used]);
                    used += 1;
                }
            }
        }
        match self.place {
            Place::Malformed(why) if data.is_empty() => Err(why),
            _ => Ok(Taken { used, data }),
        }
    }

    fn step(&mut self, place: Place, byte: u8) -> Place {
        match (place, byte) {
            (Place::Start, b'\r' | b'\t' | b' ' | b';') => Place::Malformed("a chunk without a size"),
            (Place::Size(size) | Place::Space(size), b'\t' | b' ') => Place::Space(size),
            (Place::Size(size) | Place::Space(size), b';') => Place::Extension(size),
            (Place::Size(size) | Place::Space(size) | Place::Extension(size), b'\r') => Place::SizeEnd(size),
            (Place::Start, digit) => Place::of_digit(0, digit),
            (Place::Size(size), digit) => Place::of_digit(size, digit),
            (Place::Extension(_), b'\n') => Place::Malformed("a line end in an extension of a chunk"),
            (Place::Extension(size), _) => self.skip(Place::Extension(size)),
            (Place::SizeEnd(0), b'\n') => Place::Last,
            (Place::SizeEnd(size), b'\n') => Place::Data(size),
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => Place::Start,
            (Place::Last, b'\r') => Place::LastEnd,
            (Place::Trailer, b'\r') => self.skip(Place::TrailerEnd),
            (Place::Last | Place::Trailer, _) => self.skip(Place::Trailer),
            (Place::TrailerEnd, b'\n') => self.skip(Place::Last),
            (Place::LastEnd, b'\n') => Place::Over,
            _ => Place::Malformed("a byte where a line end belongs in a chunked body"),
        }
    }

    fn skip(&mut self, place: Place) -> Place {
        self.beside += 1;
        if self.beside < BESIDE { place } else { Place::Malformed("too many extensions or trailers of chunks") }
    }
}

impl Place {
    fn of_digit(size: u64, digit: u8) -> Self {
        let Some(digit) = char::from(digit).to_digit(16) else { return Self::Malformed("the size of a chunk is no number") };
        let longer = size.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
        longer.map_or(Self::Malformed("the size of a chunk is no number of this world"), Self::Size)
    }
}

fn most(left: u64, there: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(there)
}
