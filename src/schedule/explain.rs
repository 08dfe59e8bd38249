//! Why each node was kept or dropped, in words for its owner. Pure.

use super::choose::{Candidate, Dropped, Holds, Tried};

/// The state of a candidate in words, whether it was kept or not.
pub fn words(node: &Candidate, dropped: Option<Dropped>) -> String {
    match dropped {
        Some(Dropped::Disabled) => "takes no part: it is disabled, or another node is named".to_owned(),
        Some(Dropped::LacksModel) => "does not have the model".to_owned(),
        Some(Dropped::ListUnknown) => "its models are not known yet, and another node has the model".to_owned(),
        Some(Dropped::DoesNotFit) => "the model's size is outside its supported_model_ranges".to_owned(),
        Some(Dropped::BreakerOpen) => "failed too often just now and is left alone for a moment".to_owned(),
        Some(Dropped::Tried) => "this request has already failed there".to_owned(),
        None => kept(node),
    }
}

fn kept(node: &Candidate) -> String {
    let mut parts = vec![node.readiness.words().to_owned()];
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
    if node.loaded {
        parts.push("has it loaded".to_owned());
    }
    if node.capacity < u32::MAX {
        parts.push(format!("{} of {} places taken", node.active, node.capacity));
    }
    if node.tried == Tried::Again {
        parts.push("this request failed there once".to_owned());
    }
    parts.join(", ")
}
