//! `/metrics`: everything that was counted, and how the nodes stand at this moment. Reads memory only, touches no node.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use super::nodes::is_healthy;
use crate::exporter::Exporter;
use crate::fleet::energy::Energy;
use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node, View};
use crate::http::{Body, reply};
use crate::proxy::{Filled, Proxy};
use crate::schedule::Scheduler;
use crate::schedule::breaker::Circuit;
use crate::telemetry::metrics::{Format, Kind, Page, Process, Registry};
use crate::upstream::Idle;

/// What the page is made of.
pub(super) struct Metrics {
    registry: Registry,
    process: Process,
}

impl Metrics {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, process: Process::begun_now() }
    }

    /// The page in the format that the reader accepts.
    pub(super) async fn page(
        &self,
        proxy: &Proxy,
        (connections, ended): (Filled, u64),
        exporter: Option<&Exporter>,
        headers: &HeaderMap,
    ) -> Response<Body> {
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|range| range.to_str().ok());
        let format = Format::accepted(&ranges.collect::<Vec<_>>().join(","));
        let mut page = Page::new(format);
        self.registry.print(&mut page);
        print_nodes(proxy.fleet(), proxy.scheduler(), &mut page);
        print_bounds(proxy, connections, &mut page);
        let help = "Client connections that asked for nothing and were ended to make room for another";
        page.family("ollama_proxy_quiet_connections_ended_total", help, Kind::Counter).whole("", &[], ended);
        match exporter {
            // It sees all connections of the Ollama beside a worker, ours among them.
            Some(exporter) => exporter.print(&mut page).await,
            None => print_connections(proxy.fleet(), &mut page),
        }
        self.process.print(&mut page);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("ollama_proxy_build_info", "What runs here", Kind::Gauge).whole("", &version, 1);
        let mut response = reply::whole(StatusCode::OK, format.content_type(), page.finish());
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        response
    }
}

/// Of the bounds that fill up: an alert compares one family with the other.
fn print_bounds(proxy: &Proxy, connections: Filled, page: &mut Page) {
    let [held, buffer] = proxy.filled();
    let bounds = [connections, held, buffer];
    let mut lines = page.family("ollama_proxy_bound", "How much each bound allows", Kind::Gauge);
    for bound in &bounds {
        lines.value("", &[("bound", bound.bound)], count(bound.most));
    }
    let mut lines = page.family("ollama_proxy_bound_used", "How much of each bound is taken", Kind::Gauge);
    for bound in &bounds {
        lines.value("", &[("bound", bound.bound)], count(bound.used));
    }
}

/// One family after the other, each over all nodes.
fn print_nodes(fleet: &Fleet, scheduler: &Scheduler, page: &mut Page) {
    let roster = fleet.nodes();
    let nodes: Vec<_> = roster.enabled().map(|node| (node, node.view())).collect();
    let nodes: Vec<(&Node, &View)> = nodes.iter().map(|(node, view)| (*node, &**view)).collect();
    let mut per_node = |name, help, value: &dyn Fn(&Node, &View) -> Option<f64>| {
        let mut lines = page.family(name, help, Kind::Gauge);
        for (node, view) in &nodes {
            if let Some(value) = value(node, view) {
                lines.value("", &[("node", node.name().as_str())], value);
            }
        }
    };
    per_node("gateway_active_connections", "Requests in flight on the node", &|node, _| Some(count(node.active())));
    let help = "Whether the node serves, or would after a wake (1), or not (0)";
    per_node("gateway_node_health", help, &|_, view| Some(f64::from(u8::from(is_healthy(view)))));
    let now = Instant::now();
    let help = "Age of the node's model list; absent until it was read once";
    per_node("ollama_proxy_cache_age_seconds", help, &|_, view| Some(view.holding.age(now)?.as_secs_f64()));
    print_classes(&nodes, page);
    print_states(&nodes, page);
    print_energy(&nodes, page);
    print_attempts(&nodes, page);
    print_circuits(&nodes, scheduler, page);
    print_waiting(&nodes, scheduler, page);
}

/// For alerts: a sleeper that does not answer sleeps, an always-on node that does not answer is down.
fn print_classes(nodes: &[(&Node, &View)], page: &mut Page) {
    let mut lines = page.family("ollama_proxy_node_info", "Whether the node is declared always on, by its settings", Kind::Gauge);
    for (node, _) in nodes {
        let always_on = if node.config().always_on { "true" } else { "false" };
        lines.whole("", &[("node", node.name().as_str()), ("always_on", always_on)], 1);
    }
}

