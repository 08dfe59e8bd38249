//! `wake`, `nodes` and `check` as a person calls them: the real program, a proxy, and a simulated PC that only a magic
//! packet wakes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::time::Duration;

use ollama_proxy::simulator::{Ollama, PcEvent, PcSettings, Settings, SimulatedPc};
use tokio::sync::broadcast::Receiver;

#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "shared/program.rs"]
mod rig;

use rig::{Node, PATIENCE, Proxy, Scratch, bare};

const MAC: &str = "02:00:00:00:be:01";

/// A PC that needs half a second to resume.
async fn pc(asleep: bool) -> SimulatedPc {
    let settings = PcSettings { asleep, resume: Duration::from_millis(500), ..PcSettings::new(MAC.parse().unwrap()) };
    SimulatedPc::start(Ollama::new(Settings::default()), settings).await.unwrap()
}

/// The settings that reach and wake this PC.
fn settings(pc: &SimulatedPc, mac: &str) -> Vec<String> {
    let port = pc.wake_address().port();
    // Long where it comes up, on a busy machine too.
    let patience = if mac == MAC { "--wake-timeout=60s" } else { "--wake-timeout=3s" };
    [format!("--ollama-url=http://{}", pc.address()), format!("--wake-mac={mac}")]
        .into_iter()
        .chain(["--wake-broadcast=127.0.0.1".to_owned(), format!("--wake-port={port}"), patience.to_owned()])
        .collect()
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn with(self, code: i32, told: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let all = format!("{}{}", self.out, self.err);
        for text in told {
            assert!(all.contains(text), "no {text:?} in\n{all}");
        }
        self
    }
}

fn command(scratch: &Scratch, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
    bare(&mut command, scratch);
    command.args(args);
    command
}

