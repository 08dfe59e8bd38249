//! Runs a program that a model wrote: without network, with bounded time, memory and processes, and as nobody when we are root.
//!
//! Homes, temporary folders and other programs' sockets are hidden from it too. What it does not do: hide the rest of the disk. The
//! program reads and writes there what the user may (what `nobody` may, when root runs this).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

/// How much of what a program says is kept, from its end.
const KEPT: usize = 16 << 10;
/// Empty folders that nobody writes to, where there are homes, sockets or room for files; then the rest of the command.
const HIDE: &str = "for at in /home /root /run /var/run /tmp /var/tmp /dev/shm; do \
                    [ ! -d $at ] || mount -t tmpfs -o ro,mode=755 none $at || exit 1; done; exec \"$@\"";
const TRIAL: Duration = Duration::from_secs(20);
const LEFT_OPEN: Duration = Duration::from_secs(10);

/// What a program may use.
#[derive(Clone, Copy)]
pub struct Limits {
    pub time: Duration,
    /// Bytes of address space.
    pub memory: u64,
}

/// How programs are run.
pub struct Sandbox {
    /// The command that ends in running Python.
    command: Vec<String>,
    limits: Limits,
}

/// How a program ended.
pub struct Verdict {
    pub passed: bool,
    pub took: Duration,
    pub stdout: String,
    pub stderr: String,
    pub error: Option<String>,
}

impl Sandbox {
    /// Tries the walls out with an empty program; says what is missing when they cannot be had.
    pub fn isolated(python: &str, limits: Limits) -> anyhow::Result<Self> {
        let sandbox = Self { command: walls(python, limits), limits };
        let advice = "programs are not run without walls around them; --without-isolation runs them all the same";
        sandbox.trial().with_context(|| format!("no isolation here ({}): {advice}", sandbox.command.join(" ")))?;
        Ok(sandbox)
    }

    /// Only the time is bounded.
    pub fn open(python: &str, limits: Limits) -> anyhow::Result<Self> {
        let sandbox = Self { command: python_command(python), limits };
        sandbox.trial().with_context(|| format!("{python} does not run"))?;
        Ok(sandbox)
    }

    /// With time enough for a machine that is busy: it is the walls that are tried.
    fn trial(&self) -> anyhow::Result<()> {
        let seen = self.run_within(self.limits.time.max(TRIAL), |proof| format!("print('{proof}')\n"))?;
        anyhow::ensure!(seen.passed, "{} {}", seen.error.unwrap_or_default(), seen.stderr.trim());
        Ok(())
    }

    /// Runs what `program` makes of a proof; it has passed when it ends well and the proof is the last it said.
    pub fn run(&self, program: impl FnOnce(&str) -> String) -> anyhow::Result<Verdict> {
        self.run_within(self.limits.time, program)
    }

    fn run_within(&self, limit: Duration, program: impl FnOnce(&str) -> String) -> anyhow::Result<Verdict> {
        let proof = format!("passed {:016x}", RandomState::new().build_hasher().finish());
        let text = program(&proof);
        let began = Instant::now();
        let mut running = Running(self.start()?);
        let mut stdin = running.0.stdin.take().context("no input")?;
        let (stdout, stderr) = (running.0.stdout.take().context("no output")?, running.0.stderr.take().context("no output")?);
        // A program that ends early reads no more.
        let told = thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        let (stdout, stderr) = (Heard::listen(stdout), Heard::listen(stderr));
        let ended = running.wait(limit)?;
        let took = began.elapsed();
        drop(running); // so that the pipes end too
        drop(told.join());
        let [stdout, stderr] = [stdout, stderr].map(Heard::tail);
        let (passed, error) = match ended {
            None => (false, Some(format!("ended after {} s", limit.as_secs_f64()))),
            Some(status) if !status.success() => (false, Some(format!("{status}"))),
            Some(_) if stdout.trim_end().ends_with(&proof) => (true, None),
            Some(_) => (false, Some("it ended before its tests did".to_owned())),
        };
        let stdout = stdout.replace(&proof, "").trim_end().to_owned();
        Ok(Verdict { passed, took, stdout, stderr, error })
    }

    fn start(&self) -> anyhow::Result<Child> {
        let (name, arguments) = self.command.split_first().context("no command")?;
        let mut command = Command::new(name);
        command.args(arguments).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("PYTHONHASHSEED", "0").env("PYTHONIOENCODING", "utf-8");
        if cfg!(unix) {
            command.current_dir("/");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("{name} does not start"))
    }
}

/// Reads the program from its input: no file has to be made that nobody may read.
fn python_command(python: &str) -> Vec<String> {
    [python, "-I", "-B", "-"].map(str::to_owned).to_vec()
}

/// `unshare` gives it no network, mounts of its own, and process ids of its own, all of which end with it; `prlimit` bounds what it
/// may use.
fn walls(python: &str, limits: Limits) -> Vec<String> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut command = words("unshare --net --ipc --uts --mount --pid --fork --kill-child=KILL");
    let root = is_root();
    if !root {
        command.extend(words("--user --map-root-user"));
    }
    command.extend(["sh", "-c", HIDE, "sh"].map(str::to_owned));
    if root {
        // A change of user forgets the signal at the parent's end, so it is asked for again.
        let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --no-new-privs --pdeathsig=KILL";
        command.extend(words(nobody));
    }
    let seconds = limits.time.as_secs() + 1;
    command.extend(words(&format!("prlimit --as={} --cpu={seconds}", limits.memory)));
    command.extend(words("--nproc=16 --nofile=64 --fsize=16777216 --core=0"));
    command.extend(python_command(python));
    command
}

/// By the kernel's word, for there is no such question in std. False where there is no such file.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}

/// Ended on drop, with all that it started when it has process ids of its own.
struct Running(Child);

impl Running {
    /// Its end, or `None` when it takes longer.
    fn wait(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        let (_silent, never) = channel();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            pause(&never);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Between two looks at a process: nothing in std waits for one with a limit.
fn pause(never: &Receiver<()>) {
    let _ = never.recv_timeout(Duration::from_millis(5));
}

/// What a program says, as far as it is kept.
struct Heard {
    kept: Arc<Mutex<Vec<u8>>>,
    open: Receiver<()>,
}

impl Heard {
    /// Reads all, keeps the end.
    fn listen(mut pipe: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (silent, open) = channel();
        let shared = kept.clone();
        thread::spawn(move || {
            let _silent = silent;
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        });
        Self { kept, open }
    }

    /// All of it once the pipe has ended. Without walls a process that was left behind may keep it open, and is not waited for.
    fn tail(self) -> String {
        if matches!(self.open.recv_timeout(LEFT_OPEN), Err(RecvTimeoutError::Timeout)) {
            eprintln!("a program left a process behind");
        }
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}
