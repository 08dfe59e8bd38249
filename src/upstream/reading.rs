//! An answer read from bytes that are there already, with no socket: what the codec is tested and fuzzed with. Pure.

use bytes::BytesMut;
use hyper::http::response::Parts;

use super::framing::Framing;
use super::head;

/// What a client makes of the bytes that a node sent before it closed.
#[derive(Debug, Default)]
pub struct Reading {
    /// The head of the answer, if one came.
    pub head: Option<Parts>,
    /// The body without what frames it.
    pub data: Vec<u8>,
    /// The body came to its end.
    pub whole: bool,
    /// What is wrong with it.
    pub malformed: Option<&'static str>,
}

impl Reading {
    /// Of bytes that come in pieces of this size.
    pub fn of(bytes: &[u8], size: usize, to_head: bool) -> Self {
        let mut reading = Self::default();
        match reading.take(bytes.chunks(size.max(1)), to_head) {
            Ok(whole) => reading.whole = whole,
            Err(why) => reading.malformed = Some(why),
        }
        reading
    }

    /// Whether all of the body came.
    fn take<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, to_head: bool) -> Result<bool, &'static str> {
        let (mut buffer, mut framing) = (BytesMut::new(), None);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if framing.is_none() {
                let Some(answer) = head::read(&mut buffer, to_head)? else { continue };
                self.head = Some(answer.head.into_parts().0);
                framing = Some(answer.framing);
            }
            let Some(framing) = &mut framing else { continue };
            while let Some(data) = framing.take(&mut buffer)? {
                self.data.extend_from_slice(&data);
            }
            if framing.is_over() {
                break;
            }
        }
        Ok(framing.is_some_and(|framing| framing.is_over() || framing == Framing::ToTheEnd))
    }
}
