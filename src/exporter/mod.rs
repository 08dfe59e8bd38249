//! The connections of the Ollama on this machine: how many there are, and how many bytes went each way.
//!
//! On Linux the kernel tells both. A socket's final figures come by themselves when it is destroyed, so nothing is polled:
//! between two scrapes this costs one message per connection that ended. Elsewhere a scrape runs the system's own tool, and bytes
//! are estimated, and marked so.

#[cfg_attr(target_os = "linux", allow(dead_code, reason = "used on other systems, compiled and tested on all"))]
mod elsewhere;
mod estimate;
#[cfg(target_os = "linux")]
mod linux;
mod listings;
mod machine;
mod proc_net;
mod sock_diag;
mod states;
mod tally;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metrics::{Format, Kind, Page, Process};
#[cfg(not(target_os = "linux"))]
use elsewhere::System;
#[cfg(target_os = "linux")]
use linux::System;
use states::Counts;
use tally::Bytes;

/// What a scrape may take; the tools of other systems are programs that may hang.
const LIMIT: Duration = Duration::from_secs(8);

/// Watches the port of one Ollama. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(Arc<Shared>);

struct Shared {
    node: String,
    port: u16,
    system: System,
    process: Process,
}

/// What one look saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look {
    counts: Counts,
    bytes: Bytes,
    estimated: bool,
}

impl Exporter {
    /// Begins to count. To be called within the run-time.
    pub fn start(node: String, port: u16) -> Self {
        Self(Arc::new(Shared { system: System::start(port), node, port, process: Process::begun_now() }))
    }

    /// The port that is watched.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The name in the label `node`.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// The page for Prometheus. `None`: the system did not tell within the limit.
    pub async fn page(&self, format: Format) -> Option<String> {
        let look = self.look().await?;
        let mut page = Page::new(format);
        print(&look, &self.0.node, &mut page);
        self.print_machine(&mut page).await;
        self.0.process.print(&mut page);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("ollama_proxy_build_info", "What runs here", Kind::Gauge).whole("", &version, 1);
        Some(page.finish())
    }

    /// The same figures on a page that has others, too: nothing of what the system does not tell in time.
    pub async fn print(&self, page: &mut Page) {
        if let Some(look) = self.look().await {
            print(&look, &self.0.node, page);
        }
        self.print_machine(page).await;
    }

    /// Beside a look at sockets this takes nothing, but for the tool of some GPUs.
    async fn print_machine(&self, page: &mut Page) {
        let machine = tokio::task::spawn_blocking(|| machine::look(Path::new("/")));
        let machine = tokio::time::timeout(LIMIT, machine).await.ok().and_then(Result::ok).unwrap_or_default();
        machine.print(&self.0.node, page);
    }

    /// Whether somebody listens on the port, and whether bytes are counted rather than estimated. `None`: the system did not tell.
    pub async fn listening_and_exact(&self) -> Option<(bool, bool)> {
        let look = self.look().await?;
        Some((look.counts.get("LISTEN") > 0, !look.estimated))
    }

    /// Open connections to the port now, ours included. `None`: the system did not tell.
    pub async fn open_connections(&self) -> Option<u64> {
        Some(self.look().await?.counts.get("ESTABLISHED"))
    }

    /// In a thread of its own: the kernel's tables take a millisecond, other systems' tools a second.
    async fn look(&self) -> Option<Look> {
        let shared = self.0.clone();
        let look = tokio::task::spawn_blocking(move || shared.system.look());
        match tokio::time::timeout(LIMIT, look).await {
            Ok(Ok(look)) => Some(look),
            _ => None,
        }
    }
}

fn print(look: &Look, node: &str, page: &mut Page) {
    let help = "TCP sockets of Ollama's port on this machine, by state";
    let mut lines = page.family("ollama_connections", help, Kind::Gauge);
    for (state, count) in look.counts.all() {
        lines.whole("", &[("node", node), ("state", state)], count);
    }
    let labels = [("node", node), ("estimated", "true")];
    let labels = if look.estimated { &labels[..] } else { &labels[..1] };
    let help = "Bytes that connections carried to Ollama since the start of the exporter";
    page.family("ollama_bytes_sent_total", help, Kind::Counter).whole("", labels, look.bytes.to_ollama);
    let help = "Bytes that connections carried from Ollama since the start of the exporter";
    page.family("ollama_bytes_recv_total", help, Kind::Counter).whole("", labels, look.bytes.from_ollama);
    let help = "Open connections between the node and those who ask it";
    let edge = [("source", node), ("target", "router")];
    page.family("ollama_node_to_router", help, Kind::Gauge).whole("", &edge, look.counts.get("ESTABLISHED"));
}
