//! Both decoders on streams that real servers send, in every cut, and beyond their bounds.

use proptest::prelude::*;

use super::lines::LineFramer;
use super::sse::SseDecoder;
use super::{EVENT_LIMIT, TooLong};

/// Name and data of every event, or how it failed.
fn events(limit: usize, pieces: &[&[u8]]) -> (Vec<(String, String)>, Result<(), TooLong>) {
    let mut decoder = SseDecoder::new(limit);
    let mut seen = Vec::new();
    let mut take = |event: super::sse::Event<'_>| {
        seen.push((String::from_utf8_lossy(event.name).into_owned(), String::from_utf8_lossy(event.data).into_owned()));
    };
    let mut fed = Ok(());
    for piece in pieces {
        fed = fed.and(decoder.feed(piece, &mut take));
    }
    let ended = fed.and_then(|()| decoder.finish(&mut take));
    (seen, ended)
}

fn data(text: &str) -> Vec<String> {
    events(EVENT_LIMIT, &[text.as_bytes()]).0.into_iter().map(|(_, data)| data).collect()
}

fn lines(limit: usize, pieces: &[&[u8]]) -> (Vec<String>, Result<(), TooLong>) {
    let mut framer = LineFramer::new(limit);
    let mut seen = Vec::new();
    let mut take = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
    let mut fed = Ok(());
    for piece in pieces {
        fed = fed.and(framer.feed(piece, &mut take));
    }
    let ended = fed.and_then(|()| framer.finish(&mut take));
    (seen, ended)
}

#[test]
fn every_line_end_of_the_standard_ends_a_line() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["data: a", "", "event: x", "data: b", "data: c", "", ": note", "", "data", "", "data:d", "", ""].join(end);
        let (seen, _) = events(EVENT_LIMIT, &[text.as_bytes()]);
        let seen: Vec<_> = seen.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
        assert_eq!(seen, [("", "a"), ("x", "b\nc"), ("", ""), ("", "d")], "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(data("\u{feff}data: a\n\ndata: \u{feff}b\n\n\u{feff}data: c\n\n"), ["a", "\u{feff}b"]);
    assert_eq!(lines(99, &["\u{feff}{}\n\u{feff}{}\n".as_bytes()]).0, ["{}", "\u{feff}{}"]);
}

#[test]
fn only_one_space_behind_the_colon_is_taken_off_and_other_fields_are_ignored() {
    assert_eq!(data("data:  a \nid: 7\nretry: 10\nunknown: x\ndatax: y\n\n"), [" a "]);
}

#[test]
fn a_last_event_without_its_empty_line_or_its_line_end_is_taken() {
    for text in ["data: [DONE]\n\n", "data: [DONE]\n", "data: [DONE]", "data: [DONE]\r\n", "data: [DONE]\r"] {
        assert_eq!(data(text), ["[DONE]"], "{text:?}");
    }
    assert_eq!(data("event: ping\n"), Vec::<String>::new());
}

#[test]
fn blank_lines_between_lines_of_json_are_left_out_and_a_last_one_needs_no_end() {
    assert_eq!(lines(99, &[b"{\"a\":1}\r\n\n  \n{\"b\":\"\r\"}"]).0, ["{\"a\":1}", "{\"b\":\"\r\"}"]);
}

#[test]
fn an_event_at_the_limit_passes_and_one_byte_more_is_refused_whatever_the_cut() {
    let at = format!("data: {}\n\n", "x".repeat(94));
    let over = format!("data: {}\n\n", "x".repeat(95));
    let many = "data: 123456789\n".repeat(20) + "\n";
    for (text, passes) in [(&at, true), (&over, false), (&many, false)] {
        let whole = events(100, &[text.as_bytes()]);
        assert_eq!(whole.1.is_ok(), passes);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(events(100, &single), whole);
    }
    assert!(lines(10, &[b"0123456789\n"]).1.is_ok());
    assert!(lines(10, &[b"0123456789a\n"]).1.is_err());
    assert!(lines(10, &[b"01234", b"56789a"]).1.is_err());
}

