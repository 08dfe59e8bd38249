//! One node with several addresses: they are tried in order, and the one that works is remembered.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::client;
use crate::fleet::{MODEL, chat_body};
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::Proxy;

const FIRST: [u8; 4] = [127, 0, 0, 1];
const SECOND: [u8; 4] = [127, 0, 0, 2];

/// One PC as its two addresses, and the proxy that knows both.
struct Pc {
    scratch: Arc<Scratch>,
    first: Node,
    second: Node,
    proxy: Proxy,
}

impl Pc {
    async fn start() -> Self {
        let (first, second) = (Node::at((FIRST, 0).into(), &[MODEL]), Node::at((SECOND, 0).into(), &[MODEL]));
        let scratch = Arc::new(Scratch::new());
        let file =
            format!(r#"{{"nodes":[{{"name":"pc","always_on":true,"hosts":["{}","{}"]}}]}}"#, first.address, second.address);
        std::fs::write(scratch.path().join("node_config.json"), file).unwrap();
        let proxy = before(&scratch).await;
        Self { scratch, first, second, proxy }
    }

    /// Serves one chat; the address that was asked, which is also the `Host` it was asked by.
    async fn chat(&mut self) -> SocketAddr {
        let chat = chat_body(MODEL, "");
        let asked = client::ask(self.proxy.address, "POST /api/chat", &[], chat);
        let answered = async {
            let (address, exchange) = tokio::select! {
                exchange = self.first.next() => (self.first.address, exchange),
                exchange = self.second.next() => (self.second.address, exchange),
            };
            assert_eq!(exchange.head.get("host"), Some(address.to_string().as_str()));
            exchange.answer_chat().await;
            address
        };
        let (answer, address) = tokio::join!(asked, answered);
        assert_eq!(answer.status(), 200, "{answer:?}");
        address
    }
}

async fn before(scratch: &Arc<Scratch>) -> Proxy {
    let proxy = Proxy::remembering(scratch, &[], &[]);
    proxy.until("/nodes", MODEL).await;
    proxy
}

#[tokio::test]
async fn the_next_address_serves_when_the_first_refuses_and_stays_the_first_choice() {
    let mut pc = Pc::start().await;
    let (first, second) = (pc.first.address, pc.second.address);
    assert_eq!(pc.chat().await, first);
    assert!(pc.second.seen().is_empty(), "{:?}", pc.second.seen());
    pc.first.close().await;
    assert_eq!(pc.chat().await, second);
    pc.first = Node::at(first, &[MODEL]);
    assert_eq!(pc.chat().await, second, "it works, so it is kept");
    pc.second.close().await;
    assert_eq!(pc.chat().await, first);
}

#[tokio::test]
async fn the_next_address_serves_when_the_first_is_silent() {
    let mut pc = Pc::start().await;
    pc.first.sleep().await;
    assert_eq!(pc.chat().await, pc.second.address);
}

#[tokio::test]
async fn the_address_that_worked_is_the_first_choice_after_a_restart_too() {
    let mut pc = Pc::start().await;
    let first = pc.first.address;
    pc.first.close().await;
    assert_eq!(pc.chat().await, pc.second.address);
    pc.first = Node::at(first, &[MODEL]);
    let again = Proxy::remembering(&Arc::new(Scratch::new()), &[], &[]);
    std::mem::replace(&mut pc.proxy, again).end().await;
    pc.proxy = before(&pc.scratch).await;
    assert_eq!(pc.chat().await, pc.second.address);
    assert!(pc.first.seen().is_empty(), "{:?}", pc.first.seen());
}
