//! Golden pairs of the translation between dialects: each row of the mapping is a pair of JSON values, one as it comes
//! and one as it must go out. The pairs are data; what is here only reads and compares them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod cost;
mod embeddings;
mod lists;
mod pairs;
mod reasons;
mod streams;

use std::time::{Duration, SystemTime};

use ollama_proxy::translate::{Abilities, Client, Flavour, Now, Target, Tongue, Voice};
use serde_json::Value;

/// Every answer is given at this time.
pub fn now() -> Now {
    Now { wall: SystemTime::UNIX_EPOCH + Duration::new(1_795_188_645, 500_000_000), since: Duration::from_secs(2) }
}

/// The pairs of a file.
pub fn pairs(text: &str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

/// How the client of a pair talks.
pub fn voice(pair: &Value) -> Voice {
    let route = pair["voice"].as_str().unwrap();
    Voice::of_route(route).unwrap_or_else(|| panic!("{route}"))
}

/// How whoever answers it talks.
pub fn tongue(pair: &Value) -> Tongue {
    match pair["tongue"].as_str().unwrap() {
        "native" => Tongue::Native,
        "openai" => Tongue::OpenAi,
        "anthropic" => Tongue::Anthropic,
        other => panic!("{other}"),
    }
}

/// Whom it is for.
pub fn target(pair: &Value) -> Target {
    let target = &pair["target"];
    let can = |key: &str| target[key].as_bool();
    Target {
        model: target["model"].as_str().unwrap_or("m").to_owned(),
        flavour: match target["flavour"].as_str() {
            None | Some("openai") => Flavour::OpenAi,
            Some("azure") => Flavour::Azure,
            Some("compatible") => Flavour::Compatible,
            Some(other) => panic!("{other}"),
        },
        abilities: Abilities {
            max_tokens: target["max_tokens"].as_u64(),
            adaptive_thinking: can("adaptive"),
            budgeted_thinking: can("budgeted"),
            effort: can("effort"),
            ..Abilities::default()
        },
    }
}

/// Who is answered.
pub fn client(pair: &Value) -> Client {
    Client {
        voice: voice(pair),
        model: "asked".to_owned(),
        id: "1".to_owned(),
        asked: now().wall,
        wants_usage: pair["usage"] == true,
        estimate: 7,
    }
}
