//! Keeping a PC awake without traffic: only when its owner asked for it.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::client;
use crate::node::Node;
use crate::proxy::Proxy;
use crate::wire::PATIENCE;

const MAC: &str = "02:00:00:00:00:07";
const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hi"}],"stream":false}"#;

/// The network card of the PC: whatever arrives here was sent to wake it.
struct Card(UdpSocket);

impl Card {
    async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn port(&self) -> String {
        self.0.local_addr().unwrap().port().to_string()
    }

    async fn next_packet(&self) {
        let mut packet = [0; 200];
        let length = timeout(PATIENCE, self.0.recv(&mut packet)).await.expect("no packet comes").unwrap();
        assert_eq!((length, &packet[..6]), (102, &[0xff; 6][..]));
    }

    /// Whether a packet has come meanwhile.
    fn has_packet(&self) -> bool {
        self.0.try_recv(&mut [0; 200]).is_ok()
    }
}

async fn chat(proxy: SocketAddr, node: &mut Node) {
    let (answer, ()) =
        tokio::join!(client::ask(proxy, "POST /api/chat", &[], CHAT), async { node.next().await.answer_chat().await });
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn after_a_request_one_packet_goes_out_per_interval_as_long_as_the_owner_wishes() {
    let (mut node, card) = (Node::with_models(&["llama3.2:3b"]), Card::new().await);
    let port = card.port();
    let wake = [("wake-mac", MAC), ("wake-broadcast", "127.0.0.1"), ("wake-port", &port)];
    let flags = [&wake[..], &[("keep-awake", "1h"), ("wake-interval", "200ms")]].concat();
    let proxy = Proxy::before(&[&node], &flags);
    proxy.until("/api/tags", "llama3.2:3b").await;
    assert!(!card.has_packet(), "nobody has asked for anything yet");
    chat(proxy.address, &mut node).await;
    for _ in 0..4 {
        card.next_packet().await;
    }
}

#[tokio::test]
async fn without_the_owners_wish_the_first_packet_after_a_request_is_the_only_one() {
    let (mut node, card) = (Node::with_models(&["llama3.2:3b"]), Card::new().await);
    let port = card.port();
    let wake = [("wake-mac", MAC), ("wake-broadcast", "127.0.0.1"), ("wake-port", &port)];
    let flags = [&wake[..], &[("wake-interval", "200ms")]].concat();
    let proxy = Proxy::before(&[&node], &flags);
    proxy.until("/api/tags", "llama3.2:3b").await;
    chat(proxy.address, &mut node).await;
    card.next_packet().await;
    // Five intervals: the passing of quiet time is itself the subject.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!card.has_packet());
}
