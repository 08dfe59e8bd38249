//! The accept loop over real sockets: limits, graceful end, clients that linger.

use super::*;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Response<Body> {
        if request.uri().path() == "/forever" {
            std::future::pending::<()>().await;
        }
        Response::new(crate::http::body::full("hello"))
    }
}

const BOUNDS: Bounds = Bounds { connections: 2, head: Duration::from_millis(200), grace: Duration::from_millis(100) };

async fn start(bounds: Bounds) -> (SocketAddr, watch::Sender<bool>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = watch::channel(false);
    (address, end, tokio::spawn(serve(vec![Door::new(listener, None)], bounds, Echo, ended)))
}

async fn ask(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_request_is_answered() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let answer = rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn half_a_head_and_a_silent_client_are_closed_at_the_limit() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let half = ask(address, "GET / HT").await;
    let silent = ask(address, "").await;
    rest(half).await;
    rest(silent).await;
}

#[tokio::test]
async fn a_kept_connection_that_asks_no_more_is_closed_at_the_limit() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let answer = rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let mut asking = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let silent = ask(address, "").await;
    rest(silent).await;
    let gone = tokio::time::timeout(BOUNDS.head * 3, asking.read(&mut [0])).await;
    assert!(gone.is_err(), "a request was ended like a silent client: {gone:?}");
}

#[tokio::test]
async fn over_the_connection_bound_clients_wait_and_are_served_later() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let first = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let second = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let third = tokio::spawn(rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await));
    drop(first);
    assert!(third.await.unwrap().ends_with("hello"));
    drop(second);
}

#[tokio::test]
async fn the_end_says_how_many_answers_were_cut() {
    let (address, end, serving) = start(Bounds { head: Duration::from_secs(5), ..BOUNDS }).await;
    let _running = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answered = rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await).await;
    assert!(answered.ends_with("hello"));
    end.send(true).unwrap();
    assert_eq!(serving.await.unwrap(), 1);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_has_ended_reaches_the_client() {
    let (address, _end, _serving) = start(BOUNDS).await;
    let mut stream = ask(address, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n").await;
    for _ in 0..800 {
        stream.write_all(&[b'x'; 10_000]).await.unwrap();
    }
    assert!(rest(stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_vanishes_without_a_word_is_found_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    find_out_departures(&accepted);
    let socket = SockRef::from(&accepted);
    assert!(socket.keepalive().unwrap() && accepted.nodelay().unwrap());
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(VANISHED));
}

#[tokio::test]
async fn a_listener_without_clients_takes_no_place_from_the_others() {
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let (_end, ended) = watch::channel(false);
    let _serving = tokio::spawn(serve(
        listeners.into_iter().map(|listener| Door::new(listener, None)).collect(),
        Bounds { connections: 1, ..BOUNDS },
        Echo,
        ended,
    ));
    for address in [addresses[0], addresses[1], addresses[1], addresses[0], addresses[0]] {
        let asking = async { rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await).await };
        let answer = tokio::time::timeout(Duration::from_secs(5), asking).await.expect("it waits for ever");
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

const PATIENT: Bounds = Bounds { head: Duration::from_secs(120), ..BOUNDS };

#[tokio::test]
async fn clients_that_say_nothing_make_room_for_those_that_ask() {
    let (address, _end, _serving) = start(PATIENT).await;
    let mut quiet = Vec::new();
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n\r\n", ""] {
        quiet.push(ask(address, text).await);
    }
    for _ in 0..3 {
        let answer = rest(ask(address, "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await).await;
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test]
async fn nobody_who_waits_for_an_answer_makes_room() {
    let (address, _end, _serving) = start(PATIENT).await;
    let mut first = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut second = ask(address, "GET /forever HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let _third = ask(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // Longer than the courtesy: whoever was to go would be gone.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for stream in [&mut first, &mut second] {
        let gone = tokio::time::timeout(Duration::from_millis(10), stream.read(&mut [0])).await;
        assert!(gone.is_err(), "a request was ended for a newcomer: {gone:?}");
    }
}
