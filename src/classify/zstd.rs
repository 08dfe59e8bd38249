//! The side copy of a zstd body: decoded to be peeked at, never forwarded.
//!
//! Bounds are Ollama's own; what it would refuse is not read here either.

use std::io::Read;

use ruzstd::decoding::StreamingDecoder;

/// The largest decoded body.
const LARGEST: usize = 20 << 20;
/// The largest window that a frame may ask for; the decoder allocates as much.
const LARGEST_WINDOW: u64 = 8 << 20;

/// Decodes all frames. `None` if the body is no zstd or breaks a bound.
pub(super) fn decode(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    while !body.is_empty() {
        if let Some(rest) = after_skippable(body) {
            body = rest;
            continue;
        }
        if window(body)? > LARGEST_WINDOW {
            return None;
        }
        let room = LARGEST - decoded.len();
        let mut frame = StreamingDecoder::new(&mut body).ok()?;
        // One byte more than allowed tells "exactly full" from "too large".
        frame.by_ref().take(room as u64 + 1).read_to_end(&mut decoded).ok()?;
        if decoded.len() > LARGEST {
            return None;
        }
    }
    Some(decoded)
}

/// What follows a skippable frame; `None` if there is none.
fn after_skippable(body: &[u8]) -> Option<&[u8]> {
    let (head, rest) = body.split_first_chunk::<8>()?;
    let [magic @ .., l0, l1, l2, l3] = head;
    let skippable = (0x184D_2A50..=0x184D_2A5F).contains(&u32::from_le_bytes(*magic));
    let length = usize::try_from(u32::from_le_bytes([*l0, *l1, *l2, *l3])).ok()?;
    // A length beyond the end skips to the end.
    skippable.then(|| rest.get(length..).unwrap_or_default())
}

/// The window that a frame's header asks for, in bytes.
fn window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.get(4)?;
    let at = 5;
    if descriptor & 0x20 == 0 {
        let byte = *frame.get(at)?;
        let base = 1_u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    // A single segment: the window is the content, whose size stands behind the dictionary's id.
    let at = at + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let size = frame.get(at..at + length)?.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(if length == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn all_frames_are_decoded_and_skippable_ones_skipped() {
        let mut body = compress_to_vec(&b"{\"model\":"[..], CompressionLevel::Fastest);
        body.extend([0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        body.extend(compress_to_vec(&b"\"a\"}"[..], CompressionLevel::Uncompressed));
        assert_eq!(decode(&body).unwrap(), b"{\"model\":\"a\"}");
    }

    #[test]
    fn a_body_of_exactly_the_bound_is_read_and_one_byte_more_is_not() {
        let spaces = vec![b' '; LARGEST + 1];
        let compress = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        assert_eq!(decode(&compress(&spaces[1..])).map(|d| d.len()), Some(LARGEST));
        assert_eq!(decode(&compress(&spaces)), None);
    }

    #[test]
    fn a_frame_that_asks_for_a_large_window_is_refused_before_it_is_given_one() {
        // No single segment, window byte 0x69: 8 MiB and an eighth; 0x68 is 8 MiB.
        let frame = |window: u8| [0x28, 0xB5, 0x2F, 0xFD, 0x00, window, 0x01, 0x00, 0x00];
        assert_eq!(window(&frame(0x68)), Some(LARGEST_WINDOW));
        assert_eq!(decode(&frame(0x68)), Some(Vec::new()));
        assert_eq!(decode(&frame(0x69)), None);
        let single = [0x28, 0xB5, 0x2F, 0xFD, 0xA0, 0x01, 0x00, 0x80, 0x00, 0x01, 0x00, 0x00];
        assert_eq!(window(&single), Some(LARGEST_WINDOW + 1));
        assert_eq!(decode(&single), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), framed: bool) {
            if framed && bytes.len() > 4 {
                bytes[..4].copy_from_slice(&[0x28, 0xB5, 0x2F, 0xFD]);
            }
            let _ = decode(&bytes);
        }
    }
}