fn run(scratch: &Scratch, args: &[&str]) -> Ended {
    let output = command(scratch, args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn url(proxy: &Proxy) -> String {
    format!("--url=http://{}", proxy.address)
}

/// `check` with a listener of its own that nobody holds.
fn check(scratch: &Scratch, args: &[&str]) -> Ended {
    let (data, port) = (format!("--data-dir={}", scratch.join("checked")), format!("--port={}", free_port()));
    run(scratch, &[&["check", "--host=127.0.0.1", &data, &port], args].concat())
}

fn packets(events: &mut Receiver<PcEvent>) -> usize {
    std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == PcEvent::PacketSeen).count()
}

// --- wake -----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wake_has_the_running_proxy_wake_the_pc_by_a_packet() {
    let (pc, scratch) = (pc(true).await, Scratch::new());
    let mut events = pc.events();
    let proxy = Proxy::start(&scratch, &strs(&settings(&pc, MAC)));
    run(&scratch, &["wake", &url(&proxy)]).with(0, &["wakes node1", "node1 is awake: it answered after"]);
    assert!(pc.is_awake());
    assert!(packets(&mut events) >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wake_without_a_proxy_wakes_the_pc_by_the_settings() {
    let (pc, scratch) = (pc(true).await, Scratch::new());
    let (given, port) = (settings(&pc, MAC), format!("--port={}", free_port()));
    let args = [vec!["wake", "node1", &port], strs(&given)].concat();
    run(&scratch, &args).with(0, &["no proxy answers", "waking from here", "127.0.0.1", "node1 is awake"]);
    assert!(pc.is_awake());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_proxy_is_not_asked_to_wake() {
    let (pc, scratch, ollama) = (pc(true).await, Scratch::new(), Node::start());
    let (given, url) = (settings(&pc, MAC), format!("--url={}", ollama.url()));
    let args = [vec!["wake", &url], strs(&given)].concat();
    run(&scratch, &args).with(0, &["is no ollama-proxy", "node1 is awake"]);
    assert_eq!(ollama.counters().requests.keys().filter(|route| route.starts_with("POST")).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pc_that_does_not_come_up_ends_wake_with_1_and_the_reason() {
    let (pc, scratch) = (pc(true).await, Scratch::new());
    let other = settings(&pc, "02:00:00:00:be:02");
    let proxy = Proxy::start(&scratch, &strs(&other));
    run(&scratch, &["wake", &url(&proxy)]).with(1, &["node1 did not come up within", "ollama-proxy check"]);
    let port = format!("--port={}", free_port());
    run(&scratch, &[vec!["wake", &port], strs(&other)].concat()).with(1, &["node1 did not come up within 3 s"]);
    assert!(!pc.is_awake());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pc_without_any_means_ends_wake_with_1_and_the_settings_to_make() {
    let (scratch, port, closed) = (Scratch::new(), format!("--port={}", free_port()), free_port());
    let node = format!("--ollama-url=http://192.0.2.9:{closed}");
    run(&scratch, &["wake", &port, &node]).with(1, &["its MAC is unknown", "--wake-mac", "--wake-url"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_name_ends_wake_with_2_and_the_names_there_are() {
    let (pc, scratch) = (pc(true).await, Scratch::new());
    let proxy = Proxy::start(&scratch, &strs(&settings(&pc, MAC)));
    run(&scratch, &["wake", "gamer", &url(&proxy)]).with(2, &["no node \"gamer\"", "node1"]);
    assert!(!pc.is_awake());
}

// --- nodes ----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nodes_is_a_table_and_wakes_nothing() {
    let (pc, scratch) = (pc(false).await, Scratch::new());
    let proxy = Proxy::start(&scratch, &strs(&settings(&pc, MAC)));
    proxy.until("/nodes", "llama3.2:3b");
    pc.sleep_now();
    let mut events = pc.events();
    while events.recv().await.unwrap() != PcEvent::Asleep {}
    let told = run(&scratch, &["nodes", &url(&proxy)]).with(0, &["NAME", "USUAL WAKE", "MODELS"]);
    let row = told.out.lines().nth(1).unwrap();
    for cell in ["node1", &pc.address().to_string(), MAC, "(set)", "2: llama3.2:3b"] {
        assert!(row.contains(cell), "no {cell} in {row}");
    }
    let narrow = command(&scratch, &["nodes", &url(&proxy)]).env("COLUMNS", "114").output().unwrap();
    let narrow = String::from_utf8(narrow.stdout).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 114) && narrow.contains('…'), "{narrow}");
    assert!(!pc.is_awake());
    assert_eq!(packets(&mut events), 0);
}

#[test]
fn a_controller_is_found_by_its_own_settings_and_a_worker_by_its_own() {
    let (scratch, other, node) = (Scratch::new(), Scratch::new(), Node::start());
    let controller = Proxy::start(&scratch, &["controller"]);
    let to = format!("--controller-url=http://{}", controller.address);
    let worker = Proxy::start(&other, &["worker", "--worker-id=gaming-pc", &format!("--backend-url={}", node.url()), &to]);
    controller.until("/nodes", "gaming-pc");
    let asked = |args: &[&str], name: &str, port: u16| {
        let output = command(&scratch, args).env(name, port.to_string()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let port = controller.address.port();
    for command in ["healthcheck", "nodes"] {
        let (code, out) = asked(&[command], "CONTROLLER_PORT", port);
        assert!(code == Some(0) && out.contains("gaming-pc"), "{command}: {code:?} {out}");
    }
    let (code, out) = asked(&["check", "--host=127.0.0.1", "--data-dir=state"], "CONTROLLER_PORT", port);
    assert!(code == Some(0) && out.contains("an ollama-proxy runs there") && out.contains("gaming-pc"), "{code:?} {out}");
    assert_eq!(asked(&["healthcheck"], "LISTEN_PORT", worker.address.port()).0, Some(0));
    // The names of the commands beat PORT, as for the commands themselves; a flag beats all.
    std::fs::write(scratch.join(".env"), format!("CONTROLLER_PORT={port}\n")).unwrap();
    assert_eq!(asked(&["healthcheck"], "PORT", free_port()).0, Some(0));
    assert_eq!(asked(&["healthcheck", &format!("--port={}", free_port())], "PORT", port).0, Some(1));
    std::fs::remove_file(scratch.join(".env")).unwrap();
}

#[test]
fn nodes_without_a_proxy_ends_with_1() {
    let port = format!("--port={}", free_port());
    run(&Scratch::new(), &["nodes", &port]).with(1, &["no proxy answers", "is it started?"]);
}

#[test]
fn a_proxy_that_refuses_or_has_no_node_is_not_taken_for_one_that_is_not_there() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let closed = Proxy::start(&scratch, &["controller", "--api-key", "0123456789abcdef0123"]);
    let told = run(&scratch, &["nodes", &url(&closed)]).with(1, &["asks for a key: set ADMIN_KEY or API_KEY here too"]);
    assert!(!told.err.contains("started"), "{}", told.err);
    let empty = Proxy::start(&other, &["controller"]);
    run(&other, &["wake", &url(&empty)]).with(1, &["has no node"]);
}

/// Ends the child with the test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn watch_draws_the_table_again_and_ends_well_when_asked() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let mut watching = Watching(command(&scratch, &["nodes", "--watch", &url(&proxy)]).spawn().unwrap());
    let (tell, told) = mpsc::channel();
    let out = watching.0.stdout.take().unwrap();
    std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let mut heads = 0;
    while heads < 2 {
        heads += usize::from(told.recv_timeout(PATIENCE).unwrap().starts_with("NAME"));
    }
    let pid = watching.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(watching.0.wait().unwrap().code(), Some(0));
}

// --- ending ---------------------------------------------------------------------------------------------------------

#[test]
fn a_second_ctrl_c_does_not_wait_for_running_answers() {
    let endless = Settings { token_gap: Duration::from_secs(1), tokens: 600, ..Settings::default() };
    let (node, scratch) = (Node::with(endless), Scratch::new());
    let mut proxy = Proxy::before(&node, &scratch, &[]);
    let body = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"x"}]}"#;
    let mut client = rig::connect(proxy.address);
    write!(client, "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    client.read_exact(&mut [0]).unwrap();
    let pid = proxy.pid().to_string();
    let interrupt = || Command::new("kill").args(["-INT", &pid]).status().unwrap();

    assert!(interrupt().success());
    proxy.written("asked to end");
    assert!(!proxy.written_so_far().contains("cut"), "{}", proxy.written_so_far());
    for _ in 0..100 {
        interrupt();
        rig::pause();
        if proxy.written_so_far().contains("running answers are cut") {
            break;
        }
    }
    assert_eq!(proxy.exit_code(), Some(130));
}

#[test]
fn whoever_stops_reading_what_a_command_prints_gets_no_backtrace() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let at = proxy.address.port().to_string();
    for args in
        [&["check", "--ollama-url", &node.url(), "--port", "0"][..], &["healthcheck", "--host", "127.0.0.1", "--port", &at]]
    {
        let mut child = command(&scratch, args).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"), "{ended:?}");
    }
}

// --- check ----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn check_finds_no_fault_with_a_pc_that_is_as_it_should_be() {
    let (pc, scratch) = (pc(false).await, Scratch::new());
    let mut events = pc.events();
    let told = check(&scratch, &strs(&settings(&pc, MAC)));
    let expected = ["This connects to every node", "(flag)", "(default)", "answers: Ollama 0.12.6 with 2 model(s)"];
    let told = told.with(0, &expected).with(0, &[MAC, "as --wake-broadcast says", "powercfg", "No fault was found."]);
    assert!(!told.out.contains("FAULT"), "{}", told.out);
    if cfg!(target_os = "linux") {
        assert!(told.out.contains("were seen leaving by lo"), "{}", told.out);
    }
    assert_eq!(packets(&mut events), 0, "the trial packet names another card");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn check_leaves_a_sleeping_pc_asleep_and_finds_no_fault_with_that() {
    let (pc, scratch) = (pc(true).await, Scratch::new());
    check(&scratch, &strs(&settings(&pc, MAC))).with(0, &["does not answer", "it sleeps or is off, as it may"]);
    assert!(!pc.is_awake());
}

#[test]
fn check_names_the_way_out_of_a_refusal_and_ends_with_1() {
    let node = format!("--ollama-url=http://127.0.0.1:{}", free_port());
    check(&Scratch::new(), &[&node]).with(1, &["FAULT  the machine is on", "OLLAMA_HOST=0.0.0.0", "check found 1 fault"]);
}

#[test]
fn check_names_the_sizes_that_no_node_is_meant_for() {
    let scratch = Scratch::new();
    let node = |name: &str, range: &str| {
        format!(r#"{{"name":"{name}","hosts":["127.0.0.1:{}"],"supported_model_ranges":[{range}]}}"#, free_port())
    };
    let small = node("small", r#"{"min_params_b":1,"max_params_b":8}"#);
    let large = node("large", r#"{"min_params_b":30}"#);
    let file = scratch.join("two_nodes.json");
    std::fs::write(&file, format!(r#"{{"nodes":[{small},{large}]}}"#)).unwrap();
    let given = format!("--node-config={file}");
    let expected = ["no node is meant for models of less than 1, 8 to 30 billion parameters", "supported_model_ranges"];
    check(&scratch, &[&given]).with(1, &expected);
}

#[test]
fn check_without_a_node_ends_with_1() {
    let told = run(&Scratch::new(), &["check", "--host=127.0.0.1", "--data-dir=state"]);
    told.with(1, &["FAULT  no node is set", "OLLAMA_URL"]);
}

#[test]
fn check_of_settings_that_cannot_be_used_ends_with_2_and_all_their_faults() {
    let told = run(&Scratch::new(), &["check", "--timeout=soon", "--wake-mac=zz", "--ollama-url=http://192.0.2.9:11434"]);
    told.with(2, &["--timeout", "--wake-mac"]);
}

#[test]
fn check_sees_who_holds_the_port() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let (port, other) = (format!("--port={}", node.address.port()), Node::start());
    let args = ["check", "--host=127.0.0.1", "--data-dir=state", &port, "--ollama-url", &other.url()];
    run(&scratch, &args).with(1, &["in use by an Ollama on this machine", "--port"]);
    let proxy = Proxy::before(&other, &scratch, &[]);
    let port = format!("--port={}", proxy.address.port());
    let args = ["check", "--host=127.0.0.1", "--data-dir=state", &port, "--ollama-url", &other.url()];
    run(&scratch, &args).with(0, &["an ollama-proxy runs there, with 1 node(s)"]);
}

#[test]
fn check_with_other_settings_than_the_proxy_that_runs_here_says_so() {
    let (node, other, scratch) = (Node::start(), Node::start(), Scratch::new());
    let proxy = Proxy::start(&scratch, &["--node-config", &named(&scratch, "gaming-pc", &node)]);
    let port = format!("--port={}", proxy.address.port());
    let args = ["check", "--host=127.0.0.1", "--data-dir=state", &port];
    run(&scratch, &[&args[..], &["--ollama-url", &other.url()]].concat())
        .with(0, &["has other nodes than this check: gaming-pc at 127.0.0.1", "docker exec ollama-proxy"]);
    let same = run(&scratch, &[&args[..], &["--node-config", &named(&scratch, "gaming-pc", &node)]].concat());
    assert!(!same.with(0, &["gaming-pc"]).out.contains("has other nodes"));
}

/// A node file with this server under this name.
fn named(scratch: &Scratch, name: &str, node: &Node) -> String {
    let file = scratch.join("named.json");
    std::fs::write(&file, format!(r#"{{"nodes":[{{"name":"{name}","hosts":["{}"]}}]}}"#, node.address)).unwrap();
    file
}

#[test]
fn what_answers_and_is_no_ollama_is_told_at_the_start_with_its_answer() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let elsewhere = format!("{}/nowhere", node.url());
    let proxy = Proxy::start(&scratch, &["--ollama-url", &elsewhere]);
    let line = proxy.written("its model list was never read");
    assert!(line.contains("is no Ollama") && line.contains("404") && line.contains("correct the address"), "{line}");
    assert!(!line.contains("switch it on"), "it is on: {line}");
}

#[test]
fn an_address_of_another_machine_to_listen_on_and_a_proxy_that_is_not_there_are_told_with_the_way_out() {
    let told =
        run(&Scratch::new(), &["--host=192.0.2.200", "--port=0", "--data-dir=state", "--ollama-url=http://192.0.2.9:11434"]);
    told.with(1, &["192.0.2.200 is no address of this machine", "--host"]);
    let told = run(&Scratch::new(), &["healthcheck", "--host=127.0.0.1", &format!("--port={}", free_port())]);
    told.with(1, &["no proxy answers at http://127.0.0.1", "is it started?"]);
}

#[test]
fn the_start_names_each_provider_whose_key_has_arrived_and_not_the_key() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let args = ["--openai-api-key=sk-not-to-be-told", "--openai-base-url", &format!("{}/v1", node.url())];
    let proxy = Proxy::before(&node, &scratch, &args);
    assert!(proxy.written("provider openai at").contains("openai/…"));
    proxy.written("page at");
    assert!(!proxy.written_so_far().contains("provider anthropic") && !proxy.written_so_far().contains("sk-not"));
}

#[test]
fn check_finds_a_loop_by_a_request_that_came_back() {
    let (scratch, first_port) = (Scratch::new(), free_port());
    let first_url = format!("http://127.0.0.1:{first_port}");
    let second = Proxy::start(&scratch, &["--ollama-url", &first_url]);
    let second_url = format!("http://{}", second.address);
    let first_scratch = Scratch::new();
    let _first = Proxy::start(&first_scratch, &["--port", &first_port.to_string(), "--ollama-url", &second_url]);
    check(&Scratch::new(), &["--ollama-url", &second_url]).with(1, &["FAULT  the node's address leads back to this proxy"]);
}

#[test]
fn check_tells_another_proxy_from_a_loop() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Proxy::before(&node, &scratch, &[]);
    let other = format!("http://{}", proxy.address);
    check(&Scratch::new(), &["--ollama-url", &other]).with(0, &["note   the node is an ollama-proxy itself"]);
}

/// A wake service that is an hour ahead; tells each request line, an empty one when nothing was asked.
fn wake_service() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 2048];
            let length = stream.read(&mut head).unwrap_or(0);
            let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
            let date = (chrono::Utc::now() + chrono::TimeDelta::hours(1)).format("%a, %d %b %Y %H:%M:%S GMT");
            let body = r#"{"error":0,"message":"Wake Success"}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            drop(stream.write_all(answer.as_bytes()));
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    (port, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn check_calls_a_wake_url_only_when_told_and_compares_the_clocks() {
    let ((port, asked), pc, scratch) = (wake_service(), pc(false).await, Scratch::new());
    let wake_url = format!("--wake-url=http://127.0.0.1:{port}/wol?mac=02-00-00-00-be-01");
    let mut given = settings(&pc, MAC);
    given.push(wake_url);
    check(&scratch, &strs(&given)).with(0, &["takes connections", "it was not called", "--call-wake-url"]);
    assert_eq!(asked.recv_timeout(PATIENCE).unwrap(), "", "a bare connect");
    given.push("--call-wake-url".to_owned());
    let told = check(&scratch, &strs(&given)).with(0, &["calls every wake URL", "was called and accepted", "ahead of ours"]);
    assert!(asked.recv_timeout(PATIENCE).unwrap().starts_with("GET /wol?mac="));
    assert!(!told.out.contains("mac=02-00"), "queries may hold secrets: {}", told.out);
}

#[tokio::test]
async fn a_test_notification_reaches_who_is_set_and_says_so_or_why_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("--notify-webhook=http://{}/hook?key=geheim", listener.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let mut lines = Vec::new();
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if let Some(text) = line.to_lowercase().strip_prefix("content-length: ") {
                length = text.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        (lines.swap_remove(0), String::from_utf8(body).unwrap())
    });
    let ntfy = format!("--notify-ntfy=http://{closed}/topic");
    let scratch = Scratch::new();
    let ended = run(&scratch, &["notify-test", &hook, &ntfy]).with(1, &["webhook: sent", "ntfy: not sent: "]);
    assert!(!format!("{ended:?}").contains("geheim"), "{ended:?}");
    let (asked, body) = heard.join().unwrap();
    assert!(asked.starts_with("POST /hook?key=geheim ") && body.contains("\"event\":\"test\""), "{asked} {body}");
    run(&scratch, &["notify-test"]).with(2, &["--notify-webhook", "NOTIFY_NTFY"]);
    let bad = run(&scratch, &["notify-test", "--notify-ntfy=https://ntfy.example/"]).with(2, &["must end with the topic"]);
    assert!(!format!("{bad:?}").contains("ntfy.example"), "a topic is as good as a password: {bad:?}");
}
