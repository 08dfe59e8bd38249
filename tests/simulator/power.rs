//! Sleep and wake of the simulated PC.

use std::time::Duration;

use ollama_proxy::simulator::{Ollama, PcEvent, PcSettings, Settings, SimulatedPc};
use ollama_proxy::values::Mac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::broadcast;

use crate::wire::{body, get, post, three_tokens};

fn mac() -> Mac {
    "02:00:00:aa:bb:cc".parse().unwrap()
}

async fn pc(settings: Settings, change: impl FnOnce(&mut PcSettings)) -> SimulatedPc {
    let mut pc = PcSettings { resume: Duration::from_millis(200), ..PcSettings::new(mac()) };
    change(&mut pc);
    SimulatedPc::start(Ollama::new(settings), pc).await.unwrap()
}

async fn wake(pc: &SimulatedPc) {
    let mut packet = vec![0xff; 6];
    packet.extend(mac().bytes().repeat(16));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet, pc.wake_address()).await.unwrap();
}

async fn next(events: &mut broadcast::Receiver<PcEvent>) -> PcEvent {
    tokio::time::timeout(Duration::from_secs(60), events.recv()).await.expect("an event").unwrap()
}

async fn put_to_sleep(pc: &SimulatedPc) -> broadcast::Receiver<PcEvent> {
    let mut events = pc.events();
    pc.sleep_now();
    assert_eq!(next(&mut events).await, PcEvent::Asleep);
    events
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn asleep_it_drops_connections_and_a_magic_packet_brings_it_back() {
    let pc = pc(three_tokens(), |_| {}).await;
    assert_eq!(body(pc.address(), &get("/")).await, "Ollama is running");
    let before = pc.ollama().counters().connections_total;
    let mut events = put_to_sleep(&pc).await;
    for _ in 0..3 {
        let connect = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(pc.address())).await;
        assert!(connect.is_err(), "neither a connection nor a refusal, but {connect:?}");
    }
    assert!(!pc.is_awake());
    wake(&pc).await;
    for expected in [PcEvent::PacketSeen, PcEvent::Waking, PcEvent::Awake] {
        assert_eq!(next(&mut events).await, expected);
    }
    assert_eq!(body(pc.address(), &get("/")).await, "Ollama is running");
    assert_eq!(pc.ollama().counters().connections_total, before + 1, "its own connections do not count");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connect_that_began_while_it_slept_succeeds_once_it_is_awake() {
    let pc = pc(three_tokens(), |pc| pc.asleep = true).await;
    let mut events = pc.events();
    assert_eq!(next(&mut events).await, PcEvent::Asleep);
    let address = pc.address();
    let patient = tokio::spawn(async move { body(address, &get("/api/version")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    wake(&pc).await;
    assert_eq!(patient.await.unwrap(), "{\"version\":\"0.12.6\"}");
}

#[tokio::test]
async fn open_connections_fall_silent_while_it_sleeps_and_go_on_afterwards() {
    let pc = pc(three_tokens(), |_| {}).await;
    let mut kept = TcpStream::connect(pc.address()).await.unwrap();
    let mut answer = [0; 1024];
    kept.write_all(b"GET / HTTP/1.1\r\nHost: pc\r\n\r\n").await.unwrap();
    assert!(kept.read(&mut answer).await.unwrap() > 0);
    let mut events = put_to_sleep(&pc).await;
    kept.write_all(b"GET / HTTP/1.1\r\nHost: pc\r\n\r\n").await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), kept.read(&mut answer)).await;
    assert!(silence.is_err(), "{silence:?}");
    wake(&pc).await;
    while next(&mut events).await != PcEvent::Awake {}
    assert!(kept.read(&mut answer).await.unwrap() > 0);
}

#[tokio::test]
async fn a_stream_under_way_stops_when_it_is_sent_to_sleep() {
    let pc = pc(Settings { tokens: 1000, token_gap: Duration::from_millis(20), ..Settings::default() }, |_| {}).await;
    let mut stream = TcpStream::connect(pc.address()).await.unwrap();
    let request = post("/api/generate", "{\"model\":\"llama3.2:3b\",\"prompt\":\"hi\"}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1 << 16];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let _events = put_to_sleep(&pc).await;
    while tokio::time::timeout(Duration::from_millis(200), stream.read(&mut answer)).await.is_ok_and(|n| n.unwrap() > 0) {}
    let silence = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut answer)).await;
    assert!(silence.is_err(), "no token and no end: {silence:?}");
    assert_eq!(pc.ollama().counters().generations_cancelled, 0);
}

#[tokio::test]
async fn it_falls_asleep_when_nothing_is_asked_of_it_but_not_during_an_answer() {
    let settings = Settings { first_token: Duration::from_millis(3500), ..three_tokens() };
    let pc = pc(settings, |pc| pc.sleeps_after = Some(Duration::from_millis(2500))).await;
    let mut events = pc.events();
    let request = post("/api/generate", "{\"model\":\"llama3.2:3b\",\"prompt\":\"hi\"}");
    assert!(body(pc.address(), &request).await.contains("\"done\":true"));
    assert!(pc.is_awake());
    assert!(events.try_recv().is_err(), "it slept during the answer");
    assert_eq!(next(&mut events).await, PcEvent::Asleep);
}

#[tokio::test]
async fn listings_do_not_keep_it_awake() {
    let pc = pc(three_tokens(), |pc| pc.sleeps_after = Some(Duration::from_millis(250))).await;
    let (mut events, address) = (pc.events(), pc.address());
    let poller = tokio::spawn(async move {
        loop {
            body(address, &get("/api/tags")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(next(&mut events).await, PcEvent::Asleep);
    poller.abort();
}

#[tokio::test]
async fn a_packet_for_another_card_does_not_wake_it() {
    let pc = pc(three_tokens(), |pc| pc.resume = Duration::ZERO).await;
    let mut events = put_to_sleep(&pc).await;
    let mut packet = vec![0xff; 6];
    packet.extend([2, 0, 0, 1, 2, 3].repeat(16));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&packet, pc.wake_address()).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(200), events.recv()).await;
    assert!(silence.is_err(), "{silence:?}");
}

#[tokio::test]
async fn it_can_sleep_and_wake_again_and_again() {
    let pc = pc(three_tokens(), |pc| pc.resume = Duration::ZERO).await;
    for _ in 0..3 {
        let mut events = put_to_sleep(&pc).await;
        wake(&pc).await;
        while next(&mut events).await != PcEvent::Awake {}
        assert_eq!(body(pc.address(), &get("/")).await, "Ollama is running");
    }
}

#[tokio::test]
async fn a_pc_that_was_off_refuses_connections_while_it_boots_and_has_lost_its_models() {
    let pc = pc(three_tokens(), |pc| {
        pc.resume = Duration::ZERO;
        pc.boot = Duration::from_secs(3);
    })
    .await;
    body(pc.address(), post("/api/generate", "{\"model\":\"llama3.2:3b\"}")).await;
    let mut old = TcpStream::connect(pc.address()).await.unwrap();
    let mut events = put_to_sleep(&pc).await;
    wake(&pc).await;
    assert_eq!([next(&mut events).await, next(&mut events).await], [PcEvent::PacketSeen, PcEvent::Waking]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = TcpStream::connect(pc.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(next(&mut events).await, PcEvent::Awake);
    assert!(!matches!(old.read(&mut [0; 16]).await, Ok(1..)));
    assert_eq!(body(pc.address(), get("/api/ps")).await, "{\"models\":[]}");
}
