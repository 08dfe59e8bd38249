//! The translation of one answer: a provider's bytes in, the client's bytes out. Nothing goes out before the provider
//! has said something that matters, so that until then a failure can still be a real status.

use serde_json::Value;

use super::client::{Client, Now, Voice};
use super::lines::LineFramer;
use super::speech::{Said, Speech, Usage};
use super::sse::SseDecoder;
use super::talk::Talk;
use super::target::Target;
use super::thoughts::Thoughts;
use super::trouble::broken;
use super::{EVENT_LIMIT, Form, TooLong, anthropic, in_band_error, native, openai};
use crate::values::{Fault, sort_by};

/// The API of whoever answers. Not the same as a `Dialect`, which is that of a client and of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tongue {
    /// Ollama's `/api/chat`
    Native,
    /// `/v1/chat/completions`
    OpenAi,
    /// `/v1/messages`
    Anthropic,
}

/// Understands what a client said on the route of its voice.
///
/// # Errors
/// `BadRequest` for what is malformed, or cannot be said to a cloud model.
pub fn understand(voice: Voice, body: &[u8]) -> Result<Talk, Fault> {
    match voice {
        Voice::Chat => native::request::chat(body),
        Voice::Generate => native::request::generate(body),
        Voice::ChatCompletions => openai::request::chat(body),
        Voice::Completions => openai::request::completion(body),
        Voice::Messages => anthropic::request::messages(body),
    }
}

/// About how many tokens an Anthropic client's request has, for `/v1/messages/count_tokens`.
///
/// # Errors
/// As [`understand`].
pub fn count_tokens(body: &[u8]) -> Result<u64, Fault> {
    Ok(anthropic::request::to_count(body)?.estimated_tokens())
}

/// The request's body in another tongue, with the names of what cannot be said in it, each once.
///
/// # Errors
/// `BadRequest` for pictures that a node would have to fetch.
pub fn ask(talk: &Talk, tongue: Tongue, target: &Target) -> Result<(Vec<u8>, Vec<String>), Fault> {
    let (body, mut dropped): (Value, _) = match tongue {
        Tongue::Native => native::ask::chat(talk, target)?,
        Tongue::OpenAi => openai::ask::chat(talk, target),
        Tongue::Anthropic => anthropic::ask::messages(talk, target),
    };
    sort_by(&mut dropped, Ord::cmp);
    dropped.dedup();
    Ok((body.to_string().into_bytes(), dropped))
}

/// The answer to a native request that says nothing: a cloud model is always loaded.
pub fn nothing_said(client: &Client, unload: bool, now: Now) -> Vec<u8> {
    native::writer::nothing_said(client, unload, now)
}

/// What an answer tells whoever passes it on, beside its words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Token counts.
    pub usage: Usage,
    /// To be kept for the next request of the conversation.
    pub thoughts: Option<Box<Thoughts>>,
}

/// A whole answer in the client's words.
///
/// # Errors
/// It cannot be understood, or reports an error.
pub fn whole(tongue: Tongue, client: Client, body: &[u8], now: Now) -> Result<Vec<u8>, Fault> {
    whole_told(tongue, client, body, false, now).map(|(written, _)| written)
}

/// The same with what it tells; the thoughts only if they are to be kept.
///
/// # Errors
/// As [`whole`].
pub fn whole_told(tongue: Tongue, client: Client, body: &[u8], thoughts: bool, now: Now) -> Result<(Vec<u8>, Told), Fault> {
    let mut said = Vec::new();
    match tongue {
        Tongue::Native => {
            let mut reader = native::reader::Reader::default();
            reader.line(body, &mut said)?;
            reader.eof()?;
        }
        Tongue::OpenAi => openai::reader::whole(body, &mut said)?,
        Tongue::Anthropic => anthropic::reader::whole(body, thoughts, &mut said)?,
    }
    let mut speech = Speech::default();
    for said in said {
        speech.take(said);
    }
    let told = Told { usage: speech.usage, thoughts: speech.signed.take() };
    let written = match Writer::new(client) {
        Writer::Native(writer) => writer.whole(speech, now),
        Writer::OpenAi(writer) => writer.whole(speech),
        Writer::Anthropic(writer) => writer.whole(&speech),
    };
    Ok((written, told))
}

/// The translation of a stream.
#[derive(Debug)]
pub struct Translation {
    reader: Reader,
    writer: Writer,
    form: Form,
    /// Between reading and writing; empty between two calls.
    said: Vec<Said>,
    done: bool,
    told: Told,
}

impl Translation {
    /// From the tongue of whoever answers to the client's.
    pub fn new(tongue: Tongue, client: Client) -> Self {
        let form = match client.voice {
            Voice::Chat | Voice::Generate => Form::Ndjson,
            Voice::ChatCompletions | Voice::Completions => Form::SseChat,
            Voice::Messages => Form::SseMessages,
        };
        Self {
            reader: Reader::new(tongue),
            writer: Writer::new(client),
            form,
            said: Vec::new(),
            done: false,
            told: Told::default(),
        }
    }

    /// Has signed thoughts kept, for [`Self::told`].
    pub fn keep_thoughts(&mut self) {
        if let Reader::Anthropic(_, reader) = &mut self.reader {
            reader.keep_thoughts();
        }
    }

