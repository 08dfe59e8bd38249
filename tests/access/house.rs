//! A PC that sleeps, the service that could wake it, and the proxy in front. Who may not, wakes nobody.

use std::sync::Arc;

use crate::client::{Answer, ask, request};
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::{Proxy, STRICT};
use crate::wire::Wire;

pub const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;
pub const CLIENT_KEY: &str = "canary-key-of-a-client";
pub const OWNER_KEY: &str = "canary-key-of-the-owner";

/// Every way in which somebody could use us.
pub const USES: [&str; 4] = ["POST /api/chat", "POST /v1/chat/completions", "POST /v1/messages", "GET /api/tags"];

/// Everything that we tell of ourselves.
pub const LOOKS: [&str; 7] =
    ["GET /nodes", "GET /route?model=m", "GET /journal", "GET /summary", "GET /topology", "GET /topology.json", "HEAD /nodes"];

/// What changes something by hand.
pub const ACTS: [&str; 3] = ["POST /nodes/node1/wake", "POST /nodes/node1/sleep", "POST /nodes/node1/refresh"];

pub type Lines<'a> = &'a [(&'a str, &'a str)];

pub struct House {
    pub node: Node,
    pub service: Node,
    pub proxy: Proxy,
}

impl House {
    /// The PC sleeps, and the proxy has never seen it awake.
    pub async fn asleep(flags: Lines<'_>) -> Self {
        let mut house = Self::awake(flags);
        house.node.sleep().await;
        house
    }

    /// The PC is up.
    pub fn awake(flags: Lines<'_>) -> Self {
        Self::with_file("keys.json", "", flags)
    }

    /// With a file beside the settings.
    pub fn with_file(name: &str, text: &str, flags: Lines<'_>) -> Self {
        let scratch = Arc::new(Scratch::new());
        std::fs::write(scratch.join(name), text).unwrap();
        let (node, service) = (Node::with_models(&["m", "n"]), Node::start());
        let url = service.url();
        let proxy =
            Proxy::remembering(&scratch, &[&node], &[&[STRICT, ("wake-url", &*url), ("wake-interval", "0")], flags].concat());
        Self { node, service, proxy }
    }

    pub async fn ask(&self, asked: &str, headers: Lines<'_>) -> Answer {
        let body = if asked.starts_with("POST /api") || asked.starts_with("POST /v1") { CHAT } else { "" };
        ask(self.proxy.address, asked, headers, body).await
    }

    /// The status of an answer.
    pub async fn status(&self, asked: &str, headers: Lines<'_>) -> u16 {
        self.ask(asked, headers).await.status()
    }

    /// As [`Self::ask`] by another name than the usual one.
    pub async fn called(&self, host: &str, asked: &str, headers: Lines<'_>) -> Answer {
        let body = if asked.starts_with("POST /api") { CHAT } else { "" };
        let bytes = String::from_utf8(request(asked, headers, body)).unwrap().replace("proxy.lan:11434", host);
        let mut wire = Wire::connect(self.proxy.address).await;
        wire.say(bytes).await;
        wire.answer(asked).await
    }

    /// All of these get this status.
    pub async fn all(&self, asked: &[&str], headers: Lines<'_>, status: u16) {
        for asked in asked {
            assert_eq!(self.status(asked, headers).await, status, "{asked} with {headers:?}");
        }
    }

    /// Neither a wake nor a byte to the PC followed from anything so far.
    pub fn nobody_stirred(&self) {
        assert_eq!((self.service.seen(), self.node.seen()), (vec![], vec![]));
    }

    /// How many requests were refused for this reason.
    pub async fn refusals(&self, reason: &str, headers: Lines<'_>) -> u64 {
        let page = self.ask("GET /metrics", headers).await.text();
        let line = format!("ollama_proxy_refusals_total{{reason=\"{reason}\"}} ");
        page.lines()
            .find_map(|text| text.strip_prefix(&*line))
            .unwrap_or_else(|| panic!("no {reason} in {page}"))
            .parse()
            .unwrap()
    }
}

/// `Authorization` with a key.
pub fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}
