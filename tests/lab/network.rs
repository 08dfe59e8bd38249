//! Network namespaces joined by bridges: made for one test, gone with it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const PREFIX: &str = "ollama-lab";
/// What `ip netns exec NAME` finds here in a directory NAME, it binds over the files of the same names in `/etc`.
const NAMES: &str = "/etc/netns";

/// Why the laboratory cannot work on this machine; `None` when it can.
pub fn missing() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"));
    if !root {
        return Some("network lab needs root".into());
    }
    let there = |program: &str| Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there("ip") || !there("nft") {
        return Some("network lab needs root and the programs ip and nft (Debian: iproute2, nftables)".into());
    }
    let probe = format!("{PREFIX}-{}-probe-{:?}", std::process::id(), std::thread::current().id());
    let made = Command::new("ip").args(["netns", "add", &probe]).output().is_ok_and(|output| output.status.success());
    if made {
        ip(&format!("netns del {probe}"));
        None
    } else {
        Some("network lab needs network namespaces, and this machine refuses to make one".into())
    }
}

/// The namespaces of one test. Dropped, they are removed with everything that still runs in them.
pub struct Network {
    stem: String,
    namespaces: Vec<String>,
    lans: Vec<String>,
}

impl Network {
    /// An empty network: one namespace that holds the bridges. Removes what crashed test runs left behind.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let stem = format!("{PREFIX}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut network = Self { stem, namespaces: Vec::new(), lans: Vec::new() };
        network.add("switches");
        network
    }

    /// The full name of the namespace `name` of this test.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.stem)
    }

    /// Makes a namespace with nothing but loopback.
    pub fn add(&mut self, name: &str) {
        let full = self.namespace(name);
        ip(&format!("netns add {full}"));
        ip(&format!("-n {full} link set lo up"));
        self.namespaces.push(full);
    }

    /// Plugs `interface` of the namespace `name` into the bridge `lan`, which is made if it is new. Addresses are like `10.77.0.2/24`.
    pub fn plug(&mut self, name: &str, interface: &str, lan: &str, mac: &str, address: &str) {
        let (switches, inside) = (self.namespace("switches"), self.namespace(name));
        if !self.lans.iter().any(|known| known == lan) {
            ip(&format!("-n {switches} link add {lan} type bridge"));
            ip(&format!("-n {switches} link set {lan} up"));
            self.lans.push(lan.to_owned());
        }
        let socket = format!("{name}-{interface}");
        ip(&format!("link add {interface} netns {inside} address {mac} type veth peer name {socket} netns {switches}"));
        ip(&format!("-n {switches} link set {socket} master {lan} up"));
        ip(&format!("-n {inside} addr add {address} dev {interface}"));
        ip(&format!("-n {inside} link set {interface} up"));
    }

    /// Waits until every plug passes frames: a bridge learns of a new link up to a second late, and swallows frames until then.
    pub fn until_it_passes_frames(&self) {
        crate::program::eventually("the bridges pass frames", crate::program::LIMIT, || {
            self.run("switches", "bridge link show").lines().all(|plug| plug.contains("state forwarding"))
        });
    }

    /// Runs `ip` inside a namespace, for instance `route add default via 10.77.0.1`.
    pub fn ip(&self, name: &str, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.namespace(name)))
    }

    /// From now on programs in the namespace `name` resolve one host name, `(address, name)`, or none at all without a name
    /// server. Must be called once before the first program starts there.
    pub fn resolve(&self, name: &str, entry: Option<(&str, &str)>) {
        let entry = entry.map(|(address, host)| format!("{address} {host}\n")).unwrap_or_default();
        self.write_name_file(name, "hosts", &format!("127.0.0.1 localhost\n{entry}"));
        self.write_name_file(name, "nsswitch.conf", "hosts: files dns\n");
    }

    /// The name server of the namespace `name`. As [`Network::resolve`].
    pub fn name_server(&self, name: &str, address: &str) {
        self.write_name_file(name, "resolv.conf", &format!("nameserver {address}\n"));
    }

    fn write_name_file(&self, name: &str, file: &str, text: &str) {
        let dir = Path::new(NAMES).join(self.namespace(name));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), text).unwrap();
    }

    /// What a program prints that is run in a namespace.
    pub fn run(&self, name: &str, command: &str) -> String {
        ip(&format!("netns exec {} {command}", self.namespace(name)))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            remove(namespace);
        }
    }
}

/// Runs `ip`; fails the test with its words.
#[track_caller]
fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "ip {arguments}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Ends what runs in a namespace of ours, process by process, and removes it.
fn remove(namespace: &str) {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
    for pid in pids.iter().flat_map(|output| output.stdout.split(|byte| *byte == b'\n')).filter(|pid| !pid.is_empty()) {
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {}", String::from_utf8_lossy(pid))]).status();
    }
    let _ = Command::new("ip").args(["netns", "del", namespace]).status();
    let _ = fs::remove_dir_all(Path::new(NAMES).join(namespace));
}

/// Removes namespaces of test processes that no longer live (a killed test run cannot clean up).
fn sweep() {
    let listed = Command::new("ip").args(["netns", "list"]).output();
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for namespace in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let Some(rest) = namespace.strip_prefix(PREFIX) else { continue };
        let owner = rest.trim_start_matches('-').split('-').next().unwrap_or_default();
        if !owner.is_empty() && !Path::new("/proc").join(owner).exists() {
            remove(namespace);
        }
    }
}
