//! What stands in files, and what a wake service answers.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ollama_proxy::catalog::{self, Shows, Snapshot, Stamp};
use ollama_proxy::config::{self, Env, NodeSource, ServeArgs};
use ollama_proxy::fleet::wake_service_refusal;
use ollama_proxy::values::NodeName;
use tokio::time::Instant;

/// A directory of this process, on a disk of memory where there is one.
fn scratch(of: &str) -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = base.join(format!("ollama-proxy-fuzz-{}-{of}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a scratch directory");
    dir
}

/// A reader of a node file, and that file.
fn source() -> (NodeSource, PathBuf) {
    let dir = scratch("nodes");
    let file = dir.join("node_config.json");
    std::fs::write(&file, r#"{"nodes":[{"name":"a","hosts":["192.0.2.1"]}]}"#).expect("a node file");
    let data = dir.join("data").display().to_string();
    let args = ServeArgs::default().with("data-dir", &data).with("port", "1").with("node-config", &file.display().to_string());
    (config::load(&args, &Env::new(), &dir).expect("a good node file").source, file)
}

/// A node file: it is read, or refused with every fault in words.
pub fn nodes(data: &[u8]) {
    thread_local! { static SOURCE: RefCell<(NodeSource, PathBuf)> = RefCell::new(source()); }
    SOURCE.with_borrow_mut(|(source, file)| {
        std::fs::write(&*file, data).expect("a scratch file");
        if let Err(faults) = source.read() {
            assert!(!faults.0.is_empty() && faults.0.iter().all(|fault| !fault.is_empty()));
        }
    });
}

/// A state file: what is kept of it after a restart is kept after the next, too.
pub fn state(data: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(data) else { return };
    let now = Stamp { at: Instant::now(), wall: SystemTime::now() };
    let shows = Shows::default();
    for (name, node) in &snapshot.nodes {
        let name = NodeName::new(name);
        let holding = node.restore(&name, &shows, now);
        let kept = node.clone().with_catalog(&name, &holding, &shows);
        let again = kept.restore(&name, &shows, now);
        assert_eq!(holding.models().len(), again.models().len(), "models are lost by a restart");
    }
    let dir = scratch("state");
    catalog::save(&dir, || snapshot.clone()).expect("it can be written");
    let (loaded, note) = catalog::load(&dir, now.wall + Duration::from_secs(1));
    assert!(note.is_none() || !(1..=2).contains(&snapshot.version), "what was written is damaged: {note:?}");
    assert!(note.is_some() || loaded.nodes.len() == snapshot.nodes.len(), "nodes are lost by a restart");
}

/// The answer of a wake service: a refusal is told in words.
pub fn wake(data: &[u8]) {
    assert!(wake_service_refusal(data).is_none_or(|told| told.contains("wake service")));
}
