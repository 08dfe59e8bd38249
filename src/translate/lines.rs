//! A framer of lines of JSON: whole lines out of bytes that may be cut anywhere, without a copy where they were not cut.

use memchr::memchr;

use super::TooLong;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What is kept of the buffer once an unusually long line has passed.
const KEPT: usize = 8 * 1024;

/// The state between two chunks.
#[derive(Clone, Debug)]
pub struct LineFramer {
    limit: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    at_start: bool,
    failed: bool,
}

impl LineFramer {
    /// A framer that takes no line longer than `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), at_start: true, failed: false }
    }

    /// Reads the next bytes and hands every line that they complete to `take`, without its end; blank ones are left out.
    ///
    /// # Errors
    /// A line is longer than the limit; then nothing more can be read.
    pub fn feed(&mut self, chunk: &[u8], take: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let part = &rest[..at];
            rest = &rest[at + 1..];
            if self.line.is_empty() {
                self.check(part)?;
                self.whole(part, take);
            } else {
                self.keep(part)?;
                let mut line = std::mem::take(&mut self.line);
                self.whole(&line, take);
                line.clear();
                line.shrink_to(KEPT);
                self.line = line;
            }
        }
        self.keep(rest)
    }

    /// The stream has ended: a last line without its end is taken all the same.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn finish(&mut self, take: &mut impl FnMut(&[u8])) -> Result<(), TooLong> {
        self.feed(b"\n", take)
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), TooLong> {
        self.check(part)?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn check(&mut self, part: &[u8]) -> Result<(), TooLong> {
        self.failed |= self.line.len() + part.len() > self.limit;
        if self.failed { Err(TooLong) } else { Ok(()) }
    }

    fn whole(&mut self, line: &[u8], take: &mut impl FnMut(&[u8])) {
        let line = if self.at_start { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        self.at_start = false;
        let line = line.trim_ascii();
        if !line.is_empty() {
            take(line);
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.line.capacity()
    }
}
