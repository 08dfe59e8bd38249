//! What is counted of nodes: wakes and what they cost, bytes, troubles, loads.
//!
//! A node carries the handles of its own series, made when it is: counting is one atomic addition and looks nothing up.
//! How a node stands is not kept here but read off its view whenever a page is printed.

use std::sync::Arc;
use std::time::Duration;

use super::Trigger;
use crate::telemetry::metrics::{ANSWER_SECONDS, Counter, Family, Histogram, Registry, Vocabulary, WAKE_SECONDS};

/// Names of models beyond this many share the label `other`.
const MODELS: usize = 50;

/// The families of all nodes. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Families>);

struct Families {
    wakes: Family<Counter, 3>,
    packets: Family<Counter, 2>,
    wake_seconds: Family<Histogram, 1>,
    load_seconds: Family<Histogram, 2>,
    sent: Family<Counter, 1>,
    received: Family<Counter, 1>,
    errors: Family<Counter, 2>,
    retries: Family<Counter, 1>,
    failovers: Family<Counter, 1>,
    models: Vocabulary,
}

impl Metrics {
    /// To be called once per registry.
    pub fn register(registry: &Registry) -> Self {
        Self(Arc::new(Families {
            wakes: registry.counters(
                "ollama_proxy_wakes_total",
                "Wakes of sleeping machines that have ended",
                ["node", "trigger", "result"],
            ),
            packets: registry.counters(
                "ollama_proxy_wake_packets_total",
                "Magic packets sent and wake URLs called",
                ["node", "method"],
            ),
            wake_seconds: registry.histograms(
                "ollama_proxy_wake_duration_seconds",
                "From the start of a wake until Ollama answered",
                ["node"],
                WAKE_SECONDS,
            ),
            load_seconds: registry.histograms(
                "ollama_proxy_model_load_seconds",
                "Time that loading the model took within a request, or after a wake",
                ["node", "model"],
                ANSWER_SECONDS,
            ),
            sent: registry.counters("ollama_bytes_sent_total", "Bytes of request bodies sent to the node", ["node"]),
            received: registry.counters("ollama_bytes_recv_total", "Bytes of answers received from the node", ["node"]),
            errors: registry.counters(
                "ollama_proxy_upstream_errors_total",
                "Failures by the fault of a node; that it sleeps is none",
                ["node", "kind"],
            ),
            retries: registry.counters(
                "ollama_proxy_retries_total",
                "Attempts that failed on this node and were repeated on it or on another",
                ["node"],
            ),
            failovers: registry.counters(
                "ollama_proxy_failovers_total",
                "Attempts that failed on this node and were repeated on another",
                ["node"],
            ),
            models: Vocabulary::new(MODELS),
        }))
    }

    /// The series of one node, all of which exist from now on.
    pub(super) fn of_node(&self, node: &str) -> NodeMetrics {
        let families = &self.0;
        let wakes = |trigger: Trigger| WakeEnd::ALL.map(|end| families.wakes.with([node, trigger.word(), end.word()]));
        NodeMetrics {
            node: node.to_owned(),
            families: self.clone(),
            wakes: Trigger::ALL.map(wakes),
            packets: families.packets.with([node, "magic_packet"]),
            calls: families.packets.with([node, "url"]),
            wake_seconds: families.wake_seconds.with([node]),
            errors: UpstreamError::ALL.map(|kind| families.errors.with([node, kind.word()])),
            sent: families.sent.with([node]),
            received: families.received.with([node]),
            retries: families.retries.with([node]),
            failovers: families.failovers.with([node]),
        }
    }
}

/// How a wake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WakeEnd {
    Ok,
    /// Nothing was heard of it until the deadline.
    Timeout,
    /// Waking was hindered, or the machine is up and refuses connections.
    Error,
}

impl WakeEnd {
    const ALL: [Self; 3] = [Self::Ok, Self::Timeout, Self::Error];

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Error => "error",
        }
    }
}

/// What a node did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// It refused the connection, has no address, or is always on and did not answer.
    Connect,
    /// The connection broke before the first byte of an answer.
    Reset,
    /// It fell silent and failed its life check, or was too slow for a list.
    Timeout,
    /// It answered with a status from 500 on.
    Status5xx,
    /// Its answer broke off.
    Body,
}

