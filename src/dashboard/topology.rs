//! `GET /topology.json`: the nodes around the proxy as the two frames of Grafana's node graph, for its Infinity data source.
//!
//! The proxy itself is always among the nodes: an edge whose end is missing breaks the whole panel.

use serde_json::{Value, json};

use super::House;
use crate::fleet::Node;
use crate::fleet::power::Power;

/// The id of the proxy.
const ROUTER: &str = "router";

/// `{"nodes":[…],"edges":[…]}`. A node has `id`, `title`, `subTitle`, `mainStat`, `secondaryStat`, `color`, `icon`, the parts of its
/// ring `arc__busy`, `arc__idle`, `arc__asleep`, `arc__unknown` (together 1) and `detail__*`; an edge `id`, `source`, `target`, `mainStat`,
/// `secondaryStat`, `thickness`, `color` and, while nothing flows, `strokeDasharray`.
pub(super) fn graph(house: &House) -> Value {
    let nodes = house.fleet.nodes();
    let mut shown = vec![router(house, nodes.iter().map(Node::active).sum(), nodes.len())];
    shown.extend(nodes.iter().map(|node| around(house, node)));
    let edges: Vec<Value> = nodes.iter().map(edge).collect();
    json!({ "nodes": shown, "edges": edges })
}

fn router(house: &House, active: usize, nodes: usize) -> Value {
    json!({
        "id": ROUTER,
        "title": "ollama-proxy",
        "subTitle": format!("{nodes} nodes, {}", house.scheduler.rules().strategy.word()),
        "mainStat": format!("{active} running"),
        "secondaryStat": format!("{} waiting", house.journal().running().iter().filter(|request| request.held).count()),
        "arc__busy": 0,
        "arc__idle": 1,
        "arc__asleep": 0,
        "arc__unknown": 0,
        "color": "blue",
        "icon": "exchange-alt",
        "detail__version": env!("CARGO_PKG_VERSION"),
    })
}

fn around(house: &House, node: &Node) -> Value {
    let (config, view) = (node.config(), node.view());
    let state = view.power.word();
    let (taken, places) = house.scheduler.places(node.slot());
    let [busy, idle, asleep, unknown] = arcs(&view.power, node.active(), taken, places);
    let spec = match config.memory_gb {
        Some(memory) => format!("{} {memory} GB", config.description).trim().to_owned(),
        None => config.description.clone(),
    };
    json!({
        "id": node.name().as_str(),
        "title": node.name().as_str(),
        "subTitle": state,
        "mainStat": format!("{} running", node.active()),
        "secondaryStat": format!("{} models", view.holding.models().len()),
        "arc__busy": busy,
        "arc__idle": idle,
        "arc__asleep": asleep,
        "arc__unknown": unknown,
        "color": colour(&view.power),
        "icon": if view.power == Power::Awake { "gpu" } else { "moon" },
        "detail__state": state,
        "detail__address": node.host().to_str().unwrap_or_default(),
        "detail__ip": view.presumed_address(config).map(|address| address.to_string()).unwrap_or_default(),
        "detail__mac": view.mac.map(|known| known.mac.to_string()).unwrap_or_default(),
        "detail__spec": spec,
        "detail__held": node.held(),
    })
}

/// The ring of a node: busy, idle, asleep, unknown; together 1.
fn arcs(power: &Power, active: usize, taken: u32, places: u32) -> [f64; 4] {
    match power {
        Power::Awake if active == 0 => [0.0, 1.0, 0.0, 0.0],
        Power::Awake if places == u32::MAX || places == 0 => [1.0, 0.0, 0.0, 0.0],
        Power::Awake => {
            let busy = (f64::from(taken) / f64::from(places)).min(1.0);
            [busy, 1.0 - busy, 0.0, 0.0]
        }
        Power::Asleep | Power::Suspending { .. } => [0.0, 0.0, 1.0, 0.0],
        Power::Waking(_) => [0.0, 0.5, 0.5, 0.0],
        Power::Unknown | Power::ServiceDown(_) | Power::WakeFailed { .. } => [0.0, 0.0, 0.0, 1.0],
    }
}

fn colour(power: &Power) -> &'static str {
    match power {
        Power::Awake => "green",
        Power::Waking(_) => "orange",
        Power::Asleep | Power::Suspending { .. } => "purple",
        Power::Unknown => "gray",
        Power::ServiceDown(_) | Power::WakeFailed { .. } => "red",
    }
}

fn edge(node: &Node) -> Value {
    let name = node.name().as_str();
    let flows = node.active() > 0;
    let mut edge = json!({
        "id": format!("{ROUTER}-{name}"),
        "source": ROUTER,
        "target": name,
        "mainStat": format!("{} running", node.active()),
        "secondaryStat": format!("{} B out, {} B in", node.metrics().sent().get(), node.metrics().received().get()),
        "thickness": (1 + node.active()).min(8),
        "color": if flows { "green" } else { "gray" },
    });
    if let (Value::Object(edge), false) = (&mut edge, flows) {
        edge.insert("strokeDasharray".to_owned(), json!("4 4"));
    }
    edge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_ring_are_one_whole() {
        for power in [Power::Unknown, Power::Awake, Power::Asleep] {
            for (active, taken, places) in [(0, 0, 4), (3, 3, 4), (9, 9, 4), (1, 0, u32::MAX), (1, 1, 0)] {
                let sum: f64 = arcs(&power, active, taken, places).iter().sum();
                assert!((sum - 1.0).abs() < 1e-9, "{power:?} {active}");
            }
        }
        assert!((arcs(&Power::Awake, 3, 1, 4)[0] - 0.25).abs() < 1e-9);
    }
}
