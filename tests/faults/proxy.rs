//! The real program on a disk of its own that can be filled and made read-only while it runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::house::PROVIDERS;
use crate::program::{eventually, in_namespace, log_file};

/// How long an orderly end may take: the grace of running streams and a bit.
const ORDERLY_END: Duration = Duration::from_secs(45);

/// A small disk in a mount namespace that lives as long as this does; it outlives the proxies that use it.
pub struct Disk {
    holder: Child,
    path: PathBuf,
}

impl Disk {
    /// Makes it at `path`, in the network namespace `namespace`.
    pub fn new(namespace: &str, path: &Path) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let script = format!("mount -t tmpfs -o size=1m none {} && echo ready && exec cat", path.display());
        let mut command = in_namespace(namespace, Path::new("sh"));
        let mut holder = command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "no disk could be made");
        Self { holder, path: path.to_owned() }
    }

    /// A command inside: on this disk and in its network namespace.
    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--mount", "--net", "--", program]);
        command
    }

    fn shell(&self, script: &str) -> bool {
        self.inside("sh").args(["-c", script]).stderr(Stdio::null()).status().unwrap().success()
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        self.shell(&format!("head -c 2M /dev/zero >{}/filler", self.path.display()));
    }

    /// Undoes [`Disk::fill`].
    pub fn free(&self) {
        assert!(self.shell(&format!("rm -f {}/filler", self.path.display())));
    }

    /// Refuses every write from now on, or no more; `false` when a file is just being written.
    pub fn read_only(&self, yes: bool) -> bool {
        let mode = if yes { "ro" } else { "rw" };
        self.shell(&format!("mount -o remount,{mode} {}", self.path.display()))
    }

    /// How often a file says this; not at all when it is not there.
    pub fn counted(&self, file: &str, text: &str) -> usize {
        let output = self.inside("cat").arg(self.path.join(file)).stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).matches(text).count()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The proxy. Nothing but [`Proxy::end`] and [`Proxy::crash`] may end it.
pub struct Proxy {
    disk: Disk,
    logs: PathBuf,
    child: Option<Child>,
}

impl Proxy {
    /// Not started yet. Logs and the node file lie in `logs`.
    pub fn new(namespace: &str, logs: &Path) -> Self {
        Self { disk: Disk::new(namespace, &logs.join("data")), logs: logs.to_owned(), child: None }
    }

    /// Its disk.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Starts it.
    pub fn start(&mut self) {
        let output = log_file(&self.logs, "proxy");
        let data = self.logs.join("data").display().to_string();
        let times = ["--wake-timeout", "10s", "--model-timeout", "3s", "--timeout", "5s", "--request-limit", "40s"];
        // Its clients wake more often than a house does.
        let times = [&times[..], &["--wake-budget", "100000"]].concat();
        let mut command = self.disk.inside(env!("CARGO_BIN_EXE_ollama-proxy"));
        // In the disk's namespace the working directory is another one.
        let nodes = self.logs.join("node_config.json").display().to_string();
        command.args(["--port", "11434", "--data-dir", &data, "--node-config", &nodes]).args(times);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(&self.logs);
        let [openai, anthropic] = PROVIDERS;
        command.env("OPENAI_API_KEY", "sk-of-the-lab").env("OPENAI_BASE_URL", format!("http://{openai}/v1"));
        command.env("ANTHROPIC_API_KEY", "sk-ant-of-the-lab").env("ANTHROPIC_BASE_URL", format!("http://{anthropic}"));
        let child = command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).spawn();
        self.child = Some(child.unwrap());
    }

    fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn signal(&mut self, name: &str) {
        let early = self.child.as_mut().unwrap().try_wait().unwrap();
        assert!(early.is_none(), "the proxy ended by itself with {early:?}");
        assert!(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        eventually("the proxy ended", ORDERLY_END, || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Ends it as a service manager does.
    pub fn end(&mut self) {
        self.signal("TERM");
        let status = self.ended();
        assert!(status.success(), "an orderly end with {status:?}");
    }

    /// Ends it as a power cut does.
    pub fn crash(&mut self) {
        self.signal("KILL");
        self.ended();
    }

    /// Has it read its node file again.
    pub fn hang_up(&mut self) {
        self.signal("HUP");
    }

    /// Fails the test when it has ended by itself.
    #[track_caller]
    pub fn assert_running(&mut self) {
        let ended = self.child.as_mut().unwrap().try_wait().unwrap();
        assert!(ended.is_none(), "the proxy ended by itself with {ended:?}");
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Its memory in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Everything it has logged, all its lives together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.logs.join("proxy.log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
