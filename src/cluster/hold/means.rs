//! How this system is held awake: by a child process that holds the lock as long as its input is open. So the hold ends with us,
//! however we end: the kernel closes the other end of that pipe also on `kill -9`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// How long a child may take until it says that it holds; PowerShell compiles first.
const TAKES: Duration = Duration::from_secs(15);

/// After its input was closed the child ends within this time, or is killed.
const ENDS: Duration = Duration::from_secs(2);

/// Of what a child says before it fails, so much is read.
const SAID: u64 = 2000;

/// What the child writes when the lock is its own.
const HELD: &str = "held";

/// Runs under the lock: tells that it is there, then waits for the end of its input.
const WAITS: &str = "echo held; exec cat >/dev/null";

/// Windows has no program for this, so PowerShell makes the call. Its thread holds until its input ends.
const WINDOWS: &str = "$api = Add-Type -Name Power -Namespace Proxy -PassThru -MemberDefinition \
    '[DllImport(\"kernel32.dll\")] public static extern uint SetThreadExecutionState(uint state);'; \
    if ($api::SetThreadExecutionState([uint32]2147483649) -eq 0) { exit 1 }; \
    [Console]::Out.WriteLine('held'); [Console]::Out.Flush(); [void][Console]::In.ReadToEnd()";

/// How a system is held awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// Linux: a block inhibitor of logind, by `systemd-inhibit`.
    Logind,
    /// macOS: `caffeinate`. Written by its documentation; it was never run on macOS.
    Caffeinate,
    /// Windows: `SetThreadExecutionState`, by PowerShell. Written by its documentation; it was never run on Windows.
    Windows,
}

impl Means {
    /// That of this system.
    pub fn here() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Caffeinate
        } else {
            Self::Logind
        }
    }

    /// The word in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Logind => "systemd-inhibit",
            Self::Caffeinate => "caffeinate",
            Self::Windows => "SetThreadExecutionState",
        }
    }

    fn command(self) -> Command {
        const WHY: &str = "--why=a request runs here, or one is about to";
        let (program, args): (_, &[&str]) = match self {
            Self::Logind => {
                ("systemd-inhibit", &["--what=sleep:idle", "--mode=block", "--who=ollama-proxy", WHY, "sh", "-c", WAITS])
            }
            Self::Caffeinate => ("caffeinate", &["-i", "sh", "-c", WAITS]),
            Self::Windows => ("powershell", &["-NoProfile", "-NonInteractive", "-Command", WINDOWS]),
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Takes the hold; ready when the system has granted it.
    ///
    /// # Errors
    /// Why it did not, in the words of its own program.
    pub async fn take(self) -> Result<Hold, String> {
        let mut child = self.command().spawn().map_err(|error| format!("{} cannot be run: {error}", self.word()))?;
        let Some((input, out)) = child.stdin.take().zip(child.stdout.take()) else { return Err("it has no pipes".to_owned()) };
        let mut line = String::new();
        let mut out = BufReader::new(out.take(SAID));
        let says = tokio::time::timeout(TAKES, out.read_line(&mut line)).await;
        match says {
            Ok(Ok(_)) if line.trim() == HELD => Ok(Hold { child, input: Some(input) }),
            Ok(_) => Err(last_words(&mut child).await),
            Err(_) => Err(format!("{} did not hold within {} s", self.word(), TAKES.as_secs())),
        }
    }
}

async fn last_words(child: &mut Child) -> String {
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        let _ = tokio::time::timeout(ENDS, errors.take(SAID).read_to_string(&mut said)).await;
    }
    let said = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it ended without a word");
    said.trim().to_owned()
}

/// A hold on the system. Ends when it is dropped.
pub struct Hold {
    child: Child,
    /// Open as long as the child shall hold.
    input: Option<ChildStdin>,
}

impl Hold {
    /// Resolves when the hold is gone before it was released, with the reason.
    pub async fn lost(&mut self) -> String {
        let status = self.child.wait().await;
        let said = last_words(&mut self.child).await;
        status.map_or_else(|error| error.to_string(), |status| format!("it ended with {status}: {said}"))
    }

    /// Lets the system go, and waits until it is let go.
    pub async fn release(mut self) {
        drop(self.input.take());
        if tokio::time::timeout(ENDS, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_held_is_told_in_the_system_s_own_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo Failed to inhibit: no such bus >&2; exit 1"]).stderr(Stdio::piped());
        assert_eq!(last_words(&mut command.spawn().unwrap()).await, "Failed to inhibit: no such bus");
    }
}
