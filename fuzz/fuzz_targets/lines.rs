//! The framer of JSON lines: no bytes make it panic, and no cut changes what it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ollama_proxy::translate::LineFramer;

fn read(limit: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut framer = LineFramer::new(limit);
    let mut seen = Vec::new();
    let mut take = |line: &[u8]| seen.push(line.to_vec());
    let fed = pieces.iter().try_for_each(|piece| framer.feed(piece, &mut take));
    let ended = fed.and_then(|()| framer.finish(&mut take));
    (seen, ended.is_ok())
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (limit, cut, bytes) = input;
    let (limit, size) = (usize::from(limit) + 1, usize::from(cut) + 1);
    let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
    assert_eq!(read(limit, &pieces), read(limit, &[bytes]));
});
