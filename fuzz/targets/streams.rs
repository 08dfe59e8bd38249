//! Streams: no bytes make a reader panic, and where the network cuts them changes nothing.

use std::time::{Duration, SystemTime};

use ollama_proxy::translate::{Client, Event, LineFramer, Now, SseDecoder, Tongue, Translation, Voice};

use super::number;

/// Events with their names, and whether the end was in order.
type Events = (Vec<(Vec<u8>, Vec<u8>)>, bool);

/// Server-sent events.
pub fn events(mut data: &[u8]) {
    fn read(limit: usize, pieces: &[&[u8]]) -> Events {
        let mut decoder = SseDecoder::new(limit);
        let mut seen = Vec::new();
        let mut take = |event: Event<'_>| seen.push((event.name.to_vec(), event.data.to_vec()));
        let fed = pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut take));
        let ended = fed.and_then(|()| decoder.finish(&mut take));
        (seen, ended.is_ok())
    }
    let (limit, size) = (number(&mut data) + 1, number(&mut data) + 1);
    let pieces: Vec<&[u8]> = data.chunks(size).collect();
    assert_eq!(read(limit, &pieces), read(limit, &[data]));
}

/// Lines of JSON.
pub fn lines(mut data: &[u8]) {
    fn read(limit: usize, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut framer = LineFramer::new(limit);
        let mut seen = Vec::new();
        let mut take = |line: &[u8]| seen.push(line.to_vec());
        let fed = pieces.iter().try_for_each(|piece| framer.feed(piece, &mut take));
        let ended = fed.and_then(|()| framer.finish(&mut take));
        (seen, ended.is_ok())
    }
    let (limit, size) = (number(&mut data) + 1, number(&mut data) + 1);
    let pieces: Vec<&[u8]> = data.chunks(size).collect();
    assert_eq!(read(limit, &pieces), read(limit, &[data]));
}

const TONGUES: [Tongue; 3] = [Tongue::Native, Tongue::OpenAi, Tongue::Anthropic];
const VOICES: [Voice; 5] = [Voice::Chat, Voice::Generate, Voice::ChatCompletions, Voice::Completions, Voice::Messages];

fn translated(tongue: Tongue, voice: Voice, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let asked = SystemTime::UNIX_EPOCH;
    let client = Client { voice, model: "m".into(), id: "1".into(), asked, wants_usage: true, estimate: 1 };
    let now = Now { wall: asked, since: Duration::from_secs(1) };
    let (mut translation, mut out) = (Translation::new(tongue, client), Vec::new());
    let fed = pieces.iter().try_for_each(|piece| translation.feed(piece, now, &mut out));
    let ended = fed.and_then(|()| translation.finish(now, &mut out));
    (out, ended.err().map(|fault| fault.text.into_owned()))
}

/// The translation of streams, each tongue to each voice.
pub fn translation(mut data: &[u8]) {
    let (tongue, voice) = (TONGUES[number(&mut data) % 3], VOICES[number(&mut data) % 5]);
    let size = number(&mut data) + 1;
    let pieces: Vec<&[u8]> = data.chunks(size).collect();
    assert_eq!(translated(tongue, voice, &pieces), translated(tongue, voice, &[data]));
}
