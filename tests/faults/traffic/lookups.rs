//! Requests that may wake nothing, and what is a right answer to each.

use serde_json::Value;

use crate::judge::Verdict;
use crate::wire::{Answer, Ended};

/// A request that no sleeper may notice.
#[derive(Clone, Copy)]
pub struct Lookup {
    /// Method and path.
    pub first: &'static str,
    /// Further header lines.
    pub headers: &'static str,
    /// The body.
    pub body: &'static str,
    right: &'static [u16],
    /// What the answer must hold.
    holds: &'static str,
}

const fn get(first: &'static str, holds: &'static str) -> Lookup {
    Lookup { first, headers: "", body: "", right: &[200], holds }
}

const fn post(first: &'static str, headers: &'static str, body: &'static str, right: &'static [u16]) -> Lookup {
    Lookup { first, headers, body, right, holds: "" }
}

/// What becomes of nonsense: a node that is awake is asked for its own words, and may have been told to fail.
const FAILED: &[u16] = &[400, 500, 502, 503];

/// All kinds. The model `hidden:1b` is on a PC that sleeps all the time; its list was read once.
pub const ALL: [Lookup; 17] = [
    get("GET /api/tags", "hidden:1b"),
    get("GET /api/tags", "llama3.2:3b"),
    get("GET /v1/models", "hidden:1b"),
    get("GET /v1/models/hidden:1b", "hidden:1b"),
    get("GET /api/version", "version"),
    get("GET /api/ps", "models"),
    get("GET /health", "healthy_nodes"),
    get("GET /nodes", "hermit"),
    get("GET /metrics", "gateway_active_connections"),
    get("GET /route?model=hidden:1b", "hermit"),
    get("HEAD /", ""),
    get("GET /", ""),
    get("GET /summary", ""),
    post("POST /api/show", "", r#"{"model":"hidden:1b"}"#, &[200]),
    post("POST /api/chat", "", r#"{"model": "hidden:1b", "mess"#, FAILED),
    post("POST /v1/messages", "", r"[", FAILED),
    post(
        "POST /api/chat",
        "X-Ollama-Proxy-Wake: never\r\n",
        r#"{"model":"hidden:1b","messages":[{"role":"user","content":"x"}]}"#,
        &[503],
    ),
];

impl Lookup {
    /// Judges the answer.
    pub fn judge(&self, answer: &Answer) -> Verdict {
        match (&answer.ended, answer.status) {
            (Ended::Late, _) => Verdict::Late,
            (Ended::Away, _) => Verdict::Away,
            (_, 0) => Verdict::Nothing,
            (Ended::Broken(_), _) => Verdict::Cut,
            (Ended::Clean, status) if !self.right.contains(&status) => Verdict::Wrong,
            (Ended::Clean, 400..) => refused(answer),
            (Ended::Clean, _) if String::from_utf8_lossy(&answer.body).contains(self.holds) => Verdict::Whole,
            (Ended::Clean, _) => Verdict::Wrong,
        }
    }
}

fn refused(answer: &Answer) -> Verdict {
    let told = serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| !body["error"].is_null());
    if told { Verdict::Refused } else { Verdict::Wrong }
}
