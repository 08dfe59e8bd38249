//! What a test wants of its laboratory, and the laboratory that it gets.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::calls::{Answer, Client};
use crate::network::{Network, missing};
use crate::program::{LIMIT, eventually, pause};
use crate::proxy::Proxy;
use crate::service::{RunningWakeService, WakeService};
use crate::sleeper::{Machine, Sleeper};

/// The Pi's first card.
pub const PI_MAC: &str = "02:00:00:00:77:02";
/// The wake service's card.
pub const SERVICE_MAC: &str = "02:00:00:00:77:03";
/// A model that every simulated Ollama has.
pub const CHAT_MODEL: &str = "llama3.2:3b";
/// After this time without an answer the proxy holds nothing for proven any more (and a bit).
pub const EVIDENCE: Duration = Duration::from_millis(5500);
/// The proxy as its clients on the Pi see it.
pub const PROXY: &str = "127.0.0.1:11434";

/// What a test wants.
#[allow(clippy::struct_excessive_bools, reason = "each is one wish, and any of them go together")]
pub struct Plan {
    test: String,
    machines: Vec<Machine>,
    settings: Vec<String>,
    proxy: bool,
    macs: bool,
    default_route: bool,
    pi_address: String,
    second_interface: Option<(String, String)>,
    router: Option<(String, String)>,
    service: Option<WakeService>,
    host_name: Option<String>,
    asleep: bool,
    node_file: Option<Value>,
}

/// An empty directory for the logs of a test. `None`, loudly, where there can be no laboratory.
pub fn usable(test: &str) -> Option<PathBuf> {
    if let Some(reason) = missing() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
        // Written past the test harness, which shows `eprintln!` of failed tests only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {reason} ({test})");
        return None;
    }
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("lab").join(test);
    let _ = std::fs::remove_dir_all(&logs);
    Some(logs)
}

impl Plan {
    /// A Pi at 10.77.0.2/24 with a default route, and the proxy on it. Without another wish it serves [`Machine::usual`].
    pub fn named(test: &str) -> Self {
        Self {
            test: test.into(),
            machines: Vec::new(),
            settings: Vec::new(),
            proxy: true,
            macs: true,
            default_route: true,
            pi_address: "10.77.0.2/24".into(),
            second_interface: None,
            router: None,
            service: None,
            host_name: None,
            asleep: false,
            node_file: None,
        }
    }

    /// A GPU host. The proxy gets its URL and MAC, in the order of declaration.
    pub fn host(mut self, machine: Machine) -> Self {
        self.machines.push(machine);
        self
    }

