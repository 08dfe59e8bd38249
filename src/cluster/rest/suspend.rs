//! Sending this machine to sleep by its own means, and noticing that it is awake again.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::clock::Reading;

/// What the command may take. It may also return only after the sleep, which does not count: its clock stands still meanwhile.
const TAKES: Duration = Duration::from_secs(60);

/// Systems suspend seconds after they were told to. Who is not asleep by then stays awake.
const FALLS: Duration = Duration::from_secs(60);

/// How often the clocks are looked at until then: a resume is announced within this time.
const LOOK: Duration = Duration::from_millis(500);

/// A pause of ours that lasted so much longer than asked for: the machine, or only we, were frozen, as in a virtual machine or a
/// container that was paused. Looked for only after a sleep was begun.
const FROZEN: Duration = Duration::from_secs(3);

/// How this system is told to sleep, for a shell. That of Windows and macOS is by their documentation; it was never run there.
pub fn usual_command() -> &'static str {
    if cfg!(windows) {
        "powershell -NoProfile -NonInteractive -Command \"Add-Type -AssemblyName System.Windows.Forms; \
         [void][System.Windows.Forms.Application]::SetSuspendState('Suspend', $false, $false)\""
    } else if cfg!(target_os = "macos") {
        "pmset sleepnow"
    } else {
        "systemctl suspend"
    }
}

/// Runs the command, and waits until the machine is awake again; how long it slept since `before`. `None`: it did not sleep.
///
/// # Errors
/// Why the system does not sleep, in the command's own words.
pub(super) async fn run(command: &str, before: Reading) -> Result<Option<Duration>, String> {
    let slept = slept_since(before);
    tokio::pin!(slept);
    // Some commands return before the sleep, some after it.
    tokio::select! {
        done = tell(command) => done?,
        gap = &mut slept => return Ok(gap),
    }
    Ok(slept.await)
}

async fn tell(command: &str) -> Result<(), String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut shell = Command::new(shell);
    shell.args([flag, command]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    match tokio::time::timeout(TAKES, shell.output()).await {
        Err(_) => Err(format!("`{command}` did not end within {} s", TAKES.as_secs())),
        Ok(Err(error)) => Err(format!("`{command}` cannot be run: {error}")),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("`{command}` ended with {}: {}", output.status, said.trim()))
        }
    }
}

/// Pauses for so long. `Some`: the machine has slept since `before`, or stood still meanwhile, and is awake again.
pub(super) async fn pause(time: Duration, before: Reading) -> Option<Duration> {
    let began = Reading::now();
    tokio::time::sleep(time).await;
    let now = Reading::now();
    let frozen = now.passed.saturating_sub(began.passed).checked_sub(time).filter(|over| *over >= FROZEN);
    before.slept_until(now).or(frozen)
}

/// Waits until the machine has slept since `before` and is awake again; how long that was. `None`: it did not sleep.
async fn slept_since(before: Reading) -> Option<Duration> {
    loop {
        if let Some(slept) = pause(LOOK, before).await {
            return Some(slept);
        }
        if Reading::now().ran.saturating_sub(before.ran) >= FALLS {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_system_that_refuses_to_sleep_is_told_in_its_own_words() {
        assert_eq!(tell("true").await, Ok(()));
        let why = tell("echo Sleep verb not supported >&2; exit 1").await.unwrap_err();
        assert!(why.contains("Sleep verb not supported"), "{why}");
    }
}