#[test]
fn what_comes_behind_a_refused_event_is_not_read() {
    let mut decoder = SseDecoder::new(10);
    let mut none = |_: super::sse::Event<'_>| panic!("read on");
    assert_eq!(decoder.feed(b"data: 0123456789\n\n", &mut none), Err(TooLong));
    assert_eq!(decoder.feed(b"data: a\n\n", &mut none), Err(TooLong));
}

#[test]
fn a_long_event_does_not_keep_its_memory() {
    let long = format!("data: {}\n\n", "x".repeat(1 << 20));
    let mut decoder = SseDecoder::new(EVENT_LIMIT);
    long.as_bytes().chunks(4096).for_each(|chunk| decoder.feed(chunk, &mut |_| {}).unwrap());
    assert!(decoder.held() <= 32 * 1024, "{}", decoder.held());
    let mut framer = LineFramer::new(EVENT_LIMIT);
    long.as_bytes().chunks(4096).for_each(|chunk| framer.feed(chunk, &mut |_| {}).unwrap());
    assert!(framer.held() <= 32 * 1024, "{}", framer.held());
}

/// Cuts a text at the places, which are taken round and round.
fn cut<'t>(text: &'t [u8], cuts: &[usize]) -> Vec<&'t [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    for cut in cuts.iter().cycle() {
        let (piece, later) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = later;
        if rest.is_empty() {
            return pieces;
        }
    }
    pieces
}

proptest! {
    #[test]
    fn events_do_not_depend_on_the_cut(text in "(data: |data:|event: |:|\u{feff}|ü|😀|\\{\"a\":1\\}|\r\n|\n|\r|\n\n|x){0,60}", cuts in prop::collection::vec(1usize..9, 1..20), limit in 4usize..80) {
        prop_assert_eq!(events(limit, &cut(text.as_bytes(), &cuts)), events(limit, &[text.as_bytes()]));
    }

    #[test]
    fn lines_do_not_depend_on_the_cut(text in "(\\{\"a\":1\\}|\r\n|\n|\r|\u{feff}|ü| |x){0,60}", cuts in prop::collection::vec(1usize..9, 1..20), limit in 4usize..80) {
        prop_assert_eq!(lines(limit, &cut(text.as_bytes(), &cuts)), lines(limit, &[text.as_bytes()]));
    }

    #[test]
    fn what_was_written_as_an_event_is_read_back(values in prop::collection::vec("[^\r\n]{0,40}", 1..6), crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = values.iter().flat_map(|value| ["data: ", value, end]).chain([end]).collect();
        prop_assert_eq!(data(&text), [values.join("\n")]);
    }
}

/// The two fuzz targets (`fuzz/`) without a fuzzer: random bytes, rich in what these formats are made of, for a time
/// that `FUZZ_SECONDS` sets.
#[test]
fn no_bytes_make_a_decoder_panic_or_depend_on_the_cut() {
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
    let mut random = Random(std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) | 1);
    let mut runs = 0;
    while tokio::time::Instant::now() < until {
        let length = random.below(300);
        let noise: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        let cuts: Vec<usize> = (0..8).map(|_| 1 + random.below(40)).collect();
        let text = [b"data: ".as_slice(), &noise].concat();
        assert_eq!(events(64, &cut(&text, &cuts)), events(64, &[&text[..]]), "{text:?} {cuts:?}");
        assert_eq!(lines(64, &cut(&text, &cuts)), lines(64, &[&text[..]]), "{text:?} {cuts:?}");
        runs += 1;
    }
    println!("{runs} runs");
    assert!(runs > 100, "{runs}");
}

/// Marsaglia's xorshift: enough to make noise.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end).unwrap()
    }

    fn byte(&mut self) -> u8 {
        const RICH: &[u8] = b"\n\n\r:: ddaataevent{\"}\xEF\xBB\xBF";
        match self.below(3) {
            0 => u8::try_from(self.below(256)).unwrap(),
            _ => RICH[self.below(RICH.len() as u64)],
        }
    }
}
