//! The translation of streams, each tongue to each voice: no bytes make it panic, and no cut changes what the client gets.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use ollama_proxy::translate::{Client, Now, Tongue, Translation, Voice};

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

fuzz_target!(|input: (u8, u8, u8, &[u8])| {
    let (tongue, voice, cut, bytes) = input;
    let (tongue, voice) = (TONGUES[usize::from(tongue) % 3], VOICES[usize::from(voice) % 5]);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(cut) + 1).collect();
    assert_eq!(translated(tongue, voice, &pieces), translated(tongue, voice, &[bytes]));
});
