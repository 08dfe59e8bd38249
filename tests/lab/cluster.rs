//! Controllers on the Pi, workers on GPU hosts: killed in turn under load, cut off, asleep, claimed by others.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::{Answer, Client, Loading, chat};
use crate::network::Network;
use crate::plan::{CHAT_MODEL, PI_MAC, usable};
use crate::program::{LIMIT, eventually};
use crate::proxy::Proxy;
use crate::sleeper::{Machine, Sleeper};

const KEY: &str = "Authorization: Bearer lab";
/// The first and the second have the chat model, the third has another one.
const GPUS: [&str; 3] = ["gpu1", "gpu2", "gpu3"];
const OTHER_MODEL: &str = "gemma3:12b";

/// Two controllers on the Pi, three hosts with an Ollama each. Dropped in this order: programs first, then their network.
struct Cluster {
    controllers: Vec<Proxy>,
    workers: Vec<Proxy>,
    clients: Vec<Client>,
    hosts: Vec<Sleeper>,
    network: Network,
    logs: PathBuf,
}

fn machine(number: usize) -> Machine {
    let model = if number == 2 { (OTHER_MODEL, "12.2B") } else { (CHAT_MODEL, "3.2B") };
    Machine::usual()
        .called(GPUS[number], &format!("02:00:00:00:77:3{number}"))
        .at("home", &format!("10.77.0.3{number}/24"))
        .resume(Duration::from_millis(600))
        .simulates("--first-token", "20ms")
        .simulates("--token-gap", "1ms")
        .simulates("--tokens", "3")
        .simulates("--parallel", "16")
        .simulates("--word", GPUS[number])
        .with_model(model.0, model.1)
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

impl Cluster {
    /// `None`, loudly, where there can be no laboratory. `controller` and `worker` are further settings of each.
    fn start(test: &str, controllers: usize, workers: usize, controller: &str, worker: &str) -> Option<Self> {
        let logs = usable(test)?;
        let mut network = Network::new();
        network.add("pi");
        network.plug("pi", "eth0", "home", PI_MAC, "10.77.0.2/24");
        let machines: Vec<Machine> = (0..workers).map(machine).collect();
        for machine in &machines {
            network.add(&machine.name);
            network.plug(&machine.name, "eth0", &machine.lan, &machine.mac, &machine.address);
        }
        network.until_it_passes_frames();
        let started = |machine: &Machine| Sleeper::start(&network.namespace(&machine.name), &logs, machine);
        let hosts = machines.iter().map(started).collect();
        let mut cluster = Self { controllers: Vec::new(), workers: Vec::new(), clients: Vec::new(), hosts, network, logs };
        for number in 0..controllers {
            let settings = format!("controller --port {} {controller}", 8000 + number);
            cluster.controllers.push(cluster.run("pi", &format!("controller{number}"), &settings));
            let to = format!("127.0.0.1:{}", 8000 + number);
            cluster.clients.push(Client::start(&cluster.network.namespace("pi"), &cluster.logs, &to));
        }
        for gpu in &GPUS[..workers] {
            let controllers = (0..controllers).map(|number| format!("http://10.77.0.2:{}", 8000 + number)).collect::<Vec<_>>();
            let known = format!("--worker-id {gpu} --controller-url {}", controllers.join(","));
            let known = if worker.contains("--heartbeat-interval") { known } else { format!("{known} --heartbeat-interval 1s") };
            let settings = format!("worker {known} --registry-retry-delay 500ms {worker}");
            cluster.workers.push(cluster.run(gpu, &format!("worker-{gpu}"), &settings));
        }
        Some(cluster)
    }

    fn run(&self, namespace: &str, name: &str, settings: &str) -> Proxy {
        Proxy::start(&self.network.namespace(namespace), &self.logs.join(name), &words(settings))
    }

    fn workers(&self, controller: usize) -> Value {
        let answer = self.clients[controller].get_with("/internal/workers", KEY).finish();
        if answer.status == 200 { answer.json() } else { Value::Null }
    }

    fn worker(&self, controller: usize, id: &str) -> Value {
        let all = self.workers(controller);
        let mut all = all["workers"].as_array().into_iter().flatten();
        all.find(|worker| worker["worker_id"] == id).cloned().unwrap_or(Value::Null)
    }

    /// Waits until these are awake for this controller, with their models known.
    #[track_caller]
    fn until_serving(&self, controller: usize, gpus: &[&str]) {
        eventually(&format!("{gpus:?} serve controller {controller}"), LIMIT, || {
            let answer = self.clients[controller].get("/nodes").finish();
            let told = if answer.status == 200 { answer.json() } else { Value::Null };
            gpus.iter().all(|gpu| {
                let node = told["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["name"] == *gpu));
                node.is_some_and(|node| node["power"]["state"] == "awake" && node["models"][0].is_string())
            })
        });
    }

    /// Whole chats on kept connections, through one controller.
    fn load(&self, controller: usize, count: u64) -> Loading {
        let mut body = chat(CHAT_MODEL);
        body["stream"] = json!(false);
        self.clients[controller].load(count, 6, "", &body, &GPUS)
    }

    /// Kills a worker, waits until the load has gone on for a while, starts it, and waits until all controllers have it back.
    #[track_caller]
    fn kill_and_restart_worker(&mut self, at: usize) {
        self.workers[at].crash();
        self.workers[at].start_again();
        for controller in 0..self.controllers.len() {
            self.until_serving(controller, &[GPUS[at]]);
        }
    }
}

impl Drop for Cluster {
    /// Shows the logs of a failed test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.controllers.iter().chain(&self.workers).for_each(|program| eprintln!("-----\n{}", program.log()));
        }
    }
}

