//! The facts of a node and of the house as JSON, as the events `snapshot` and `node` carry them.

use serde_json::{Value, json};

use super::{House, now, timeline};
use crate::config::PowerConfig;
use crate::fleet::energy::{Energy, Seconds};
use crate::fleet::power::Power;
use crate::fleet::{Node, View};
use crate::telemetry::journal::unix;

/// Entries of the journal that a page begins with.
const ENTRIES: usize = 50;

/// What a page begins with:
///
/// `{"now":T,"proxy":{"version","started","strategy"},"nodes":[NODE,…],"requests":[LIVE,…],"journal":[ENTRY,…],"energy":ENERGY}`,
/// with the last 50 entries. LIVE is a [`crate::telemetry::journal::Running`].
pub(super) fn snapshot(house: &House) -> Value {
    let nodes: Vec<Value> = house.fleet.nodes().iter().map(|node| whole(house, node)).collect();
    let entries = house.journal().since(0);
    let entries = &entries[entries.len().saturating_sub(ENTRIES)..];
    let entries: Vec<Value> = entries.iter().map(|entry| json!(**entry)).collect();
    json!({
        "now": now(),
        "proxy": {
            "version": env!("CARGO_PKG_VERSION"),
            "started": house.started,
            "strategy": house.scheduler.rules().strategy.word(),
        },
        "nodes": nodes,
        "requests": house.journal().running(),
        "journal": entries,
        "energy": energy_of_all(house),
    })
}

/// NODE, whole:
///
/// `{"name","state","since":T,"last_seen":T|null,"always_on","enabled","wakeable","sleepable","hosts":[…],"address","mac",
/// "mac_source","spec":{"cpu","memory_gb","gpu","description"},"weight","capacity","active","held","total","failed","sent",
/// "received","models":[{"name","size","loaded"}],"wake":{"started":T|null,"usual_seconds","asked_by"},"trouble","advice",
/// "timeline":[[from,to,"state"],…],"energy":ENERGY}`
///
/// States are the words of the power machine. The timeline covers the last seven days in at most 500 stretches.
pub(super) fn whole(house: &House, node: &Node) -> Value {
    let mut facts = lasting(house, node);
    let (total, failed) = node.totals();
    let name = node.name().as_str();
    let entries = house.journal().power_of(name);
    let more = json!({
        "last_seen": node.last_seen_unix(),
        "active": node.active(),
        "held": node.held(),
        "total": total,
        "failed": failed,
        "sent": node.metrics().sent().get(),
        "received": node.metrics().received().get(),
        "timeline": timeline::stretches(&entries, node.view().power.word(), now()),
        "energy": energy(node.seconds(), &node.config().power, house.price_per_kwh()),
    });
    if let (Value::Object(facts), Value::Object(more)) = (&mut facts, more) {
        facts.extend(more);
    }
    facts
}

/// The part of NODE that changes seldom: a change of it is worth an event.
pub(super) fn lasting(house: &House, node: &Node) -> Value {
    let (config, view) = (node.config(), node.view());
    let (_, places) = house.scheduler.places(node.slot());
    let hosts: Vec<String> = config.hosts.iter().map(ToString::to_string).collect();
    json!({
        "name": node.name().as_str(),
        "state": view.power.word(),
        "since": unix(view.since).round(),
        "always_on": config.always_on,
        "enabled": config.enabled,
        "wakeable": view.means.any(),
        "sleepable": node.is_sleepable(),
        "hosts": hosts,
        "address": view.presumed_address(config).map(|address| address.to_string()),
        "mac": view.mac.map(|known| known.mac.to_string()),
        "mac_source": view.mac.map(|known| known.source.word()),
        "spec": spec(node),
        "weight": config.weight,
        "capacity": (places < u32::MAX).then_some(places),
        "models": models(house, &view, node.slot()),
        "wake": {
            "started": matches!(view.power, Power::Waking(_)).then(|| unix(view.since)),
            "usual_seconds": view.usual_wake().map(|usual| usual.as_secs_f64()),
            "asked_by": view.asked_by,
        },
        "trouble": view.trouble.as_ref().or(view.hindrance.as_ref()),
        "hindrance": view.hindrance,
        "advice": view.advice,
    })
}

/// What its owner says about the machine; `null` when that is nothing.
fn spec(node: &Node) -> Value {
    let config = node.config();
    if config.memory_gb.is_none() && config.description.is_empty() {
        return Value::Null;
    }
    let description = (!config.description.is_empty()).then_some(&config.description);
    json!({ "cpu": null, "gpu": null, "memory_gb": config.memory_gb, "description": description })
}

fn models(house: &House, view: &View, slot: usize) -> Vec<Value> {
    let listed = view.holding.models();
    let warm = house.scheduler.warm(slot, listed.iter().map(|model| model.name.as_str()));
    let awake = view.power == Power::Awake;
    let model = |(model, warm): (&crate::catalog::Model, bool)| json!({ "name": model.name, "size": model.size, "loaded": awake && warm });
    listed.iter().zip(warm).map(model).collect()
}

/// ENERGY: `{"estimate":true,"seconds":{"awake","asleep","unknown"},"used_kwh","saved_kwh","saved_cost","price_per_kwh"}`;
/// kilowatt-hours are `null` until the owner states `power.idle_watts`, the cost until `price_per_kwh`.
pub(super) fn energy(seconds: Seconds, power: &PowerConfig, price: Option<f64>) -> Value {
    told(seconds, Energy::of(seconds, power), price)
}

/// The same over all nodes; those whose draw is not stated add their times only.
pub(super) fn energy_of_all(house: &House) -> Value {
    let (seconds, energy) = sum(house);
    told(seconds, energy, house.price_per_kwh())
}

/// Times and energy of all nodes together.
pub(super) fn sum(house: &House) -> (Seconds, Option<Energy>) {
    let (mut seconds, mut energy): (Seconds, Option<Energy>) = Default::default();
    for node in house.fleet.nodes().iter() {
        let own = node.seconds();
        seconds.awake += own.awake;
        seconds.asleep += own.asleep;
        seconds.unknown += own.unknown;
        if let Some(more) = Energy::of(own, &node.config().power) {
            let sum = energy.get_or_insert_default();
            sum.used_joules += more.used_joules;
            sum.saved_joules += more.saved_joules;
        }
    }
    (seconds, energy)
}

fn told(seconds: Seconds, energy: Option<Energy>, price: Option<f64>) -> Value {
    let saved_cost = energy.zip(price).map(|(energy, price)| energy.saved_kwh() * price);
    let Seconds { awake, asleep, unknown } = seconds;
    json!({
        "estimate": true,
        "seconds": { "awake": awake.round(), "asleep": asleep.round(), "unknown": unknown.round() },
        "used_kwh": energy.map(|energy| rounded(energy.used_kwh())),
        "saved_kwh": energy.map(|energy| rounded(energy.saved_kwh())),
        "saved_cost": saved_cost.map(rounded),
        "price_per_kwh": price,
    })
}

/// A tenth of a watt-hour is more than an estimate deserves.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
