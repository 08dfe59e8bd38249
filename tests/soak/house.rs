//! The house of the soak, all on loopback: an always-on machine that fails and dies, two PCs that sleep and are woken, one that
//! nobody asks for, two providers, and the real program.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use ollama_proxy::simulator::{Failure, Ollama, PcSettings, Settings, SimulatedModel, SimulatedPc};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::program::{Dialogue, eventually, example};
use crate::rig::{Proxy, Scratch, get};
use crate::traffic::Traffic;

/// Those that fall asleep and are woken.
const SLEEPERS: [&str; 2] = ["tower", "attic"];

/// How a page is watched before its visitor leaves.
const VISIT: Duration = Duration::from_secs(4);

/// Everything, running. Dropped in this order: clients first.
pub struct House {
    pub traffic: Traffic,
    cloud: Dialogue,
    pub proxy: Proxy,
    pcs: Vec<(&'static str, SimulatedPc)>,
    nas: Nas,
    runtime: Runtime,
    _scratch: Scratch,
}

/// The always-on machine.
struct Nas {
    address: SocketAddr,
    ollama: Ollama,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

fn settings(name: &str, models: &[(&str, &str)]) -> Settings {
    let models = models.iter().map(|(model, size)| SimulatedModel::chat(model, size, 2_000_000_000)).collect();
    let (first_token, token_gap) = (Duration::from_millis(40), Duration::from_millis(8));
    Settings { models, first_token, token_gap, tokens: 60, parallel: 8, word: name.to_owned(), ..Settings::default() }
}

fn nas() -> Nas {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    Nas { address, ollama: Ollama::new(settings("nas", &[("llama3.2:3b", "3.2B")])), running: None }
}

async fn pcs() -> Vec<(&'static str, SimulatedPc)> {
    let shared = ("llama3.2:3b", "3.2B");
    let of = [
        ("tower", vec![shared, ("deep:7b", "7.0B")], Duration::ZERO),
        ("attic", vec![shared, ("wide:7b", "7.0B")], Duration::from_millis(500)),
        ("hermit", vec![("hidden:1b", "1.0B")], Duration::ZERO),
    ];
    let mut pcs = Vec::new();
    for (number, (name, models, boot)) in of.into_iter().enumerate() {
        let mac = format!("02:00:00:00:78:0{number}").parse().unwrap();
        let settings_of_pc = PcSettings { resume: Duration::from_millis(700), boot, ..PcSettings::new(mac) };
        pcs.push((name, SimulatedPc::start(Ollama::new(settings(name, &models)), settings_of_pc).await.unwrap()));
    }
    pcs
}

fn node_file(nas: SocketAddr, pcs: &[(&'static str, SimulatedPc)]) -> Value {
    let node = |name: &str, at: SocketAddr| json!({ "name": name, "hosts": [at.ip()], "port": at.port() });
    let sleepers = pcs.iter().map(|(name, pc)| {
        let card = pc.wake_address();
        let mut node = node(name, pc.address());
        node["wake"] = json!({ "mac": pc.mac().to_string(), "broadcast": card.ip(), "port": card.port() });
        node
    });
    let nodes: Vec<Value> = std::iter::once(node("nas", nas)).chain(sleepers).collect();
    json!({ "nodes": nodes })
}

impl House {
    /// Builds it and waits until the proxy knows what its nodes hold; one of them sleeps from then on.
    pub fn start(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (scratch, mut nas, pcs) = (Scratch::new(), nas(), runtime.block_on(pcs()));
        nas.run(&runtime);
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../soak");
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).unwrap();
        let command = [example("lab_cloud").to_str().unwrap(), "127.0.0.1:0", "127.0.0.1:0"].map(str::to_owned);
        let cloud = Dialogue::start("", &logs, "cloud", &command);
        let proxy = proxy(&scratch, &node_file(nas.address, &pcs), &cloud.ask("addresses"));
        for model in ["llama3.2:3b", "deep:7b", "wide:7b", "hidden:1b", "gpt-4o-mini", "claude-second"] {
            proxy.until("/api/tags", model);
        }
        eventually("what the hermit shows is kept", Duration::from_secs(30), || {
            crate::rig::post(proxy.address, "/api/show", r#"{"model":"hidden:1b"}"#).status == 200
        });
        let traffic = Traffic::start("", &logs, "soak", &proxy.address.to_string(), 16, seed);
        runtime.spawn(watch(proxy.address));
        let house = Self { traffic, cloud, proxy, pcs, nas, runtime, _scratch: scratch };
        house.pc("hermit").sleep_now();
        house
    }

    fn pc(&self, name: &str) -> &SimulatedPc {
        &self.pcs.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Both PCs that are woken fall asleep, whatever they are doing.
    pub fn sleep(&self) {
        for name in SLEEPERS {
            self.pc(name).sleep_now();
        }
    }

    /// How many of them are awake.
    pub fn awake(&self) -> usize {
        SLEEPERS.iter().filter(|name| self.pc(name).is_awake()).count()
    }

    /// The next requests of everybody go wrong.
    pub fn fail(&self, turn: u64) {
        let failures = [Failure::ResetMidStream, Failure::ErrorLine, Failure::CloseBeforeHead, Failure::Busy, Failure::Broken];
        let of_providers = ["too_many", "hidden_later", "reset", "broken", "end_early"];
        let at = usize::try_from(turn).unwrap() % failures.len();
        self.nas.ollama.fail(failures[at], 2, None);
        self.pc("tower").ollama().fail(failures[(at + 1) % failures.len()], 1, None);
        assert_eq!(self.cloud.ask(&format!("fail {} 2", of_providers[at])), "ok");
    }

    /// The always-on machine's Ollama is killed, or started again.
    pub fn nas_runs(&mut self, yes: bool) {
        if yes { self.nas.run(&self.runtime) } else { self.nas.kill(&self.runtime) }
    }

    /// The sum of a gauge over its series.
    pub fn gauge(&self, name: &str) -> f64 {
        let page = get(self.proxy.address, "/metrics").body;
        assert!(page.contains(name), "{page}");
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn proxy(scratch: &Scratch, nodes: &Value, providers: &str) -> Proxy {
    std::fs::write(scratch.path().join("node_config.json"), nodes.to_string()).unwrap();
    let (openai, anthropic) = providers.split_once(' ').unwrap();
    let keys = format!(
        "OPENAI_API_KEY=sk-of-the-soak\nOPENAI_BASE_URL=http://{openai}/v1\n\
         ANTHROPIC_API_KEY=sk-ant-of-the-soak\nANTHROPIC_BASE_URL=http://{anthropic}\n"
    );
    std::fs::write(scratch.path().join(".env"), keys).unwrap();
    let times = ["--wake-timeout", "30s", "--model-timeout", "5s", "--timeout", "10s", "--request-limit", "60s"];
    // One client wakes more often than a house does.
    Proxy::start(scratch, &[&times[..], &["--wake-budget", "100000"]].concat())
}

impl Nas {
    fn run(&mut self, runtime: &Runtime) {
        let (stop, stopped) = oneshot::channel();
        let (ollama, address) = (self.ollama.clone(), self.address);
        let serving = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            ollama.serve(listener, async { drop(stopped.await) }).await;
        });
        self.running = Some((stop, serving));
    }

    fn kill(&mut self, runtime: &Runtime) {
        if let Some((stop, serving)) = self.running.take() {
            drop(stop);
            runtime.block_on(serving).unwrap();
        }
    }
}

/// Somebody who looks at the page's events, leaves, and comes again.
async fn watch(address: SocketAddr) {
    let request = b"GET /events HTTP/1.1\r\nHost: soak\r\nAccept: text/event-stream\r\n\r\n";
    loop {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
            drop(stream.write_all(request).await);
            let mut rest = vec![0; 4096];
            let reading = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
            drop(tokio::time::timeout(VISIT, reading).await);
        }
        tokio::time::sleep(VISIT / 4).await;
    }
}