/// By the names that the exporter beside an Ollama has too; here they tell of the proxy's own connections.
fn print_connections(fleet: &Fleet, page: &mut Page) {
    let roster = fleet.nodes();
    let nodes: Vec<&Node> = roster.enabled().collect();
    let open = |node: &Node| count(node.active() + node.idle().map_or(0, Idle::count));
    let help = "Connections of the proxy to the node: those of requests in flight, and those that rest";
    let mut lines = page.family("ollama_connections", help, Kind::Gauge);
    for node in &nodes {
        lines.value("", &[("node", node.name().as_str()), ("state", "ESTABLISHED")], open(node));
    }
    let help = "The same as an edge, for pictures of the network";
    let mut lines = page.family("ollama_node_to_router", help, Kind::Gauge);
    for node in &nodes {
        lines.value("", &[("source", node.name().as_str()), ("target", "router")], open(node));
    }
}

/// One series per state, so that a graph shows a band for each.
fn print_states(nodes: &[(&Node, &View)], page: &mut Page) {
    let mut lines = page.family("ollama_proxy_node_state", "How the node stands: 1 for its state, 0 for all others", Kind::Gauge);
    for (node, view) in nodes {
        for word in Power::WORDS {
            let labels = [("node", node.name().as_str()), ("state", word)];
            lines.whole("", &labels, u64::from(view.power.word() == word));
        }
    }
}

/// Counters that only grow: what no evidence has settled yet is in none of them.
fn print_energy(nodes: &[(&Node, &View)], page: &mut Page) {
    let help = "Seconds that the machine was up or asleep, as far as evidence tells; an estimate";
    let mut lines = page.family("ollama_proxy_node_state_seconds_total", help, Kind::Counter);
    for (node, _) in nodes {
        let seconds = node.seconds();
        for (state, seconds) in [("awake", seconds.awake), ("asleep", seconds.asleep)] {
            lines.value("", &[("node", node.name().as_str()), ("state", state)], seconds);
        }
    }
    let help = "Energy saved by sleep against being always on, where the idle draw is stated; an estimate";
    let mut lines = page.family("ollama_proxy_energy_saved_joules_total", help, Kind::Counter);
    for (node, _) in nodes {
        if let Some(energy) = Energy::of(node.seconds(), &node.config().power) {
            lines.value("", &[("node", node.name().as_str())], energy.saved_joules);
        }
    }
}

/// The node counts them itself, for `/health`.
fn print_attempts(nodes: &[(&Node, &View)], page: &mut Page) {
    let help = "Attempts made on the node, the failed ones included";
    let mut lines = page.family("ollama_proxy_attempts_total", help, Kind::Counter);
    for (node, _) in nodes {
        lines.whole("", &[("node", node.name().as_str())], node.totals().0);
    }
}

fn print_circuits(nodes: &[(&Node, &View)], scheduler: &Scheduler, page: &mut Page) {
    let help = "The node's breaker: 0 closed, 1 half open, 2 open";
    let mut lines = page.family("ollama_proxy_circuit_state", help, Kind::Gauge);
    for (node, _) in nodes {
        let state = match scheduler.circuit(node.slot()) {
            Circuit::Closed => 0,
            Circuit::HalfOpen => 1,
            Circuit::Open { .. } => 2,
        };
        lines.whole("", &[("node", node.name().as_str())], state);
    }
}

/// Who waits for a place waits for several nodes at once, and none of them is chosen yet.
fn print_waiting(nodes: &[(&Node, &View)], scheduler: &Scheduler, page: &mut Page) {
    let mut lines = page.family("ollama_proxy_requests_waiting", "Requests that are held now, by what for", Kind::Gauge);
    for (node, _) in nodes {
        lines.value("", &[("node", node.name().as_str()), ("reason", "wake")], count(node.held()));
    }
    lines.value("", &[("node", "none"), ("reason", "capacity")], count(scheduler.waiting()));
}

/// Requests are far fewer than an `f64` can count.
fn count(requests: usize) -> f64 {
    f64::from(u32::try_from(requests).unwrap_or(u32::MAX))
}
