//! macOS and Windows: a scrape runs the system's own tool, and bytes are estimated.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use super::Look;
use super::estimate::Estimate;
use super::listings;
use super::states::Counts;

/// What one tool may take before it is ended. Two of them stay within what a scraper waits.
const TOOL: Duration = Duration::from_secs(4);

/// Looks within this time are one look: PowerShell alone takes a second.
const SAME: Duration = Duration::from_secs(1);

/// Far more than the sockets of a home server make.
const TEXT: u64 = 8 << 20;

/// What is watched, and the last look.
pub(super) struct System {
    port: u16,
    last: Mutex<(Estimate, Option<(Instant, Look)>)>,
}

impl System {
    pub(super) fn start(port: u16) -> Self {
        Self { port, last: Mutex::default() }
    }

    pub(super) fn look(&self) -> Look {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, look)) = last.1.as_ref().filter(|(at, _)| at.elapsed() < SAME) {
            return look.clone();
        }
        let counts = if cfg!(windows) { of_windows(self.port) } else { of_macos(self.port) };
        let now = Instant::now();
        let look = last.0.look(counts, now);
        last.1 = Some((now, look.clone()));
        look
    }
}

/// `lsof` shows strangers' sockets only to root; where it shows none, `netstat` shows those of all.
fn of_macos(port: u16) -> Counts {
    let seen = listings::lsof(&run("lsof", &["-nP", &format!("-iTCP:{port}")]), port);
    if seen == Counts::default() { listings::netstat(&run("netstat", &["-an"]), port) } else { seen }
}

fn of_windows(port: u16) -> Counts {
    let ask = format!(
        "Get-NetTCPConnection -LocalPort {port} -ErrorAction SilentlyContinue | \
         Select-Object LocalAddress,LocalPort,RemoteAddress,RemotePort,State | ConvertTo-Csv -NoTypeInformation"
    );
    let csv = run("powershell", &["-NoProfile", "-NonInteractive", "-Command", &ask]);
    listings::net_tcp_connection(&csv, port).unwrap_or_else(|| listings::netstat(&run("netstat", &["-an"]), port))
}

/// What a tool prints; nothing when there is no such tool, and what it had printed when it was ended.
pub(super) fn run(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return String::new() };
    let out = child.stdout.take();
    let (done, told) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        // Ends at once when the sender is dropped.
        let _ = told.recv_timeout(TOOL);
        let _ = child.kill();
        let _ = child.wait();
    });
    let mut bytes = Vec::new();
    if let Some(out) = out {
        let _ = out.take(TEXT).read_to_end(&mut bytes);
    }
    drop(done);
    let _ = guard.join();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_tool_s_text_is_read_a_missing_one_says_nothing_and_a_hanging_one_is_ended() {
        assert_eq!(run("echo", &["text"]), "text\n");
        assert_eq!(run("no-such-tool-anywhere", &[]), "");
        let before = Instant::now();
        assert_eq!(run("sh", &["-c", "echo first; exec sleep 60"]), "first\n");
        assert!(before.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_estimate_is_marked() {
        assert!(System::start(1).look().estimated);
    }
}
