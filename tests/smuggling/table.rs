//! The table: what a client sends, and what may become of it.

/// What has to become of a row.
#[derive(Debug)]
pub enum Fate {
    /// An error or the end of the connection; the node hears nothing of it.
    Refused,
    /// The node is asked this, in this order: method with target, and body.
    Forwarded(&'static [(&'static str, &'static str)]),
}

/// One row.
pub struct Row {
    pub name: &'static str,
    /// As it goes on the wire; `{BODY}` stands for a body of 26 bytes, `{HIDDEN}` for a request that must stay hidden.
    sent: &'static str,
    pub fate: Fate,
}

/// A body that any route for inference takes: 26 bytes, 1a in hexadecimal.
const BODY: &str = r#"{"model":"m","prompt":"x"}"#;

/// What an attacker wants somebody to take for a request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";

const ONE: Fate = Forwarded(&[("POST /api/generate", BODY)]);

impl Row {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let text = self.sent.replace("{BODY}", BODY).replace("{HIDDEN}", HIDDEN);
        text.replace("{LONG}", &"x".repeat(200_000)).into_bytes()
    }
}

const fn row(name: &'static str, sent: &'static str, fate: Fate) -> Row {
    Row { name, sent, fate }
}

use Fate::{Forwarded, Refused};

/// All of them.
pub const ROWS: [Row; 40] = [
    // First what must pass, so that refusing everything is no way out.
    row("a length", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n{BODY}", ONE),
    row("chunks", "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n", ONE),
    row(
        "two requests in one write",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\n{BODY}GET /second HTTP/1.1\r\nHost: x\r\n\r\n",
        Forwarded(&[("POST /api/generate", BODY), ("GET /second", "")]),
    ),
    // Length and chunks: the chunks count, and nothing behind them is read any more (RFC 9112 §6.3).
    row(
        "length before chunks",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        ONE,
    ),
    row(
        "length after chunks",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 26\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        ONE,
    ),
    row(
        "a hidden request behind chunks that a length spans",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 38\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}",
        Forwarded(&[("POST /api/generate", "")]),
    ),
    row(
        "a hidden request behind a length that chunks span",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n{HIDDEN}\r\n0\r\n\r\n",
        Forwarded(&[("POST /api/generate", HIDDEN)]),
    ),
    // Lengths.
    row(
        "two different lengths",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\nContent-Length: 5\r\n\r\n{BODY}",
        Refused,
    ),
    row(
        "two different lengths in one line",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26, 5\r\n\r\n{BODY}",
        Refused,
    ),
    row(
        "the same length twice",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\nContent-Length: 26\r\n\r\n{BODY}",
        ONE,
    ),
    row("a length with a sign", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: +26\r\n\r\n{BODY}", Refused),
    row("a length below zero", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{BODY}", Refused),
    row("a length in hexadecimal", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1a\r\n\r\n{BODY}", Refused),
    row(
        "a length beyond 64 bits",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551642\r\n\r\n{BODY}",
        Refused,
    ),
    row("an empty length", "POST /api/generate HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n{BODY}", Refused),
    // Codings.
    row(
        "a space before the colon",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked is not the last coding",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a coding that nobody knows",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunks of another coding",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunked twice",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "chunks in HTTP/1.0",
        "POST /api/generate HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    // Chunks.
    row(
        "a size beyond 64 bits",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000001a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size with a sign",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a size smaller than its chunk",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n19\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "an extension of a chunk",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a;name=value\r\n{BODY}\r\n0\r\n\r\n",
        ONE,
    ),
    row(
        "an extension of 200,000 bytes",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a;{LONG}\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a bare LF in an extension",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a;a\nb\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row(
        "a trailer that frames",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\nContent-Length: 5\r\n\r\n",
        ONE,
    ),
    // Lines.
    row(
        "a folded line",
        "POST /api/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n1a\r\n{BODY}\r\n0\r\n\r\n",
        Refused,
    ),
    row("a folded line of no meaning", "GET /api/nothing HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n", Refused),
    row("bare LF instead of line ends", "GET /lf HTTP/1.1\nHost: x\n\n", Forwarded(&[("GET /lf", "")])),
    row("a bare CR in a value", "GET /cr HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: 5\r\n\r\n", Refused),
    row("a NUL in a value", "GET /nul HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n", Refused),
    row("a line without a colon", "GET /line HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", Refused),
    // Targets.
    row("a whole URL", "GET http://elsewhere/there?a=b HTTP/1.1\r\nHost: x\r\n\r\n", Forwarded(&[("GET /there?a=b", "")])),
    row("two slashes", "GET //there//now HTTP/1.1\r\nHost: x\r\n\r\n", Forwarded(&[("GET //there//now", "")])),
    row("an encoded slash", "GET /a%2fb/%2e%2e/c HTTP/1.1\r\nHost: x\r\n\r\n", Forwarded(&[("GET /a%2fb/%2e%2e/c", "")])),
    row("an encoded line end", "GET /a%0d%0aX-A:b HTTP/1.1\r\nHost: x\r\n\r\n", Forwarded(&[("GET /a%0d%0aX-A:b", "")])),
    row("a space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", Refused),
    row("two hosts", "GET /hosts HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Forwarded(&[("GET /hosts", "")])),
];