    /// What the answer has told by now beside its words; it comes once.
    pub fn told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    /// Reads the next bytes and appends what the client gets for them. After an error what was appended before it still
    /// counts; then comes [`Self::error`], and no more.
    ///
    /// # Errors
    /// What was read reports an error, or cannot be understood.
    pub fn feed(&mut self, chunk: &[u8], now: Now, out: &mut Vec<u8>) -> Result<(), Fault> {
        let read = self.reader.feed(chunk, &mut self.said);
        self.write(now, out);
        read
    }

    /// The answer has ended.
    ///
    /// # Errors
    /// It ended without its end mark: that is no answer.
    pub fn finish(&mut self, now: Now, out: &mut Vec<u8>) -> Result<(), Fault> {
        let read = self.reader.finish(&mut self.said);
        self.write(now, out);
        read
    }

    /// Whether the client has its whole answer.
    pub fn done(&self) -> bool {
        self.done
    }

    /// What tells the client of an error in the middle of its answer.
    pub fn error(&self, text: &str) -> Vec<u8> {
        in_band_error(self.form, text, false).map(Vec::from).unwrap_or_default()
    }

    fn write(&mut self, now: Now, out: &mut Vec<u8>) {
        for said in self.said.drain(..) {
            if let Said::End { usage, .. } = &said {
                self.done = true;
                self.told.usage = *usage;
            }
            if let Said::Signed(thoughts) = said {
                self.told.thoughts = Some(thoughts);
                continue;
            }
            match &mut self.writer {
                Writer::Native(writer) => writer.say(said, now, out),
                Writer::OpenAi(writer) => writer.say(said, out),
                Writer::Anthropic(writer) => writer.say(said, out),
            }
        }
    }
}

#[derive(Debug)]
enum Reader {
    Native(LineFramer, native::reader::Reader),
    OpenAi(SseDecoder, openai::reader::Reader),
    Anthropic(SseDecoder, anthropic::reader::Reader),
}

impl Reader {
    fn new(tongue: Tongue) -> Self {
        match tongue {
            Tongue::Native => Self::Native(LineFramer::new(EVENT_LIMIT), native::reader::Reader::default()),
            Tongue::OpenAi => Self::OpenAi(SseDecoder::new(EVENT_LIMIT), openai::reader::Reader::default()),
            Tongue::Anthropic => Self::Anthropic(SseDecoder::new(EVENT_LIMIT), anthropic::reader::Reader::default()),
        }
    }

    /// Reads on until an error.
    fn feed(&mut self, chunk: &[u8], out: &mut Vec<Said>) -> Result<(), Fault> {
        self.frames(out, |frames, take| match frames {
            Frames::Lines(framer) => framer.feed(chunk, &mut |line| take(b"", line)),
            Frames::Events(decoder) => decoder.feed(chunk, &mut |event| take(event.name, event.data)),
        })
    }

    fn finish(&mut self, out: &mut Vec<Said>) -> Result<(), Fault> {
        self.frames(out, |frames, take| match frames {
            Frames::Lines(framer) => framer.finish(&mut |line| take(b"", line)),
            Frames::Events(decoder) => decoder.finish(&mut |event| take(event.name, event.data)),
        })?;
        match self {
            Self::Native(_, reader) => reader.eof(),
            Self::OpenAi(_, reader) => reader.eof(out),
            Self::Anthropic(_, reader) => reader.eof(out),
        }
    }

    fn frames(
        &mut self,
        out: &mut Vec<Said>,
        read: impl FnOnce(Frames<'_>, &mut dyn FnMut(&[u8], &[u8])) -> Result<(), TooLong>,
    ) -> Result<(), Fault> {
        let mut so_far = Ok(());
        let framed = match self {
            Self::Native(framer, reader) => read(Frames::Lines(framer), &mut |_, line| {
                if so_far.is_ok() {
                    so_far = reader.line(line, out);
                }
            }),
            Self::OpenAi(decoder, reader) => read(Frames::Events(decoder), &mut |name, data| {
                if so_far.is_ok() {
                    so_far = reader.event(name, data, out);
                }
            }),
            Self::Anthropic(decoder, reader) => read(Frames::Events(decoder), &mut |_, data| {
                if so_far.is_ok() {
                    so_far = reader.event(data, out);
                }
            }),
        };
        so_far.and(framed.map_err(|TooLong| broken("an event of it is longer than 8 MiB")))
    }
}

enum Frames<'a> {
    Lines(&'a mut LineFramer),
    Events(&'a mut SseDecoder),
}

#[derive(Debug)]
enum Writer {
    Native(native::writer::Writer),
    OpenAi(openai::writer::Writer),
    Anthropic(anthropic::writer::Writer),
}

impl Writer {
    fn new(client: Client) -> Self {
        match client.voice {
            Voice::Chat | Voice::Generate => Self::Native(native::writer::Writer::new(client)),
            Voice::ChatCompletions | Voice::Completions => Self::OpenAi(openai::writer::Writer::new(client)),
            Voice::Messages => Self::Anthropic(anthropic::writer::Writer::new(client)),
        }
    }
}
