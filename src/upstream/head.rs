//! The heads of a request and of its answer, as they stand on the wire to a node. Pure.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode, Uri, Version};

use super::framing::Framing;
use super::upload::{Coding, Upload};
use crate::http::Body;

/// A longer head is no head of Ollama's.
const LONGEST: usize = 64 * 1024;

/// More lines than this are refused.
const MOST: usize = 100;

/// The head of a request, being written. All but its framing is the caller's.
pub struct RequestHead {
    bytes: BytesMut,
    method: Method,
}

impl RequestHead {
    /// Begins with path and query of `target`.
    pub fn new(method: &Method, target: &Uri) -> Self {
        const USUAL: usize = 512;
        let mut head = Self { bytes: BytesMut::with_capacity(USUAL), method: method.clone() };
        let target = target.path_and_query().map_or("/", |target| target.as_str());
        head.put([method.as_str(), " ", target, " HTTP/1.1\r\n"].map(str::as_bytes));
        head
    }

    /// One more line.
    pub fn header(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.put([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }

    /// With a body that is whole in memory. A `GET` without one has none; other methods tell that it is empty.
    pub fn with(mut self, body: Bytes) -> Upload {
        if !body.is_empty() || !matches!(self.method, Method::GET | Method::HEAD) {
            self.length(body.len() as u64);
        }
        let to_head = self.method == Method::HEAD;
        Upload::whole(self.end(), body, to_head)
    }

    /// With a body that passes through: in chunks, unless its length is known.
    pub fn streaming(mut self, body: Body, length: Option<u64>) -> Upload {
        let coding = match length {
            Some(length) => {
                self.length(length);
                Coding::Length(length)
            }
            None => {
                self.header(&header::TRANSFER_ENCODING, &HeaderValue::from_static("chunked"));
                Coding::Chunked
            }
        };
        let to_head = self.method == Method::HEAD;
        Upload::streaming(self.end(), body, coding, to_head)
    }

    fn length(&mut self, length: u64) {
        let (mut digits, mut at, mut left) = ([0; 20], 20, length);
        while at == 20 || left > 0 {
            at -= 1;
            digits[at] = b"0123456789"[(left % 10) as usize];
            left /= 10;
        }
        self.put([b"content-length: ", &digits[at..], b"\r\n"]);
    }

    fn end(mut self) -> Bytes {
        self.put([b"\r\n"]);
        self.bytes.freeze()
    }

    fn put<const N: usize>(&mut self, parts: [&[u8]; N]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }
}

/// The head of an answer, read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection can take another request when this answer is over.
    pub(super) stays: bool,
}

/// Why something is no head of an answer.
pub(super) type Malformed = &'static str;

/// Takes the head of the answer off the front of `buffer`, and such as only announce it; `None` while its end has not come.
///
/// # Errors
/// When it is none, or one whose body cannot be told from what follows (RFC 9112 §6.3).
pub(super) fn read(buffer: &mut BytesMut, to_head: bool) -> Result<Option<Answer>, Malformed> {
    loop {
        let Some(Lines { status, old, reason, fields, len }) = lines(buffer)? else { return Ok(None) };
        let status = StatusCode::from_u16(status).map_err(|_| "it answers with a status that is none")?;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err("it changes the protocol, which nobody asked for");
        }
        if status.is_informational() {
            buffer.advance(len);
            continue;
        }
        let bytes = buffer.split_to(len).freeze();
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.version_mut() = if old { Version::HTTP_10 } else { Version::HTTP_11 };
        // A node's own words for a status pass like all its words.
        if status.canonical_reason().is_none_or(|usual| usual.as_bytes() != &bytes[reason.clone()]) {
            if let Ok(reason) = ReasonPhrase::try_from(&bytes[reason]) {
                head.extensions_mut().insert(reason);
            }
        }
        *head.headers_mut() = map(&bytes, &fields)?;
        let framing = framing(&head, to_head)?;
        let stays = !old && !says_close(head.headers()) && framing != Framing::ToTheEnd;
        return Ok(Some(Answer { head, framing, stays }));
    }
}

/// Where the parts of a head stand.
struct Lines {
    status: u16,
    /// HTTP/1.0
    old: bool,
    reason: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
    len: usize,
}

fn lines(buffer: &[u8]) -> Result<Option<Lines>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, buffer, &mut fields);
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if buffer.len() < LONGEST => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the head of its answer is too long"),
        Err(httparse::Error::TooManyHeaders) => return Err("the head of its answer has too many lines"),
        Err(_) => return Err("its answer is not HTTP/1.1"),
    };
    let begin = buffer.as_ptr().addr();
    let place = |part: &[u8]| {
        // An empty part may stand anywhere.
        let from = if part.is_empty() { 0 } else { part.as_ptr().addr() - begin };
        from..from + part.len()
    };
    Ok(Some(Lines {
        status: answer.code.unwrap_or_default(),
        old: answer.version == Some(0),
        reason: place(answer.reason.unwrap_or_default().as_bytes()),
        fields: answer.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value))).collect(),
        len,
    }))
}

fn map(bytes: &Bytes, fields: &[(Range<usize>, Range<usize>)]) -> Result<HeaderMap, Malformed> {
    const BAD: Malformed = "a header of its answer is malformed";
    /// So many more are put in on the way to the client.
    const MORE: usize = 4;
    let mut headers = HeaderMap::with_capacity(fields.len() + MORE);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(&bytes[name.clone()]).map_err(|_| BAD)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value.clone())).map_err(|_| BAD)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// How the body behind a head is told from what follows it.
fn framing(head: &Response<()>, to_head: bool) -> Result<Framing, Malformed> {
    let headers = head.headers();
    if to_head || matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Length(0));
    }
    if let Some(coding) = headers.get_all(header::TRANSFER_ENCODING).iter().next_back() {
        if head.version() == Version::HTTP_10 {
            return Err("it sends chunks in HTTP/1.0");
        }
        let last = coding.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::chunked() } else { Framing::ToTheEnd });
    }
    let mut length = None;
    for told in headers.get_all(header::CONTENT_LENGTH) {
        for told in told.as_bytes().split(|byte| *byte == b',') {
            let told = digits(told.trim_ascii()).ok_or("the length of its answer is no number")?;
            if length.is_some_and(|length| length != told) {
                return Err("it tells two lengths of one answer");
            }
            length = Some(told);
        }
    }
    Ok(length.map_or(Framing::ToTheEnd, Framing::Length))
}

/// Digits and nothing else: `parse` alone would take a sign.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn says_close(headers: &HeaderMap) -> bool {
    let words = headers.get_all(header::CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.into_iter().any(|word| word.trim_ascii().eq_ignore_ascii_case(b"close"))
}