/// The id and address under which a registration was taken.
fn registered(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["worker_id"].as_str().unwrap_or_default().to_owned())
}

#[track_caller]
fn assert_all_served(what: &str, load: Loading, count: u64) -> [u64; 3] {
    let tally = load.finish();
    let served = GPUS.map(|gpu| tally.served_by(gpu));
    println!("{what}: {served:?}");
    assert_eq!(served.iter().sum::<u64>(), count, "{what}: {tally:?}");
    assert_eq!(served[2], 0, "it has not the model");
    served
}

#[test]
fn workers_and_controllers_are_killed_in_turn_under_load_and_nothing_is_lost() {
    let settings = "--internal-api-key lab";
    let Some(mut cluster) = Cluster::start("cluster_under_load", 2, 3, settings, "--internal-api-key lab --always-on") else {
        return;
    };
    (0..2).for_each(|controller| cluster.until_serving(controller, &GPUS));

    // Undisturbed, both with the model have the same load: least-loaded, whichever controller a request comes through.
    let (one, other) = (cluster.load(0, 1000), cluster.load(1, 1000));
    let shares = [assert_all_served("through the first", one, 1000), assert_all_served("through the second", other, 1000)];
    for gpu in 0..2 {
        let served = shares[0][gpu] + shares[1][gpu];
        assert!(served.abs_diff(1000) <= 100, "{} served {served} of 2000", GPUS[gpu]);
    }

    // The load outlasts the disturbance: it is begun anew until the disturbance is over.
    for worker in 0..3 {
        let (one, other) = (cluster.load(0, 800), cluster.load(1, 800));
        one.until_answered(100);
        cluster.kill_and_restart_worker(worker);
        assert_all_served("while a worker was killed, through the first", one, 800);
        assert_all_served("while a worker was killed, through the second", other, 800);
    }
    for controller in 0..2 {
        let survivor = 1 - controller;
        let load = cluster.load(survivor, 800);
        load.until_answered(100);
        cluster.controllers[controller].crash();
        cluster.controllers[controller].start_again();
        assert_all_served("while the other controller was killed", load, 800);
        cluster.until_serving(controller, &GPUS);
        assert_all_served("through the controller that came back", cluster.load(controller, 200), 200);
    }
}

#[test]
fn a_stream_lives_on_when_the_other_controller_dies() {
    let settings = "--internal-api-key lab";
    let Some(cluster) = Cluster::start("cluster_stream", 2, 1, settings, "--internal-api-key lab") else { return };
    (0..2).for_each(|controller| cluster.until_serving(controller, &["gpu1"]));
    cluster.hosts[0].set(&json!({ "token_gap_ms": 100, "tokens": 30 }));
    let mut stream = cluster.clients[1].chat(CHAT_MODEL);
    stream.until_first_byte();
    cluster.controllers[0].crash();
    stream.finish().assert_whole_chat();
}

