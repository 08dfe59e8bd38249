//! Blobs of many gigabytes stream through: nothing of them is kept, and the node may answer whenever it likes.

use std::net::SocketAddr;

use crate::client::ask;
use crate::node::Node;
use crate::program::{self, Scratch};
use crate::proxy::Proxy;
use crate::wire::Wire;

const BLOB: &str = "POST /api/blobs/sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The head of an upload of so many bytes.
fn head(length: usize) -> String {
    format!("{BLOB} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test]
async fn an_upload_arrives_byte_for_byte_with_its_length() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let blob: Vec<u8> = (0..3_000_000_u32).map(|n| (n * 7).to_le_bytes()[1]).collect();
    let sent = blob.clone();
    let asking = tokio::spawn(async move { ask(proxy.address, BLOB, &[], sent).await });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.get("content-length"), Some("3000000"));
    assert!(exchange.body().await == blob);
    exchange.answer("201 Created", &[], "").await;
    assert_eq!(asking.await.unwrap().status(), 201);
}

#[tokio::test]
async fn an_upload_in_chunks_stays_one_and_each_piece_goes_on_at_once() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(format!("{BLOB} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")).await;
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.get("transfer-encoding"), Some("chunked"));
    assert_eq!(exchange.wire.chunk().await.unwrap(), b"abc");
    client.say("2\r\nde\r\n").await;
    assert_eq!(exchange.wire.chunk().await.unwrap(), b"de");
    client.say("0\r\n\r\n").await;
    assert_eq!(exchange.wire.chunk().await.unwrap(), b"");
    exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status(), 201);
}

#[tokio::test]
async fn of_two_framings_of_an_upload_only_the_true_one_goes_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    let framing = "Content-Length: 3\r\nTransfer-Encoding: chunked";
    client.say(format!("{BLOB} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")).await;
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.get("content-length"), None);
    assert_eq!(exchange.body().await, b"abcde");
    exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status(), 201);
}

#[tokio::test]
async fn an_answer_before_the_upload_is_read_is_passed_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(head(1_000_000_000)).await;
    let mut exchange = node.next().await;
    exchange.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn an_answer_in_the_middle_of_an_upload_is_passed_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(head(1_000_000_000)).await;
    let mut exchange = node.next().await;
    // More than all buffers between the ends hold: the upload stands still when the answer comes.
    let piece = vec![b'x'; 64 * 1024];
    let uploading = async { while client.try_say(&piece).await {} };
    let answering = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        exchange.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
        drop(exchange);
    };
    tokio::join!(uploading, answering);
    assert_eq!(client.answer("POST").await.status(), 200);
}

#[tokio::test]
async fn an_upload_that_the_node_has_answered_does_not_go_on() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(head(1_000_000_000)).await;
    let mut exchange = node.next().await;
    // A node that would keep the connection: it is in the middle of a request and must not be kept.
    exchange.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status(), 200);
    exchange.wire.left().await;
    client.left().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_upload_takes_the_upload_with_it() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(head(1_000_000) + "the beginning").await;
    let mut exchange = node.next().await;
    drop(client);
    exchange.wire.left().await;
}

#[tokio::test]
async fn an_upload_waits_for_100_continue_until_the_node_reads() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut client = Wire::connect(proxy.address).await;
    client.say(format!("{BLOB} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")).await;
    let mut exchange = node.next().await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.say("hello").await;
    exchange.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(exchange.body().await, b"hello");
    exchange.say("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer("POST").await.status(), 201);
}

/// Uploads so many MiB of zeros and reads the status.
async fn upload(address: SocketAddr, mebibytes: usize) -> u16 {
    let mut client = Wire::connect(address).await;
    client.say(head(mebibytes << 20)).await;
    let piece = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        client.say(&piece).await;
    }
    client.answer("POST").await.status()
}

/// The same as a form for a transcription, whose model stands in front of its file.
async fn transcribe(address: SocketAddr, mebibytes: usize) -> u16 {
    let mut client = Wire::connect(address).await;
    let begin = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-large-v3\r\n\
                 --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    let end = "\r\n--b--\r\n";
    let length = begin.len() + (mebibytes << 20) + end.len();
    let kind = "Content-Type: multipart/form-data; boundary=b";
    client
        .say(format!("POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{begin}"))
        .await;
    let piece = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        client.say(&piece).await;
    }
    client.say(end).await;
    client.answer("POST").await.status()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_hundred_megabytes_of_speech_pass_with_flat_memory() {
    let (node, scratch) = (Node::swallowing(), Scratch::new());
    let url = node.url();
    let proxy = program::Proxy::start(&scratch, &["--ollama-url", &url, "--health-interval", "0"]);
    assert_eq!(transcribe(proxy.address, 200).await, 201);
    let peak = proxy.peak_memory();
    assert!(peak < 40 * 1024, "{peak} KiB");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_hundred_megabytes_pass_with_flat_memory() {
    let (node, scratch) = (Node::swallowing(), Scratch::new());
    let url = node.url();
    let proxy = program::Proxy::start(&scratch, &["--ollama-url", &url, "--health-interval", "0"]);
    assert_eq!(upload(proxy.address, 200).await, 201);
    let peak = proxy.peak_memory();
    assert!(peak < 40 * 1024, "{peak} KiB");
}
