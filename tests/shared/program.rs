//! The real program in front of a simulated server, and a client that says exactly the bytes it is given.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ollama_proxy::simulator::{Counters, Ollama, Settings};
use tokio::sync::oneshot;

/// How long anything in these tests may take before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated Ollama on a loopback port, served by a thread of its own until it is dropped.
pub struct Node {
    pub address: SocketAddr,
    ollama: Ollama,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    pub fn start() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let ollama = Ollama::new(settings);
        let (stop, stopped) = oneshot::channel();
        let served = ollama.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                served.serve(listener, async { drop(stopped.await) }).await;
            });
        });
        Self { address, ollama, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn counters(&self) -> Counters {
        self.ollama.counters()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A directory that is removed with all it holds.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}-{}", env!("CARGO_CRATE_NAME"), std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The program under test, with none of this machine's settings in its environment.
pub fn program(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut command, scratch);
    command
}

/// Takes away what `command` would inherit; it runs in the scratch directory.
pub fn bare(command: &mut Command, scratch: &Scratch) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", scratch.path());
    command.current_dir(scratch.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// Runs the program with flags and an environment that it must refuse; panics when it goes on running.
pub fn refused(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let scratch = Scratch::new();
    let mut child = program(&scratch).args(args).envs(environment.iter().copied()).spawn().unwrap();
    if ends(&mut child).is_none() {
        drop(child.kill());
        panic!("goes on running with {args:?}:\n{}", String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
    }
    child.wait_with_output().unwrap()
}

fn ends(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        pause();
    }
    None
}

/// Between two looks at something that another process does.
pub fn pause() {
    std::sync::mpsc::channel::<()>().1.recv_timeout(Duration::from_millis(20)).ok();
}

/// What the program has written so far, with a bell for those who wait for more.
type Log = Arc<(Mutex<String>, Condvar)>;

/// The running proxy; killed when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    child: Child,
    log: Log,
}

impl Proxy {
    /// Starts it on a free port of loopback with `args` and a data directory in `scratch`.
    pub fn start(scratch: &Scratch, args: &[&str]) -> Self {
        let data = scratch.join("data");
        let mut command = program(scratch);
        command.args(["--host", "127.0.0.1", "--port", "0", "--data-dir", &data]).args(args);
        Self::from(command)
    }

    /// In front of `node`, which is always on.
    pub fn before(node: &Node, scratch: &Scratch, args: &[&str]) -> Self {
        let url = node.url();
        let mut all = vec!["--ollama-url", &url];
        all.extend(args);
        Self::start(scratch, &all)
    }

    /// Runs `command`, which must end up being the proxy, and waits until it listens.
    pub fn from(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Log::default();
        let stderr = child.stderr.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        for pipe in [Box::new(stderr) as Box<dyn Read + Send>, Box::new(stdout)] {
            let log = log.clone();
            std::thread::spawn(move || gather(pipe, &log));
        }
        let mut proxy = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), child, log };
        proxy.address = proxy.announced();
        proxy
    }

    fn announced(&self) -> SocketAddr {
        let line = self.written("listening on");
        let text = line.split("127.0.0.1:").nth(1).unwrap_or_else(|| panic!("no address in {line:?}"));
        let port = text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Waits for a line of the log that holds `text` in any case; panics when none comes.
    pub fn written(&self, text: &str) -> String {
        let (log, bell) = &*self.log;
        let find = |log: &str| log.lines().find(|line| line.to_lowercase().contains(&text.to_lowercase())).map(str::to_owned);
        let waited = bell.wait_timeout_while(log.lock().unwrap(), PATIENCE, |log| find(log).is_none()).unwrap().0;
        find(&waited).unwrap_or_else(|| panic!("no {text:?} in the log:\n{waited}"))
    }

    /// All that it has written by now.
    pub fn written_so_far(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// Asks for `path` until the answer holds `text`.
    pub fn until(&self, path: &str, text: &str) {
        for _ in 0..PATIENCE.as_millis() / 20 {
            if get(self.address, path).body.contains(text) {
                return;
            }
            pause();
        }
        panic!("{path} never held {text:?}; log:\n{}", self.log.0.lock().unwrap());
    }

    /// Asks it to end, as a service manager does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Asks it to read its node file again, as a service manager does.
    pub fn hang_up(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits until it has ended by itself; panics when it goes on running.
    pub fn exit_code(&mut self) -> Option<i32> {
        ends(&mut self.child).unwrap_or_else(|| panic!("it goes on running")).code()
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in KiB, as Linux counts it.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Asserts that a client that does nothing wrong is still answered at once.
    pub fn serves_others(&self) {
        let health = get(self.address, "/health");
        assert_eq!(health.status, 200, "{}", health.body);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn gather(pipe: impl Read, log: &Log) {
    for line in BufReader::new(pipe).lines().map_while(Result::ok) {
        let mut text = log.0.lock().unwrap();
        text.push_str(&line);
        text.push('\n');
        log.1.notify_all();
    }
}

/// An answer as it came.
#[derive(Debug, Default)]
pub struct Reply {
    /// 0 when the connection ended without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A connection whose reads and writes give up after [`PATIENCE`].
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says `bytes` and reads until the server ends the connection. A server may answer before it has heard all.
pub fn say(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connect(address);
    drop(stream.write_all(bytes));
    listen(&mut stream)
}

/// Reads until the end of the connection, a reset included; panics when it stays open without a byte.
pub fn listen(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the connection stays open after {:?}", String::from_utf8_lossy(&bytes));
            }
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

pub fn get(address: SocketAddr, path: &str) -> Reply {
    ask(address, "GET", path, "")
}

pub fn post(address: SocketAddr, path: &str, body: &str) -> Reply {
    ask(address, "POST", path, body)
}

/// One ordinary request on a connection of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Reply {
    let length = body.len();
    let text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    say(address, text.as_bytes())
}