    /// A setting of the proxy, such as `("--wake-timeout", "6s")`.
    pub fn setting(mut self, flag: &str, value: &str) -> Self {
        self.settings.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Only the network and the hosts.
    pub fn without_proxy(mut self) -> Self {
        self.proxy = false;
        self
    }

    /// The proxy is told no MAC.
    pub fn without_mac(mut self) -> Self {
        self.macs = false;
        self
    }

    /// The Pi knows only the networks of its interfaces.
    pub fn without_default_route(mut self) -> Self {
        self.default_route = false;
        self
    }

    /// The Pi's address with prefix length.
    pub fn pi_at(mut self, address: &str) -> Self {
        self.pi_address = address.into();
        self
    }

    /// The Pi has a second interface on another bridge.
    pub fn second_interface(mut self, lan: &str, address: &str) -> Self {
        self.second_interface = Some((lan.into(), address.into()));
        self
    }

    /// The Pi's gateway 10.77.0.1 exists and leads to the bridge `lan`, where it has `address`.
    pub fn router(mut self, lan: &str, address: &str) -> Self {
        self.router = Some((lan.into(), address.into()));
        self
    }

    /// A wake service at 10.77.0.3:9090.
    pub fn wake_service(mut self, service: WakeService) -> Self {
        self.service = Some(service);
        self
    }

    /// The proxy knows the first host by this name only.
    pub fn host_name(mut self, name: &str) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// The hosts fall asleep before the proxy starts.
    pub fn asleep_at_start(mut self) -> Self {
        self.asleep = true;
        self
    }

    /// The proxy learns of its nodes from this node file alone.
    pub fn node_file(mut self, file: Value) -> Self {
        self.node_file = Some(file);
        self
    }

    /// Builds it, and waits until the proxy answers. `None`, loudly, where there can be no laboratory.
    pub fn start(mut self) -> Option<Lab> {
        let logs = usable(&self.test)?;
        if self.machines.is_empty() {
            self.machines.push(Machine::usual());
        }
        let network = self.wire();
        network.until_it_passes_frames();
        let hosts = self.machines.iter().map(|machine| {
            let namespace = network.namespace(&machine.name);
            (machine.clone(), Sleeper::start(&namespace, &logs, machine))
        });
        let hosts: Vec<(Machine, Sleeper)> = hosts.collect();
        if self.asleep {
            for (_, sleeper) in &hosts {
                sleeper.sleep();
            }
        }
        if let Some(file) = &self.node_file {
            std::fs::create_dir_all(logs.join("data")).unwrap();
            std::fs::write(logs.join("data/node_config.json"), file.to_string()).unwrap();
        }
        let service = self.service.take();
        let service = service.map(|wanted| RunningWakeService::start(&network.namespace("service"), &logs, &wanted));
        let pi = network.namespace("pi");
        let client = Client::start(&pi, &logs, PROXY);
        let proxy = self.proxy.then(|| Proxy::start(&pi, &logs, &self.arguments()));
        let mut lab = Lab { client, proxy, service, hosts, network, logs };
        if lab.proxy.is_some() {
            lab.until_proxy_answers();
        }
        Some(lab)
    }

    fn wire(&self) -> Network {
        let mut network = Network::new();
        network.add("pi");
        if let Some(name) = &self.host_name {
            network.name_server("pi", "127.0.0.1");
            network.resolve("pi", Some((self.machines[0].ip(), name)));
        }
        network.plug("pi", "eth0", "home", PI_MAC, &self.pi_address);
        if let Some((lan, address)) = &self.second_interface {
            network.plug("pi", "eth1", lan, "02:00:00:00:88:02", address);
        }
        if let Some((lan, address)) = &self.router {
            network.add("router");
            network.plug("router", "eth0", "home", "02:00:00:00:77:01", "10.77.0.1/24");
            network.plug("router", "eth1", lan, "02:00:00:00:99:01", address);
            network.run("router", "sysctl -q -w net.ipv4.ip_forward=1");
        }
        if self.default_route {
            network.ip("pi", "route add default via 10.77.0.1");
        }
        for machine in &self.machines {
            network.add(&machine.name);
            network.plug(&machine.name, "eth0", &machine.lan, &machine.mac, &machine.address);
            if let Some(gateway) = &machine.gateway {
                network.ip(&machine.name, &format!("route add default via {gateway}"));
            }
        }
        if self.service.is_some() {
            network.add("service");
            network.plug("service", "eth0", "home", SERVICE_MAC, "10.77.0.3/24");
            network.ip("service", "route add default via 10.77.0.1");
        }
        network
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> = ["--port", "11434"].map(String::from).to_vec();
        let by_url = self.machines.iter().enumerate().filter(|_| self.node_file.is_none());
        for (at, machine) in by_url {
            let named = self.host_name.as_ref().filter(|_| at == 0).map(|name| format!("http://{name}:11434"));
            arguments.extend(["--ollama-url".into(), named.unwrap_or_else(|| machine.url())]);
            if self.macs {
                arguments.extend(["--wake-mac".into(), machine.mac.clone()]);
            }
        }
        arguments.extend(self.settings.iter().cloned());
        arguments
    }
}

/// A running laboratory. Fields are dropped in this order: programs first, then their network.
pub struct Lab {
    client: Client,
    proxy: Option<Proxy>,
    service: Option<RunningWakeService>,
    hosts: Vec<(Machine, Sleeper)>,
    network: Network,
    logs: PathBuf,
}

impl Lab {
    /// The client on the Pi.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The first host.
    pub fn gpu(&self) -> &Sleeper {
        &self.hosts[0].1
    }

    /// The host of that name.
    pub fn host(&self, name: &str) -> &Sleeper {
        &self.hosts.iter().find(|(machine, _)| machine.name == name).unwrap().1
    }

    /// Address and port of the first host's Ollama.
    pub fn gpu_address(&self) -> String {
        format!("{}:11434", self.hosts[0].0.ip())
    }

    /// The wake service.
    pub fn service(&self) -> &RunningWakeService {
        self.service.as_ref().unwrap()
    }

