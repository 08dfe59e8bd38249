//! `GET /summary`: one flat object of numbers and strings, for gethomepage, Home Assistant and other widgets.

use serde_json::{Map, Value, json};

use super::House;
use super::facts::{rounded, sum};
use crate::fleet::Node;
use crate::fleet::power::Power;
use crate::telemetry::journal::{Entry, Event};

/// The fields. What is not known has no field; per node there is `state_NAME`.
///
/// Of the nodes that take part; of those that are disabled only `state_NAME`, which is `disabled`.
/// `state` (the best one: `awake`, `waking`, `suspending`, `asleep`, `service_down`, `wake_failed`, `unknown`, or `none`
/// without nodes), `nodes_total`, `nodes_awake`, `nodes_asleep`, `nodes_waking`, `requests_running`, `requests_waiting`,
/// `requests_today`, `requests_failed_today`, `wakes_today`, `models`, `awake_hours`, `asleep_hours`, `unknown_hours`,
/// `asleep_ratio`, `energy_basis` (always `estimate`), `energy_used_kwh`, `energy_saved_kwh`, `cost_saved`, `last_wake`,
/// `last_wake_by`, `last_wake_node`, `last_wake_result`, `last_wake_seconds`, `version`, `uptime_seconds`.
pub(super) fn summary(house: &House) -> Value {
    let mut flat = Map::new();
    let mut set = |name: &str, value: Value| drop(flat.insert(name.to_owned(), value));
    let nodes = house.fleet.nodes();
    let words: Vec<&str> = nodes.enabled().map(Node::state).collect();
    let count = |word| words.iter().filter(|known| **known == word).count();
    set("state", json!(best(&words)));
    set("nodes_total", json!(words.len()));
    set("nodes_awake", json!(count("awake")));
    set("nodes_asleep", json!(count("asleep")));
    set("nodes_waking", json!(count("waking")));
    let running = house.journal().running();
    let waiting = running.iter().filter(|request| request.held).count();
    let today = house.journal().today();
    set("requests_running", json!(running.len() - waiting));
    set("requests_waiting", json!(waiting));
    set("requests_today", json!(today.requests));
    set("requests_failed_today", json!(today.failed));
    set("wakes_today", json!(today.wakes));
    let models = house.fleet.with_catalog(|views| {
        let names = views.iter().flat_map(|view| view.holding.models()).map(|model| model.name.as_str());
        names.collect::<std::collections::HashSet<_>>().len()
    });
    set("models", json!(models));
    for (name, value) in energy(house) {
        set(name, json!(value));
    }
    set("energy_basis", json!("estimate"));
    if let Some(entry) = house.journal().last_wake() {
        last_wake(&entry, &mut set);
    }
    for node in nodes.iter() {
        set(&format!("state_{}", node.name()), json!(node.state()));
    }
    set("version", json!(env!("CARGO_PKG_VERSION")));
    set("uptime_seconds", json!((super::now() - house.started).max(0.0).round()));
    Value::Object(flat)
}

/// The state of the house is that of the node which would serve first.
fn best(words: &[&str]) -> &'static str {
    const ORDER: [&str; 7] = ["awake", "waking", "suspending", "asleep", "service_down", "wake_failed", "unknown"];
    debug_assert!(Power::WORDS.iter().all(|word| ORDER.contains(word)));
    ORDER.into_iter().find(|word| words.contains(word)).unwrap_or("none")
}

fn energy(house: &House) -> Vec<(&'static str, f64)> {
    let (seconds, energy) = sum(house);
    let hours = |seconds: f64| (seconds / 36.0).round() / 100.0;
    let mut told = vec![
        ("awake_hours", hours(seconds.awake)),
        ("asleep_hours", hours(seconds.asleep)),
        ("unknown_hours", hours(seconds.unknown)),
    ];
    let known = seconds.awake + seconds.asleep;
    if known > 0.0 {
        told.push(("asleep_ratio", rounded(seconds.asleep / known)));
    }
    if let Some(energy) = energy {
        told.push(("energy_used_kwh", rounded(energy.used_kwh())));
        told.push(("energy_saved_kwh", rounded(energy.saved_kwh())));
        told.extend(house.price_per_kwh().map(|price| ("cost_saved", rounded(energy.saved_kwh() * price))));
    }
    told
}

fn last_wake(entry: &Entry, set: &mut impl FnMut(&str, Value)) {
    let Event::Wake(wake) = &entry.event else { return };
    // Home Assistant's timestamp sensors want ISO 8601.
    #[allow(clippy::cast_possible_truncation, reason = "a time of this century")]
    let at = chrono::DateTime::from_timestamp(entry.at as i64, 0).map(|at| at.to_rfc3339());
    for (name, value) in [
        ("last_wake", at.map(Value::from)),
        ("last_wake_by", Some(wake.cause.words().into())),
        ("last_wake_node", entry.node.clone().map(Value::from)),
        ("last_wake_result", wake.result.as_deref().map(Value::from)),
        ("last_wake_seconds", wake.seconds.map(Value::from)),
    ] {
        if let Some(value) = value {
            set(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_house_is_that_of_its_readiest_node() {
        assert_eq!(best(&["asleep", "waking", "unknown"]), "waking");
        assert_eq!(best(&["wake_failed", "asleep"]), "asleep");
        assert_eq!(best(&[]), "none");
        for word in Power::WORDS {
            assert_eq!(best(&[word]), word);
        }
    }
}
