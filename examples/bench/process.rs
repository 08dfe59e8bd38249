//! Processes that are measured: started, read off `/proc`, and ended with all that they started.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

/// A started program, and where its words go. Ended on drop.
pub struct Program(Child, PathBuf);

/// What a program and those that it started have used.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Time on a processor.
    pub cpu: Duration,
    /// How often one of its threads lay down by itself, which is how often it was woken.
    pub sleeps: u64,
}

impl Program {
    /// Starts it, without any input and with its words going to `log`.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = fs::File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.with_context(|| format!("{} does not start", command.get_program().to_string_lossy()))?;
        Ok(Self(child, log.to_owned()))
    }

    /// The last that it wrote.
    pub fn last_words(&self) -> Option<String> {
        fs::read_to_string(&self.1).ok()?.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
    }

    /// Its process id and those of its children.
    pub fn ids(&self) -> Vec<u32> {
        family(self.0.id())
    }

    /// The time that its threads have run. A sum over threads that live: a thread that ends takes its share with it.
    pub fn usage(&self) -> Usage {
        let threads = self.ids().into_iter().flat_map(|id| {
            let entries = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect::<Vec<_>>()
        });
        threads.fold(Usage::default(), |sum, thread| {
            let ran = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            let nanos = ran.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
            let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
            let sleeps = field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
            Usage { cpu: sum.cpu + Duration::from_nanos(nanos), sleeps: sum.sleeps + sleeps }
        })
    }

    /// Its memory in MiB (`VmRSS`), that of its children added.
    pub fn memory(&self) -> f64 {
        let kib: u64 = self
            .ids()
            .into_iter()
            .filter_map(|id| field(&fs::read_to_string(format!("/proc/{id}/status")).ok()?, "VmRSS:"))
            .sum();
        kib as f64 / 1024.0
    }
}

/// A number in one of `/proc`'s tables.
fn field(table: &str, name: &str) -> Option<u64> {
    table.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

/// A process and all its descendants.
fn family(root: u32) -> Vec<u32> {
    let mut pairs = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // Behind the name, which may hold anything: state, parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse::<u32>().ok());
        pairs.extend(parent.map(|parent| (id, parent)));
    }
    let mut all = BTreeSet::from([root]);
    while let Some((id, _)) = pairs.iter().find(|(id, parent)| all.contains(parent) && !all.contains(id)) {
        all.insert(*id);
    }
    all.into_iter().collect()
}

impl Drop for Program {
    /// Asks it to end, so that it ends its own children; then insists.
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).stderr(Stdio::null()).status();
        for _ in 0..200 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            // No runtime is left to wait with in a drop.
            let _ = Command::new("sleep").arg("0.01").status();
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until something is accepted at `address`, looking every millisecond.
pub async fn listening(address: std::net::SocketAddr, patience: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + patience;
    while tokio::net::TcpStream::connect(address).await.is_err() {
        anyhow::ensure!(Instant::now() < until, "nothing listens at {address} after {} s", patience.as_secs());
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// A port of loopback that is free now.
pub fn free_address() -> anyhow::Result<std::net::SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// How many files and sockets this process and those that it starts may open, after the attempt to raise it to what the system
/// lets them have: ten thousand streams take a socket each on every side.
#[cfg(target_os = "linux")]
pub fn most_open() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if raised.is_ok() { limit.maximum } else { limit.current }.unwrap_or(u64::MAX)
}

/// Elsewhere it is taken as it is.
#[cfg(not(target_os = "linux"))]
pub fn most_open() -> u64 {
    u64::MAX
}
