//! Our reading of answers, held against hyper's.

use bytes::BytesMut;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper::http::response::Parts;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::framing::Framing;
use super::head;

/// What a client makes of the bytes that a node sent before it closed.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    head: Option<(u16, Option<ReasonPhrase>, HeaderMap)>,
    data: Vec<u8>,
    /// The body came to its end.
    whole: bool,
}

impl Reading {
    fn begin(&mut self, head: Parts) {
        self.head = Some((head.status.as_u16(), head.extensions.get().cloned(), head.headers));
    }
}

/// Ours, of bytes that come in pieces of this size.
fn ours(bytes: &[u8], size: usize, to_head: bool) -> Reading {
    let read = super::Reading::of(bytes, size, to_head);
    let mut reading = Reading { data: read.data, whole: read.whole, ..Reading::default() };
    if let Some(head) = read.head {
        reading.begin(head);
    }
    reading
}

async fn hypers(bytes: &[u8], method: Method) -> Reading {
    let (near, mut far) = duplex(1024 * 1024);
    let mut reading = Reading::default();
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).header("host", "x").body(Empty::<bytes::Bytes>::new()).unwrap();
    let answering = async {
        assert_ne!(far.read(&mut [0; 1024]).await.unwrap(), 0);
        far.write_all(bytes).await.unwrap();
        drop(far);
    };
    let (Ok(answer), ()) = tokio::join!(sender.send_request(request), answering) else { return reading };
    let (head, mut body) = answer.into_parts();
    reading.begin(head);
    loop {
        match body.frame().await {
            None => break,
            Some(Err(_)) => return reading,
            Some(Ok(frame)) => reading.data.extend_from_slice(&frame.into_data().unwrap_or_default()),
        }
    }
    reading.whole = true;
    reading
}

fn agree(bytes: &[u8], sizes: &[usize], method: &Method) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let theirs = runtime.block_on(hypers(bytes, method.clone()));
    for size in sizes {
        let ours = ours(bytes, *size, *method == Method::HEAD);
        assert_eq!(ours, theirs, "{:?} in pieces of {size}", String::from_utf8_lossy(bytes));
    }
}

const SIZES: [usize; 5] = [1, 2, 7, 100, usize::MAX];

#[test]
fn every_way_to_tell_the_end_of_a_body_is_read_as_hyper_reads_it() {
    let framings = [
        "",
        "content-length: 5\r\n",
        "content-length: 0\r\n",
        "content-length: 50\r\n",
        "content-length: +5\r\n",
        "content-length: five\r\n",
        "content-length: 5, 5\r\n",
        "content-length: 5\r\nContent-Length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, Chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, gzip\r\n",
    ];
    let bodies = ["", "hello", "hello and more", "5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nx-y: z\r\n\r\nmore", "5\r\nhel"];
    for line in ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 304 X", "HTTP/1.1 200 Very Well"] {
        for (framing, body) in framings.iter().flat_map(|framing| bodies.map(|body| (framing, body))) {
            let text = format!("{line}\r\n{framing}x-a: b\r\n\r\n{body}");
            agree(text.as_bytes(), &SIZES, &Method::GET);
            agree(text.as_bytes(), &SIZES, &Method::HEAD);
        }
    }
}

#[test]
fn heads_that_only_announce_another_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nhi";
    agree(text.as_bytes(), &SIZES, &Method::POST);
    assert_eq!(ours(text.as_bytes(), 3, false).data, b"hi");
}

#[test]
fn an_endless_head_is_refused_and_so_is_another_protocol() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(100_000));
    assert!(head::read(&mut BytesMut::from(endless.as_str()), false).is_err());
    let lines = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert!(head::read(&mut BytesMut::from(lines.as_str()), false).is_err());
    assert!(head::read(&mut BytesMut::from("HTTP/1.1 101 Switching Protocols\r\n\r\n"), false).is_err());
}

#[test]
fn extensions_and_trailers_without_end_are_refused() {
    let many = "x".repeat(20_000);
    for body in [format!("5;{many}\r\nhello"), format!("5\r\nhello\r\n0\r\n{many}\r\n\r\n")] {
        let read = ours(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}").as_bytes(), usize::MAX, false);
        assert!(!read.whole && read.head.is_some());
    }
}

#[test]
fn chunks_that_came_together_go_on_as_one_piece_and_the_last_says_so() {
    let mut buffer = BytesMut::from("5\r\nhello\r\n1;x=y\r\n \r\n5\r\nwor");
    let mut framing = Framing::chunked();
    assert_eq!(framing.take(&mut buffer).unwrap().unwrap(), "hello wor");
    buffer.extend_from_slice(b"ld\r\n0\r\n\r\nrest");
    assert_eq!(framing.take(&mut buffer).unwrap().unwrap(), "ld");
    assert_eq!((framing.is_over(), framing.left(), &buffer[..]), (true, None, &b"rest"[..]));
}

#[test]
fn what_came_before_a_malformed_chunk_is_handed_on_before_the_error() {
    let mut buffer = BytesMut::from("5\r\nhello\r\nx\r\n");
    let mut framing = Framing::chunked();
    assert_eq!(framing.take(&mut buffer).unwrap().unwrap(), "hello");
    assert!(framing.take(&mut buffer).is_err());
    assert!(framing.take(&mut buffer).is_err() && !framing.is_over());
}

/// A body in chunks, well-formed.
fn chunked() -> impl Strategy<Value = Vec<u8>> {
    // Short, so that what slips in often hits what frames them; and nothing in them looks like a size, nor is a size made 0: what
    // stands behind the last chunk is trailers, which hyper reads and we do not.
    let chunk = (vec(0x80..=0xff_u8, 1..8), prop::sample::select(vec!["", " ", "\t ;x", ";a=\"b\""]));
    (vec(chunk, 0..6), prop::sample::select(vec!["", "x-sum: 1\r\n"])).prop_map(|(chunks, trailers)| {
        let mut text = Vec::new();
        for (data, extension) in chunks {
            text.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
            text.extend_from_slice(&data);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
        text
    })
}

/// A byte that means something somewhere, and where it is put in.
fn slip() -> impl Strategy<Value = (prop::sample::Index, bool, u8)> {
    (any::<prop::sample::Index>(), any::<bool>(), prop::sample::select(b" \t\r\n;:,3aFx\x80\0".to_vec()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_chunked_body_is_read_as_hyper_reads_it_wherever_it_is_cut_and_whatever_slips_into_it(
        body in chunked(), slips in vec(slip(), 0..3), size in 1_usize..60, cut in any::<prop::sample::Index>(), cuts in 0..4,
    ) {
        let frames = body.len() - body.windows(3).rposition(|end| end == b"0\r\n").map_or(0, |at| body.len() - at);
        let mut text = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let head = text.len();
        text.extend_from_slice(&body);
        for (at, replaces, byte) in slips {
            let at = head + at.index(frames + 1);
            if replaces { text[at] = byte } else { text.insert(at, byte) }
        }
        if cuts == 0 {
            text.truncate(head + cut.index(body.len()));
        }
        agree(&text, &[1, size, usize::MAX], &Method::GET);
    }

    #[test]
    fn a_head_is_read_as_hyper_reads_it_whatever_slips_into_it(slips in vec(slip(), 0..3), size in 1_usize..60) {
        let mut text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty:\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello".to_vec();
        for (at, replaces, byte) in slips {
            let at = at.index(text.len());
            if replaces { text[at] = byte } else { text.insert(at, byte) }
        }
        agree(&text, &[1, size, usize::MAX], &Method::GET);
    }
}
