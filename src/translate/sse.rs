//! A decoder of server-sent events: lines end by LF, CRLF or CR, wherever the bytes are cut.
//!
//! An event that lies whole in one chunk is handed on without a copy. Nothing longer than the limit is ever held.

use memchr::{memchr, memchr2};

use super::TooLong;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What a decoder keeps of its buffers once an unusually long event has passed.
const KEPT: usize = 8 * 1024;

/// One event with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The value of its last `event:` line; empty if there was none.
    pub name: &'a [u8],
    /// Its `data:` lines, joined by LF.
    pub data: &'a [u8],
}

/// The state between two chunks.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about the bytes so far")]
pub struct SseDecoder {
    limit: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    failed: bool,
}

impl SseDecoder {
    /// A decoder that takes no line, and no event's data, longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (line, name, data) = (Vec::new(), Vec::new(), Vec::new());
        Self { limit, line, name, data, has_data: false, after_cr: false, at_start: true, failed: false }
    }

    /// Reads the next bytes and hands every event that they complete to `take`.
    ///
    /// # Errors
    /// A line or an event is longer than the limit; then nothing more can be read.
    pub fn feed(&mut self, chunk: &[u8], take: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        if self.failed {
            return Err(TooLong);
        }
        let fed = self.lines(chunk, take);
        self.failed = fed.is_err();
        fed
    }

    /// The stream has ended. What lacks only its line end or its empty line is taken all the same: some servers end
    /// with `data: [DONE]` and nothing behind it.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn finish(&mut self, take: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        self.after_cr = false;
        if self.line.is_empty() { self.feed(b"\n", take) } else { self.feed(b"\n\n", take) }
    }

    fn lines(&mut self, chunk: &[u8], take: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        let mut rest = chunk;
        // The data of the open event, as long as it is one line of this chunk.
        let mut here: Option<&[u8]> = None;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = memchr2(b'\n', b'\r', rest) {
            let part = &rest[..at];
            let is_cr = rest[at] == b'\r';
            rest = &rest[at + 1..];
            if is_cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            if self.line.is_empty() {
                self.line(part, &mut here, take)?;
            } else {
                self.keep(part)?;
                let line = std::mem::take(&mut self.line);
                let mut carried = None;
                // The open event, if any, lies in earlier chunks: `here` is still empty.
                let read = self.line(&line, &mut carried, take);
                if let Some(data) = carried {
                    self.data.extend_from_slice(data);
                }
                self.line = emptied(line);
                read?;
            }
        }
        self.keep(rest)?;
        if let Some(data) = here {
            self.data.extend_from_slice(data);
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + part.len() > self.limit {
            return Err(TooLong);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// Reads a whole line.
    fn line<'l>(&mut self, line: &'l [u8], here: &mut Option<&'l [u8]>, take: &mut impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        if line.len() > self.limit {
            return Err(TooLong);
        }
        let line = if self.at_start { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        self.at_start = false;
        if line.is_empty() {
            self.dispatch(here.take(), take);
            return Ok(());
        }
        let (field, value) = memchr(b':', line).map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.data_line(value, here),
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
                Ok(())
            }
            // Comments have an empty field; `id` and `retry` serve browsers that reconnect.
            _ => Ok(()),
        }
    }

    fn data_line<'l>(&mut self, value: &'l [u8], here: &mut Option<&'l [u8]>) -> Result<(), TooLong> {
        let before = self.data.len() + here.map_or(0, <[u8]>::len);
        if before + usize::from(self.has_data) + value.len() > self.limit {
            return Err(TooLong);
        }
        if !self.has_data {
            self.has_data = true;
            *here = Some(value);
            return Ok(());
        }
        if let Some(first) = here.take() {
            self.data.extend_from_slice(first);
        }
        self.data.push(b'\n');
        self.data.extend_from_slice(value);
        Ok(())
    }

    fn dispatch(&mut self, here: Option<&[u8]>, take: &mut impl FnMut(Event<'_>)) {
        if self.has_data {
            take(Event { name: &self.name, data: here.unwrap_or(&self.data) });
        }
        self.has_data = false;
        self.name.clear();
        self.data = emptied(std::mem::take(&mut self.data));
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.line.capacity() + self.data.capacity() + self.name.capacity()
    }
}

/// The same buffer without its content, and without the memory that one long event took.
fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(KEPT);
    buffer
}