impl UpstreamError {
    const ALL: [Self; 5] = [Self::Connect, Self::Reset, Self::Timeout, Self::Status5xx, Self::Body];

    fn word(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status5xx => "status_5xx",
            Self::Body => "body",
        }
    }
}

/// The series of one node.
pub struct NodeMetrics {
    node: String,
    families: Metrics,
    wakes: [[Counter; 3]; 2],
    packets: Counter,
    calls: Counter,
    wake_seconds: Histogram,
    errors: [Counter; 5],
    sent: Counter,
    received: Counter,
    retries: Counter,
    failovers: Counter,
}

impl NodeMetrics {
    /// Bytes of request bodies on their way to it.
    pub fn sent(&self) -> &Counter {
        &self.sent
    }

    /// Bytes of its answers.
    pub fn received(&self) -> &Counter {
        &self.received
    }

    /// An attempt on it failed and is repeated, perhaps elsewhere.
    pub fn retried(&self, elsewhere: bool) {
        self.retries.one();
        self.failovers.add(u64::from(elsewhere));
    }

    /// It failed.
    pub fn failed(&self, error: UpstreamError) {
        self.errors[error as usize].one();
    }

    /// The time it takes to load a model; `model` is a label from [`NodeMetrics::label`].
    pub fn load_seconds(&self, model: &str) -> Histogram {
        self.families.0.load_seconds.with([&self.node, model])
    }

    /// The label for a model by its name in a catalog, never by a client's text: the name, or `other` beyond the bound.
    pub fn label<'a>(&self, listed: &'a str) -> &'a str {
        self.families.0.models.admit(listed)
    }

    pub(super) fn packets_sent(&self, packets: usize) {
        self.packets.add(packets as u64);
    }

    pub(super) fn url_called(&self) {
        self.calls.one();
    }

    pub(super) fn woken(&self, trigger: Trigger, took: Duration) {
        self.wake_seconds.took(took);
        self.wake_ended(trigger, WakeEnd::Ok);
    }

    pub(super) fn wake_ended(&self, trigger: Trigger, end: WakeEnd) {
        self.wakes[trigger as usize][end as usize].one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Format, Page};

    fn printed(registry: &Registry) -> String {
        let mut page = Page::new(Format::Text);
        registry.print(&mut page);
        page.finish()
    }

    #[test]
    fn every_series_of_a_node_exists_from_the_start() {
        let registry = Registry::default();
        let _node = Metrics::register(&registry).of_node("pc");
        let page = printed(&registry);
        for series in [
            r#"ollama_proxy_wakes_total{node="pc",trigger="request",result="timeout"} 0"#,
            r#"ollama_proxy_wakes_total{node="pc",trigger="manual",result="ok"} 0"#,
            r#"ollama_proxy_wake_packets_total{node="pc",method="url"} 0"#,
            r#"ollama_proxy_upstream_errors_total{node="pc",kind="status_5xx"} 0"#,
            r#"ollama_proxy_wake_duration_seconds_count{node="pc"} 0"#,
            r#"ollama_bytes_recv_total{node="pc"} 0"#,
        ] {
            assert!(page.contains(series), "{series} is not in\n{page}");
        }
    }

    #[test]
    fn each_error_and_each_end_counts_into_the_series_of_its_own_name() {
        let registry = Registry::default();
        let node = Metrics::register(&registry).of_node("pc");
        for error in UpstreamError::ALL {
            (0..=error as usize).for_each(|_| node.failed(error));
        }
        node.wake_ended(Trigger::Manual, WakeEnd::Error);
        node.woken(Trigger::Request, Duration::from_secs(4));
        let page = printed(&registry);
        for series in [
            r#"kind="connect"} 1"#,
            r#"kind="reset"} 2"#,
            r#"kind="timeout"} 3"#,
            r#"kind="status_5xx"} 4"#,
            r#"kind="body"} 5"#,
            r#"trigger="manual",result="error"} 1"#,
            r#"trigger="request",result="ok"} 1"#,
            r#"ollama_proxy_wake_duration_seconds_bucket{node="pc",le="5.0"} 1"#,
        ] {
            assert!(page.contains(series), "{series} is not in\n{page}");
        }
    }
}
