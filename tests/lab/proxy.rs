//! The real binary, running in a namespace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::program::{LIMIT, eventually, in_namespace, log_file};

/// The proxy of a test.
pub struct Proxy {
    namespace: String,
    logs: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Proxy {
    /// Starts it with a data directory of its own below `logs`. Nothing of this process' environment reaches it.
    pub fn start(namespace: &str, logs: &Path, settings: &[String]) -> Self {
        let data = logs.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut arguments = vec!["--data-dir".into(), data.to_str().unwrap().to_owned(), "--log".into(), "debug".into()];
        arguments.extend(settings.iter().cloned());
        let mut proxy = Self { namespace: namespace.into(), logs: logs.into(), arguments, child: None };
        proxy.launch();
        proxy
    }

    fn launch(&mut self) {
        let output = log_file(&self.logs, "proxy");
        let child = in_namespace(&self.namespace, Path::new(env!("CARGO_BIN_EXE_ollama-proxy")))
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.logs.join("data"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Asks it to end as a service manager does (SIGTERM).
    pub fn signal_to_end(&self) {
        self.signal("TERM");
    }

    /// Stops it as a suspend does: it stays, and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after that.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// How often each of its threads has waited for something and then gone on, by the thread: idle ones end.
    pub fn wakeups(&self) -> BTreeMap<PathBuf, u64> {
        let tasks = format!("/proc/{}/task", self.child.as_ref().unwrap().id());
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let path = task.ok()?.path();
            let status = std::fs::read_to_string(path.join("status")).ok()?;
            let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            Some((path, count.trim().parse().ok()?))
        };
        std::fs::read_dir(tasks).unwrap().filter_map(of).collect()
    }

    /// Ends it as a power cut does.
    pub fn crash(&self) {
        self.signal("KILL");
    }

    fn signal(&self, name: &str) {
        if let Some(child) = &self.child {
            let _ = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status();
        }
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn until_ended(&mut self, limit: Duration) {
        if let Some(mut child) = self.child.take() {
            eventually("the proxy ended", limit, || child.try_wait().unwrap().is_some());
        }
    }

    /// Ends it and starts it anew.
    pub fn restart(&mut self) {
        self.signal_to_end();
        self.start_again();
    }

    /// Starts it anew once it has ended.
    pub fn start_again(&mut self) {
        self.until_ended(LIMIT);
        self.launch();
    }

    /// Fails the test when the process has ended.
    #[track_caller]
    pub fn assert_running(&mut self) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
        assert!(ended.is_none(), "the proxy ended with {ended:?}:\n{}", self.log());
    }

    /// Everything it has logged.
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
