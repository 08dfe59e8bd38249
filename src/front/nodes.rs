//! `/health`, `/nodes`, and the wake that a person asks for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node, Trigger, View, Want};
use crate::http::{Body, reply};
use crate::schedule::Scheduler;
use crate::telemetry::journal::Cause;

/// Whether a node serves, or would after a wake.
pub(super) fn is_healthy(view: &View) -> bool {
    match view.power {
        Power::Awake | Power::Waking(_) | Power::Unknown => true,
        Power::Asleep | Power::Suspending { .. } => view.means.any(),
        Power::ServiceDown(_) | Power::WakeFailed { .. } => false,
    }
}

/// Always 200 and from memory: a container must not be restarted because a PC sleeps. Of the nodes that take part.
pub(super) fn health(fleet: &Fleet) -> Value {
    let mut nodes = Map::new();
    let mut healthy = 0;
    let roster = fleet.nodes();
    for node in roster.enabled() {
        let view = node.view();
        let well = is_healthy(&view);
        healthy += usize::from(well);
        let (total, failed) = node.totals();
        let entry = json!({
            "healthy": well,
            "active_connections": node.active(),
            "total_requests": total,
            "failed_requests": failed,
            "state": view.power.word(),
        });
        nodes.insert(node.name().to_string(), entry);
    }
    let status = if healthy > 0 { "healthy" } else { "degraded" };
    json!({ "status": status, "healthy_nodes": healthy, "total_nodes": nodes.len(), "nodes": nodes })
}

/// The seed's JSON plus `power`, and what is wrong with the node file.
pub(super) fn list(fleet: &Fleet, scheduler: &Scheduler, config_error: Option<&str>) -> Value {
    let nodes: Vec<Value> = fleet.nodes().iter().map(|node| node_json(node, scheduler)).collect();
    json!({
        "scheduling_strategy": scheduler.rules().strategy.word(),
        "waiting": scheduler.waiting(),
        "config_error": config_error,
        "nodes": nodes,
    })
}

fn node_json(node: &Node, scheduler: &Scheduler) -> Value {
    let (config, view, slot) = (node.config(), node.view(), node.slot());
    let (total, failed) = node.totals();
    let (taken, places) = scheduler.places(slot);
    let hosts: Vec<&str> = config.hosts.iter().map(|host| host.host.as_str()).collect();
    let models: Vec<&str> = view.holding.models().iter().map(|model| model.name.as_str()).collect();
    json!({
        "name": node.name().as_str(),
        "hosts": hosts,
        "port": config.hosts.first().map(|host| host.port),
        "kind": config.kind.word(),
        "weight": config.weight,
        "enabled": config.enabled,
        "capacity": (places < u32::MAX).then_some(places),
        "stats": {
            "active_connections": node.active(),
            "total_requests": total,
            "failed_requests": failed,
            "is_healthy": config.enabled && is_healthy(&view),
            "places_taken": taken,
            "breaker": scheduler.circuit(slot).word(),
        },
        "models": models,
        "config": { "description": config.description, "memory_gb": config.memory_gb },
        "power": power_json(node, &view),
    })
}

fn power_json(node: &Node, view: &View) -> Value {
    json!({
        "state": node.state(),
        "since": unix(view.since),
        "last_seen": node.last_seen_unix(),
        "always_on": node.config().always_on,
        "wakeable": view.means.any(),
        "mac": view.mac.map(|known| known.mac.to_string()),
        "mac_source": view.mac.map(|known| known.source.word()),
        "wake_seconds": view.usual_wake().map(|usual| usual.as_secs_f64()),
        "waking_for": view.waking_since().map(|since| since.elapsed().as_secs_f64()),
        "held": node.held(),
        "trouble": view.trouble,
        "hindrance": view.hindrance,
        "advice": view.advice,
    })
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64().round())
}

/// What `/` tells programs.
pub(super) fn info(missing: Option<&str>) -> Value {
    json!({
        "name": "ollama-proxy",
        "version": env!("CARGO_PKG_VERSION"),
        "missing": missing,
        "endpoints": ["/health", "/nodes", "/metrics", "/route?model=", "/journal", "/events", "/summary", "/topology.json", "/api/tags", "/v1/models"],
    })
}

/// 409 with what its owner can do: nothing here can put a machine to sleep.
pub(super) fn sleep(node: &Node) -> Response<Body> {
    let text =
        "this proxy has no means to put it to sleep; let its own timer do so: the proxy sends nothing to it while it is not used";
    let state = node.view().power.word();
    reply::json(StatusCode::CONFLICT, &json!({ "node": node.name().as_str(), "state": state, "error": text }))
}

/// 202 at once; with `wait`, 200 with the seconds it took, or 504.
pub(super) async fn wake(node: &Node, cause: Cause, waits: bool) -> Response<Body> {
    let before = node.view();
    let name = node.name().as_str();
    if !before.means.any() && !node.may_be_asked() {
        let text = "there is no way to wake it yet: its MAC is unknown and no wake URL is set; switch it on once, or set --wake-mac or --wake-url";
        return reply::json(StatusCode::CONFLICT, &json!({ "node": name, "state": before.power.word(), "error": text }));
    }
    let started = Instant::now();
    let mut watch = node.watch();
    // Also when it seems to be awake: it may have fallen asleep a moment ago, and a person wants to know.
    node.want(Want { cause, trigger: Trigger::Manual, ..Want::default() }).await;
    if !waits {
        return reply::json(StatusCode::ACCEPTED, &json!({ "node": name, "state": node.view().power.word() }));
    }
    // The campaign ends by itself at its deadline; the margin is for what follows it.
    let limit = before.means.deadline + Duration::from_secs(30);
    let settled = tokio::time::timeout(limit, watch.wait_for(|view| !view.power.in_progress())).await;
    let view = node.view();
    let status = match settled {
        Ok(Ok(_)) if view.power == Power::Awake => StatusCode::OK,
        _ => StatusCode::GATEWAY_TIMEOUT,
    };
    let seconds = started.elapsed().as_secs_f64();
    let answer = json!({ "node": name, "state": view.power.word(), "seconds": seconds, "trouble": view.trouble, "hindrance": view.hindrance });
    reply::json(status, &answer)
}
