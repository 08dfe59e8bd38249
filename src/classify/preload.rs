//! Ask → preload: the request that loads an ask's model as the ask itself would, and generates nothing.
//!
//! Options that belong to the loaded runner must be the same as the ask's: otherwise the node would load twice.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::keep_alive;
use super::peek::Fields;
use super::{Named, Preload, Shape};

/// Options whose change makes Ollama load a model anew.
const RUNNER_OPTIONS: [&str; 11] = [
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "use_mmap",
    "use_mlock",
    "numa",
    "low_vram",
    "f16_kv",
    "vocab_only",
];

/// Where a chat is loaded; the others need no list of messages.
const CHAT: &str = "/api/chat";

/// The kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Talk(Shape),
    Embed,
}

/// The preload for an ask. `native` holds the fields of a native ask; `/v1` bodies have no options that Ollama reads.
/// `None` for names that no node could load: invalid ones, and models in the cloud.
pub(super) fn preload(kind: Kind, model: &Named<'_>, native: Option<&Fields<'_>>) -> Option<Preload> {
    model.name.as_ref().filter(|name| !name.is_cloud())?;
    let path = match kind {
        Kind::Talk(Shape::Generate) => "/api/generate",
        Kind::Talk(Shape::Chat) => CHAT,
        Kind::Embed => "/api/embed",
    };
    // `shift` stands beside the options, and embed does not know it.
    let shift = native.and_then(|fields| fields.flag("shift")).filter(|_| kind != Kind::Embed);
    let shift = match shift {
        Some(true) => ",\"shift\":true",
        Some(false) => ",\"shift\":false",
        None => "",
    };
    let key = [path, " ", model.key.as_str(), " {", &options(native), "}", shift].concat();
    let keep_alive = keep_alive::for_preload(native.and_then(|fields| fields.raw("keep_alive"))).to_owned();
    Some(Preload { path, key, model: model.text.to_owned(), keep_alive })
}

/// The request's JSON. The runner's options stand in the key as they are sent.
pub(super) fn body(preload: &Preload) -> Bytes {
    let (_, runner) = preload.runner();
    let (options, shift) = runner.rfind('}').map_or((runner, ""), |end| runner.split_at(end + 1));
    let options = if options == "{}" { String::new() } else { format!(",\"options\":{options}") };
    let messages = if preload.path == CHAT { ",\"messages\":[]" } else { "" };
    let (model, keep_alive) = (Value::from(preload.model.as_str()), &preload.keep_alive);
    Bytes::from(format!("{{\"model\":{model}{messages},\"keep_alive\":{keep_alive}{options}{shift}}}"))
}

/// The members of the runner's options in a fixed order and spelling.
fn options(native: Option<&Fields<'_>>) -> String {
    let found = native.map_or([None; RUNNER_OPTIONS.len()], |fields| fields.inner("options", RUNNER_OPTIONS));
    let mut members = String::new();
    for (name, raw) in RUNNER_OPTIONS.iter().zip(found) {
        if let Some(value) = raw.and_then(scalar) {
            let comma = if members.is_empty() { "" } else { "," };
            members.extend([comma, "\"", name, "\":", &value]);
        }
    }
    members
}

/// A number or truth value; whole numbers without their fraction, since Ollama takes `8192.0` for `8192`.
fn scalar(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(match number.as_i64() {
            Some(whole) => whole.to_string(),
            None => number.as_f64()?.to_string(),
        }),
        _ => None,
    }
}
