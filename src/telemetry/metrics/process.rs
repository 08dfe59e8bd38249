//! What is known of this process itself, read when the page is printed.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Kind, Page};

/// This process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    started: SystemTime,
}

impl Process {
    /// To be called when the process starts.
    pub fn begun_now() -> Self {
        Self { started: SystemTime::now() }
    }

    /// Writes its families.
    pub fn print(&self, page: &mut Page) {
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of this process that is in RAM";
            page.family("process_resident_memory_bytes", help, Kind::Gauge).whole("", &[], bytes);
        }
        let started = self.started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let help = "When this process began, in seconds since 1970";
        page.family("process_start_time_seconds", help, Kind::Gauge).value("", &[], started);
    }
}

/// Linux tells it in KiB. Its `statm` counts pages instead, whose size differs between machines (a Raspberry Pi 5 has 16
/// KiB) and cannot be asked for without `unsafe`.
fn resident_bytes() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_takes_some_mebibytes() {
        let bytes = resident_bytes().unwrap();
        assert!((1 << 20..1 << 32).contains(&bytes), "{bytes}");
    }
}