#[test]
fn a_cut_network_heals() {
    let settings = "--internal-api-key lab --heartbeat-timeout 3s --heartbeat-check-interval 500ms";
    let Some(cluster) = Cluster::start("cluster_cut", 1, 2, settings, "--internal-api-key lab --always-on") else { return };
    cluster.until_serving(0, &GPUS[..2]);
    let load = cluster.load(0, 800);
    load.until_answered(100);
    cluster.network.ip("gpu1", "link set eth0 down");
    // Silent and probed in vain, it leaves the pool; until then requests found the other one.
    eventually("it left the pool", LIMIT, || cluster.worker(0, "gpu1").is_null());
    assert_all_served("while the network was cut", load, 800);
    cluster.network.ip("gpu1", "link set eth0 up");
    cluster.until_serving(0, &["gpu1"]);
    let served = assert_all_served("after it was mended", cluster.load(0, 400), 400);
    assert!(served[0] > 100, "{served:?}");
}

#[test]
fn a_silent_sleeper_is_asleep_left_alone_and_woken_by_the_card_that_its_worker_told_of() {
    let settings = "--internal-api-key lab --heartbeat-timeout 2s --heartbeat-check-interval 200ms";
    let Some(cluster) = Cluster::start("cluster_sleeper", 1, 1, settings, "--internal-api-key lab") else { return };
    cluster.until_serving(0, &["gpu1"]);
    let told = cluster.worker(0, "gpu1");
    assert_eq!((&told["mac"], &told["endpoint"]), (&json!(machine(0).mac), &json!("http://10.77.0.30:8001")));
    // A kernel stops its programs before it suspends. Here no connection is open then: the Pi's own kernel would ask after it.
    eventually("nothing is under way", LIMIT, || {
        cluster.workers[0].freeze();
        crate::program::pause(Duration::from_millis(300));
        let open = cluster.network.run("pi", "ss -Htn dst 10.77.0.30");
        if !open.is_empty() {
            cluster.workers[0].thaw();
        }
        open.is_empty()
    });
    cluster.hosts[0].sleep();
    cluster.workers[0].thaw();
    eventually("it is asleep", LIMIT, || cluster.worker(0, "gpu1")["state"] == "asleep");
    // The kernel checks the entry of a talk that ended by itself, some 5 s after it.
    cluster.network.ip("pi", "neigh flush all");
    let mark = cluster.hosts[0].mark();
    // Whoever looks wakes nobody, nor do the looks for silent workers.
    for path in ["/api/tags", "/health", "/nodes", "/metrics", "/internal/workers"] {
        assert_eq!(cluster.clients[0].get_with(path, KEY).finish().status, 200, "{path}");
    }
    crate::program::pause(Duration::from_secs(3));
    assert_eq!(cluster.hosts[0].frames_from(PI_MAC, mark).len(), 0, "{:#?}", cluster.hosts[0].frames_from(PI_MAC, mark));
    assert_eq!(cluster.worker(0, "gpu1")["state"], "asleep");
    let answer = cluster.clients[0].chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    assert_eq!(cluster.hosts[0].status().woken, 1);
    eventually("it is heard again", LIMIT, || cluster.worker(0, "gpu1")["state"] == "awake");
}

#[test]
fn a_host_that_suspends_in_mid_announcement_sleeps_by_its_silence_and_is_awake_by_its_next_word() {
    let settings = "--internal-api-key lab --heartbeat-timeout 3s --heartbeat-check-interval 200ms";
    let worker = "--internal-api-key lab --suspend-command true";
    let Some(cluster) = Cluster::start("cluster_announcement", 1, 1, settings, worker) else { return };
    cluster.until_serving(0, &["gpu1"]);
    // Connections stand, and whatever is said on them is lost on the way.
    for rule in [
        "add table inet cut",
        "add chain inet cut out { type filter hook output priority 0 ; }",
        "add rule inet cut out tcp dport 8000 meta length > 150 drop",
    ] {
        cluster.network.run("gpu1", &format!("nft {rule}"));
    }
    let at_worker = Client::start(&cluster.network.namespace("pi"), &cluster.logs, "10.77.0.30:8001");
    assert_eq!(at_worker.post_with("/sleep", KEY, &json!({})).finish().status, 202, "nobody waits for ever");
    cluster.workers[0].freeze();
    cluster.hosts[0].sleep();
    eventually("it is asleep", LIMIT, || cluster.worker(0, "gpu1")["state"] == "asleep");
    assert_eq!(cluster.worker(0, "gpu1")["status"], "healthy", "it said nothing");
    // Longer than any pause that a busy machine makes.
    crate::program::pause(Duration::from_secs(4));
    cluster.network.run("gpu1", "nft delete table inet cut");
    cluster.hosts[0].wake_by_hand();
    cluster.hosts[0].until_awake(LIMIT);
    cluster.workers[0].thaw();
    eventually("it is awake by its own word", LIMIT, || cluster.worker(0, "gpu1")["state"] == "awake");
    assert!(!cluster.controllers[0].log().contains("says that it goes to sleep"), "half a word is none");
    cluster.clients[0].chat(CHAT_MODEL).finish().assert_whole_chat();
}

