//! What workers tell a controller, and what it keeps of them over a restart.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ollama_proxy::catalog::RawJson;
use ollama_proxy::cluster::{Heartbeat, Registration, Registry};
use serde_json::Value;

const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// No field that is kept is longer.
const WORDS: usize = 256;

/// A registration and a heartbeat: what is kept of them is bounded, names nobody else's machine, and can be told again.
pub fn workers(data: &[u8]) {
    if let Ok(told) = serde_json::from_slice::<Registration>(data) {
        let endpoint = told.endpoint.clone();
        match told.checked(CALLER) {
            Ok((told, port)) => {
                assert!(port > 0);
                bounded(&serde_json::to_value(&told).expect("it is told of in JSON"));
                let again = Registration { endpoint, ..told.clone() }.checked(CALLER).expect("what was taken is taken again");
                assert_eq!(again, (told, port));
            }
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
    if let Ok(said) = serde_json::from_slice::<Heartbeat>(data) {
        let status = said.status();
        let kept = said.bounded();
        assert_eq!(kept.status(), status);
        assert_eq!(kept.clone().bounded(), kept);
        for model in kept.loaded_models.iter().flatten() {
            assert!(model.len() <= WORDS);
        }
    }
}

/// Nothing that is kept is long.
fn bounded(value: &Value) {
    match value {
        Value::String(text) => assert!(text.len() <= WORDS, "{} bytes are kept", text.len()),
        Value::Array(items) => {
            assert!(items.len() <= 64, "{} things are kept", items.len());
            items.iter().for_each(bounded);
        }
        Value::Object(fields) => fields.values().for_each(bounded),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A worker in a state file: what is kept of it after a restart is kept after the next, too.
pub fn kept(data: &[u8]) {
    let Some(text) = RawJson::new(data) else { return };
    let after = |kept: &BTreeMap<String, RawJson>| Registry::new(Duration::from_secs(1), Vec::new(), kept);
    let once = after(&BTreeMap::from([("w".to_owned(), text)]));
    let twice = after(&once.kept());
    assert_eq!(once.nodes(), twice.nodes());
}