    /// Everything the proxy has logged.
    pub fn proxy_log(&self) -> String {
        self.proxy.as_ref().unwrap().log()
    }

    /// Ends the proxy, starts it anew and waits until it answers.
    pub fn restart_proxy(&mut self) {
        self.proxy.as_mut().unwrap().restart();
        self.until_proxy_answers();
    }

    /// What the proxy keeps of its nodes on disk.
    pub fn kept(&self) -> Value {
        let text = std::fs::read_to_string(self.logs.join("data/state.json")).unwrap_or_default();
        let state: Value = text.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        state["nodes"].clone()
    }

    /// Ends the proxy as a power cut does.
    pub fn crash_proxy(&self) {
        self.proxy.as_ref().unwrap().crash();
    }

    /// Starts the proxy again, once it has ended, and waits until it answers.
    pub fn start_proxy(&mut self) {
        self.proxy.as_mut().unwrap().start_again();
        self.until_proxy_answers();
    }

    /// Asks the proxy to end, without waiting for it.
    pub fn signal_proxy_to_end(&self) {
        self.proxy.as_ref().unwrap().signal_to_end();
    }

    /// Waits until the proxy has ended.
    #[track_caller]
    pub fn until_proxy_ended(&mut self, limit: Duration) {
        self.proxy.as_mut().unwrap().until_ended(limit);
    }

    fn until_proxy_answers(&mut self) {
        let (client, proxy) = (&self.client, self.proxy.as_mut().unwrap());
        eventually("the proxy answers /health", LIMIT, || {
            proxy.assert_running();
            client.get("/health").finish().status == 200
        });
    }

    /// Waits until the proxy knows the model list and the `show` answer of `model`, so that it needs no node for listings.
    #[track_caller]
    pub fn until_catalog_knows(&self, model: &str) {
        let body = serde_json::json!({ "model": model });
        eventually("the proxy knows the models", LIMIT, || {
            let tags = self.client.get("/api/tags").finish();
            // Only answers from memory say how old they are.
            let known = |answer: Answer| answer.status == 200 && answer.header("x-ollama-proxy-cache").is_some();
            tags.body.contains(model) && known(self.client.post("/api/show", &body).finish())
        });
    }

    /// Established TCP connections from the Pi to the first host.
    pub fn connections_to_gpu(&self) -> String {
        self.network.run("pi", &format!("ss -Htn state established dst {}", self.hosts[0].0.ip()))
    }

    /// Waits until nothing is under way between the proxy and these hosts: what is half said when a host falls asleep, an
    /// answer or an end, is said again by the Pi's kernel, and its card sees that.
    #[track_caller]
    pub fn until_nothing_is_under_way(&self, names: &[&str]) {
        let asked = |name: &str| self.host(name).counters()["requests"].clone();
        let open = |name: &str| {
            let ip = self.hosts.iter().find(|(machine, _)| machine.name == name).unwrap().0.ip().to_owned();
            self.network.run("pi", &format!("ss -Htn dst {ip}"))
        };
        eventually("nothing is under way", LIMIT, || {
            let before: Vec<Value> = names.iter().map(|name| asked(name)).collect();
            pause(Duration::from_millis(500));
            names.iter().zip(before).all(|(name, before)| asked(name) == before && open(name).is_empty())
        });
    }

    /// From now on the Pi resolves `name` to `address`, or (with `None`) nothing at all.
    pub fn resolve(&self, entry: Option<(&str, &str)>) {
        self.network.resolve("pi", entry);
    }

    /// From now on no name in `hosts` and a name server that does not answer.
    pub fn resolve_slowly(&self) {
        self.network.name_server("pi", "10.77.0.99");
        self.network.resolve("pi", None);
    }

    /// Empties the neighbour table of the Pi: a unicast packet to a sleeping host is lost then.
    pub fn forget_neighbours(&self) {
        self.network.ip("pi", "neigh flush all");
    }

    /// The neighbour table of the Pi.
    pub fn neighbours(&self) -> String {
        self.network.ip("pi", "neigh show")
    }
}

impl Drop for Lab {
    /// Shows the logs of a failed test.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(&self.logs).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(120)..].join("\n");
                eprintln!("----- {} -----\n{tail}", entry.path().display());
            }
        }
    }
}
