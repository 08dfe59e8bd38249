//! As much HTTP/1.1 as a load generator and a fake upstream need: heads, and the framing of bodies.

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that are read at once.
const READ: usize = 64 * 1024;

/// A head that stands whole at the beginning of a buffer.
pub struct Head {
    lines: String,
    /// Its bytes, with the empty line.
    pub len: usize,
}

impl Head {
    /// `None` while its end has not come.
    pub fn find(buffer: &[u8]) -> Option<Self> {
        let len = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        Some(Self { lines: String::from_utf8_lossy(&buffer[..len - 4]).into_owned(), len })
    }

    /// The second word of the first line: a path, or a status.
    pub fn second_word(&self) -> &str {
        self.lines.split_ascii_whitespace().nth(1).unwrap_or_default()
    }

    /// A header's value.
    pub fn value(&self, name: &str) -> Option<&str> {
        let fields = self.lines.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// How the body behind it is framed; without a word about it there is none.
    pub fn framing(&self) -> Framing {
        if self.value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Framing::Chunked(Chunks::Size(0));
        }
        Framing::Length(self.value("content-length").and_then(|length| length.parse().ok()).unwrap_or(0))
    }
}

/// What is still to come of a body.
pub enum Framing {
    Length(u64),
    Chunked(Chunks),
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy)]
pub enum Chunks {
    /// In a line that tells a size, this much of which was read.
    Size(u64),
    /// So many bytes before the end of a chunk.
    Data(u64),
    /// Behind a chunk, before its line end.
    DataEnd,
    /// Behind the last chunk.
    LastLine,
    Over,
}

impl Framing {
    /// Takes what belongs to the body off the front of `bytes` and hands its data over. Says how many bytes it took.
    pub fn feed(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8])) -> anyhow::Result<usize> {
        match self {
            Self::Length(left) => {
                let taken = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                data(&bytes[..taken]);
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.feed(bytes, data),
        }
    }

    /// Whether all of it has come.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Over))
    }
}

impl Chunks {
    fn feed(&mut self, bytes: &[u8], data: &mut impl FnMut(&[u8])) -> anyhow::Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            *self = match *self {
                Self::Over => break,
                Self::Data(left) => {
                    let taken = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                    data(&bytes[at..at + taken]);
                    at += taken;
                    let left = left - taken as u64;
                    if left == 0 { Self::DataEnd } else { Self::Data(left) }
                }
                place => {
                    at += 1;
                    place.step(bytes[at - 1])?
                }
            };
        }
        Ok(at)
    }

    fn step(self, byte: u8) -> anyhow::Result<Self> {
        Ok(match (self, byte) {
            (Self::Size(0), b'\n') => Self::LastLine,
            (Self::Size(size), b'\n') => Self::Data(size),
            (Self::DataEnd, b'\n') => Self::Size(0),
            (Self::LastLine, b'\n') => Self::Over,
            (place, b'\r') => place,
            (Self::Size(size), digit) => {
                let digit = char::from(digit).to_digit(16).context("a chunk size is no number")?;
                Self::Size(size * 16 + u64::from(digit))
            }
            _ => bail!("a byte where a line end belongs in a chunked body"),
        })
    }
}

/// Reads on behind what is in the buffer; an end of the connection is an error.
pub async fn read_more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.reserve(READ);
    if stream.read_buf(buffer).await? == 0 {
        bail!("the connection ended");
    }
    Ok(())
}

/// Reads a head and takes it off the buffer.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> anyhow::Result<Head> {
    loop {
        if let Some(head) = Head::find(buffer) {
            buffer.drain(..head.len);
            return Ok(head);
        }
        read_more(stream, buffer).await?;
    }
}

/// Reads a body to its end and hands over its data as it comes.
pub async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    mut framing: Framing,
    mut data: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    loop {
        let taken = framing.feed(buffer, &mut data)?;
        buffer.drain(..taken);
        if framing.is_over() {
            return Ok(());
        }
        read_more(stream, buffer).await?;
    }
}