#[test]
fn a_worker_at_rest_has_its_heartbeat_and_nothing_else_to_do() {
    let worker = "--internal-api-key lab --heartbeat-interval 3600s --health-interval 1s";
    let Some(cluster) = Cluster::start("cluster_at_rest", 1, 1, "--internal-api-key lab", worker) else { return };
    cluster.until_serving(0, &["gpu1"]);
    let all = || (cluster.workers[0].wakeups(), cluster.hosts[0].counters()["requests"].clone());
    let woken = |before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>| -> u64 {
        after.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum()
    };
    // What follows from its start has ended when nothing happens for a time that is longer than the one of a check.
    eventually("it is at rest", 2 * LIMIT, || {
        let before = all();
        crate::program::pause(Duration::from_secs(3));
        let after = all();
        let woken = woken(&before.0, &after.0);
        println!("{woken} wake-ups in 3 s");
        woken <= 2 && after.1 == before.1
    });
    let before = all();
    crate::program::pause(Duration::from_secs(5));
    let after = all();
    let woken = woken(&before.0, &after.0);
    assert!(woken <= 5, "{woken} wake-ups");
    assert_eq!(before.1, after.1, "its Ollama was asked");
}

#[test]
fn only_whoever_has_the_key_registers_from_another_machine_and_only_itself() {
    let settings = "--internal-api-key lab --heartbeat-timeout 2s --heartbeat-check-interval 200ms";
    let Some(cluster) = Cluster::start("cluster_strangers", 1, 2, settings, "--internal-api-key lab") else { return };
    cluster.until_serving(0, &GPUS[..2]);
    let elsewhere = Client::start(&cluster.network.namespace("gpu2"), &cluster.logs, "10.77.0.2:8000");
    let claim = |id: &str, endpoint: &str, key: &str| {
        let told = json!({ "worker_id": id, "endpoint": endpoint });
        elsewhere.post_with("/internal/workers/register", key, &told).finish()
    };
    let (own, no_key) = ("http://localhost:11434", "X-None: 1");
    assert_eq!(claim("gpu1", own, no_key).status, 401);
    assert_eq!(claim("gpu1", own, "Authorization: Bearer la").status, 401);
    // The name is a living one's: another machine gets a suffix.
    assert_eq!(registered(&claim("gpu1", own, KEY)), (201, "gpu1-2".to_owned()));
    for foreign in ["http://10.77.0.30:11434", "http://10.77.0.2:8000", "http://gpu1:11434"] {
        assert_eq!(claim("x", foreign, KEY).status, 400, "{foreign}");
    }
    // The living one falls silent, and its name is stale.
    cluster.hosts[0].sleep();
    eventually("it is asleep", LIMIT, || cluster.worker(0, "gpu1")["state"] == "asleep");
    assert_eq!(claim("gpu1", "http://localhost:1800", no_key).status, 401);
    assert_eq!(cluster.worker(0, "gpu1")["endpoint"], "http://10.77.0.30:8001");
    assert_eq!(registered(&claim("gpu1", "http://localhost:1800", KEY)), (200, "gpu1".to_owned()));
    assert_eq!(cluster.worker(0, "gpu1")["endpoint"], "http://10.77.0.31:1800");
}

#[test]
fn without_a_key_a_controller_takes_in_its_own_machine_alone() {
    let Some(cluster) = Cluster::start("cluster_without_key", 1, 1, "", "") else { return };
    eventually("the worker is told why not", LIMIT, || cluster.workers[0].log().contains("INTERNAL_API_KEY"));
    assert_eq!(cluster.workers(0)["total"], 0);
    let told = json!({ "worker_id": "here", "endpoint": "http://localhost:11434" });
    assert_eq!(registered(&cluster.clients[0].post("/internal/workers/register", &told).finish()), (201, "here".to_owned()));
    let by_name = Client::start(&cluster.network.namespace("gpu1"), &cluster.logs, "10.77.0.2:8000");
    assert_eq!(by_name.get("/internal/workers").finish().status, 403);
}
