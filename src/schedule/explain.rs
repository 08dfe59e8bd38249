//! Why each node was kept or dropped, in words for its owner. Pure.

use super::breaker::Circuit;
use super::choose::{Candidate, Dropped, Holds, Readiness, Tried};

/// The state of a candidate in words, whether it was kept or not.
pub fn words(node: &Candidate, dropped: Option<Dropped>) -> String {
    match dropped {
        Some(Dropped::Disabled) => "its owner keeps it out (\"enabled\": false)".to_owned(),
        Some(Dropped::NotNamed) => "the request names another node".to_owned(),
        Some(Dropped::OtherApi) => "it is no Ollama: it does what OpenAI's API has, with the models that it lists".to_owned(),
        Some(Dropped::LacksModel) => "does not have the model".to_owned(),
        Some(Dropped::ListUnknown) => "its models are not known yet, and another node has the model".to_owned(),
        Some(Dropped::DoesNotFit) => "the model's size is outside its supported_model_ranges".to_owned(),
        Some(Dropped::BreakerOpen) => broken(node.circuit),
        Some(Dropped::Tried) => "this request has already failed there".to_owned(),
        None => kept(node),
    }
}

fn broken(circuit: Circuit) -> String {
    match circuit {
        Circuit::Open { retry_in: Some(time) } => {
            format!("failed too often just now: its breaker is open, and one request may try it in {} s", time.as_secs() + 1)
        }
        _ => "failed too often just now: its breaker is open until the one request that tries it has ended".to_owned(),
    }
}

fn kept(node: &Candidate) -> String {
    let mut parts = vec![
        match node.readiness {
            // Of the kept the last resort.
            Readiness::Down => "down: it refuses, did not wake, or cannot be woken",
            other => other.words(),
        }
        .to_owned(),
    ];
    parts.push(
        match node.model {
            Holds::Yes => "has the model",
            Holds::Unknown => "may have the model",
            Holds::No => "no node is known to have the model",
        }
        .to_owned(),
    );
    if node.fit.is_none() {
        parts.push("the model's size is outside its supported_model_ranges, but so it is everywhere".to_owned());
    }
    // What was loaded before a sleep is not any more.
    if node.loaded && node.readiness.is_up() {
        parts.push("has it loaded".to_owned());
    }
    match (node.active, node.capacity) {
        (_, u32::MAX) => {}
        (1, 1) => parts.push("full: its only place is taken".to_owned()),
        (taken, places) if taken >= places => parts.push(format!("full: all {places} places are taken")),
        (taken, places) => parts.push(format!("{taken} of {places} places taken")),
    }
    if node.circuit == Circuit::HalfOpen {
        parts.push("failed too often a while ago: this request would be its trial".to_owned());
    }
    if node.tried == Tried::Again {
        parts.push("this request failed there once".to_owned());
    }
    parts.join(", ")
}
