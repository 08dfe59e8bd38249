//! README.md, its Chinese twin and CHANGELOG.md held to what the program does: commands are run, tables compared.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../shared/program.rs"]
#[allow(dead_code, reason = "the suite that it was made for uses the rest")]
mod rig;

mod markdown;
mod picture;
mod program;

use std::time::Duration;

use markdown::{ENGLISH, Page, TWINS};
use program::{Line, Running, command, curl, output};
use rig::{Node, Scratch};

const DEMO: &str = "cargo run --release -- demo";
const LIST: &str = "curl http://localhost:11434/api/tags";
const CHAT: &str = r#"curl http://localhost:11434/api/chat -d '{"model":"llama3.2:3b","messages":[{"role":"user","content":"Why is the sky blue?"}]}'"#;
const OPENAI: &str = r#"curl http://localhost:11434/v1/chat/completions -d '{"model":"llama3.2:3b","messages":[{"role":"user","content":"Hello"}]}'"#;
const SERVE: &str = "OLLAMA_URL=http://192.168.1.20:11434 target/release/ollama-proxy --port 11434";
const WITH_MAC: &str = "OLLAMA_URL=http://192.168.1.20:11434 WAKE_MAC=a8:a1:59:01:02:03 target/release/ollama-proxy --port 11434";
const HEALTHCHECK: &str = "target/release/ollama-proxy healthcheck";
const WAKE: &str = "target/release/ollama-proxy wake";
const CHECK: &str = "OLLAMA_URL=http://192.168.1.20:11434 target/release/ollama-proxy check";
const WAKE_BY_HAND: &str = "curl -X POST 'http://localhost:11434/nodes/node1/wake?wait=1'";
const ROUTE: &str = "curl 'http://localhost:11434/route?model=llama3.2:3b'";
const WAKE_URL: &str = "OLLAMA_URL=http://192.168.1.20:11434 target/release/ollama-proxy --wake-url 'http://192.168.1.3:9090/wol?mac=a8:a1:59:01:02:03'";
const WAKE_KEY: &str = "OLLAMA_URL=http://192.168.1.20:11434 WAKE_KEY=secret target/release/ollama-proxy --wake-url 'http://192.168.1.3:9090/wol?mac=a8:a1:59:01:02:03'";
const SEVERAL: &str = "OLLAMA_URL=http://192.168.1.20:11434,http://192.168.1.21:11434 target/release/ollama-proxy --port 11434";

/// Each is run by a test below.
const RUN: [&str; 14] =
    [DEMO, LIST, CHAT, OPENAI, SERVE, WITH_MAC, HEALTHCHECK, WAKE, WAKE_BY_HAND, CHECK, ROUTE, WAKE_URL, WAKE_KEY, SEVERAL];

const CONTAINER: &str = "needs a container engine: `tests/all container` runs it, through podman";
const CLUSTER: &str = "needs a Kubernetes cluster: `tests/all container` holds the manifests to its schemas";
const WINDOWS: &str = "a Windows PC's own command, which shows or changes its power settings";
const MACHINE: &str = "shows or changes what this machine does, not the proxy";

/// Lines that no test here runs, each with its reason.
const NOT_RUN: [(&str, &str); 46] = [
    ("INTERNAL_API_KEY=secret target/release/ollama-proxy controller --port 8000", "`tests/cluster` runs it on a free port"),
    (
        "INTERNAL_API_KEY=secret CONTROLLER_URL=http://192.168.1.5:8000 target/release/ollama-proxy worker --port 8001",
        "`tests/cluster` runs it on a free port",
    ),
    ("NODE_NAME=node1 target/release/ollama-proxy exporter --port 9101", "`tests/exporter` runs it on a free port"),
    ("tests/all", "it runs this very test"),
    ("cargo test --lib schedule::", "`cargo test` runs these tests beside this one"),
    ("cargo test --test many", "`cargo test` runs these tests beside this one"),
    ("cargo clippy --all-targets -- -D warnings", "`tests/all clippy` runs it"),
    (
        r#"curl http://localhost:11434/v1/chat/completions -d '{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'"#,
        "needs a key of OpenAI: `tests/providers` asks a simulated one",
    ),
    (
        "OLLAMA_URL=http://192.168.1.20:11434 target/release/ollama-proxy --tls-cert fullchain.pem --tls-key privkey.pem",
        "`tests/tls` runs it with a certificate of its own",
    ),
    ("tailscale serve --bg http://127.0.0.1:11434", "needs a Tailscale network"),
    ("cargo build --release", "the program under test has just been built, without the long optimisation"),
    ("docker build -f docker/Dockerfile -t ollama-proxy .", CONTAINER),
    (
        "docker run -d --name ollama-proxy --network host --restart unless-stopped -v ollama-proxy:/data -e OLLAMA_URL=http://192.168.1.20:11434 ollama-proxy",
        CONTAINER,
    ),
    ("docker run --rm -p 11434:11434 ollama-proxy demo", CONTAINER),
    ("docker cp node_config.json ollama-proxy:/data/", CONTAINER),
    ("docker restart ollama-proxy", CONTAINER),
    ("docker logs ollama-proxy", CONTAINER),
    ("docker exec ollama-proxy /ollama-proxy check", CONTAINER),
    ("docker exec ollama-proxy /ollama-proxy wake", CONTAINER),
    ("docker exec ollama-proxy /ollama-proxy nodes", CONTAINER),
    ("docker save -o ollama-proxy.tar ollama-proxy", CONTAINER),
    ("docker compose up -d", CONTAINER),
    ("docker compose logs ollama-proxy", CONTAINER),
    (
        "docker compose --profile local up -d ollama-proxy-local models_init",
        "`tests/all container` checks it; there is no Ollama image to start",
    ),
    (
        "docker compose --profile monitoring up -d",
        "`tests/all container` checks it, `tests/all prometheus` what it serves; there are no such images to start",
    ),
    ("kubectl create namespace ollama", CLUSTER),
    ("kubectl -n ollama create secret generic ollama-proxy --from-literal=internal-api-key=\"$(openssl rand -hex 32)\"", CLUSTER),
    ("kubectl -n ollama apply -f docker/kubernetes/", CLUSTER),
    ("install target/release/ollama-proxy /usr/local/bin/", MACHINE),
    ("install -m 644 docker/systemd/ollama-proxy.service /etc/systemd/system/", MACHINE),
    ("install -m 600 /dev/null /etc/ollama-proxy.env", MACHINE),
    ("echo OLLAMA_URL=http://192.168.1.20:11434 >> /etc/ollama-proxy.env", MACHINE),
    (
        "systemd-run --pipe --quiet -p EnvironmentFile=/etc/ollama-proxy.env -E STATE_DIRECTORY=/var/lib/ollama-proxy ollama-proxy check",
        MACHINE,
    ),
    ("systemctl daemon-reload", MACHINE),
    ("systemctl enable --now ollama-proxy", MACHINE),
    ("journalctl -u ollama-proxy", MACHINE),
    ("systemd-inhibit --list", MACHINE),
    ("sudo ethtool -s eth0 wol g", MACHINE),
    ("powercfg /setacvalueindex SCHEME_CURRENT SUB_SLEEP UNATTENDSLEEP 1800", WINDOWS),
    ("powercfg /setactive SCHEME_CURRENT", WINDOWS),
    ("powercfg /requests", WINDOWS),
    ("powercfg /lastwake", WINDOWS),
    ("powercfg /waketimers", WINDOWS),
    (
        "New-NetFirewallRule -DisplayName Ollama -Direction Inbound -Protocol TCP -LocalPort 11434 -Action Allow -Profile Private",
        "opens the firewall of a Windows PC",
    ),
    ("sudo pmset -c womp 1", "changes the power settings of a Mac"),
    ("pmset -g assertions", "a Mac's own command"),
];

const SOON: Duration = Duration::from_secs(15);

/// Repeats a `curl` line until its answer holds `part`.
fn until(line: &str, address: std::net::SocketAddr, part: &str) {
    for _ in 0..100 {
        if curl(line, address).body.contains(part) {
            return;
        }
        rig::pause();
    }
    panic!("{line} never held {part:?}");
}

#[test]
fn every_command_in_the_readme_is_run_by_a_test_or_has_a_reason_why_not() {
    let commands = markdown::commands();
    for line in &commands {
        let known = RUN.contains(line) || NOT_RUN.iter().any(|(other, _)| other == line);
        assert!(known, "no test runs this line of README.md or of its further pages: {line}");
    }
    for line in RUN.iter().chain(NOT_RUN.iter().map(|(line, _)| line)) {
        assert!(commands.contains(line), "README.md and its further pages have this line no more: {line}");
    }
}

#[test]
fn a_command_line_is_taken_apart_as_a_shell_does() {
    let scratch = Scratch::new();
    let line = command("A_B=1 target/release/ollama-proxy --x 'a b' --y", "", &scratch);
    assert_eq!(line.get_args().collect::<Vec<_>>(), ["--x", "a b", "--y"]);
    assert!(line.get_envs().any(|(name, value)| name == "A_B" && value == Some("1".as_ref())));
    drop(Line::new("curl x"));
}

/// What the program prints for a flag with which it ends well.
fn said_to(flag: &str) -> String {
    let scratch = Scratch::new();
    let mut program = program::bare(&scratch);
    program.arg(flag);
    let printed = output(program);
    assert!(printed.status.success(), "{flag}: {printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

#[test]
fn the_table_of_settings_says_what_help_says() {
    let help = said_to("--help");
    let (table, real) = (ENGLISH.settings(), markdown::settings_of_help(&help));
    assert!(real.len() > 30, "{help}");
    for (flag, said) in &real {
        assert_eq!(table.get(flag), Some(said), "{flag}: the table of README.md, then --help");
    }
    for flag in table.keys() {
        assert!(real.contains_key(flag), "README.md tells of {flag}, which there is not");
    }
}

#[test]
fn help_keeps_within_100_columns_below_its_title_and_names_every_command() {
    let help = said_to("--help");
    for line in help.lines().skip(1) {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    for command in ["serve", "healthcheck", "demo"] {
        assert!(help.lines().any(|line| line.trim() == command), "{command}");
    }
}

#[test]
fn version_is_the_one_at_the_top_of_the_changelog_and_each_entry_is_one_line() {
    let version = said_to("--version");
    let number = version.trim().strip_prefix("ollama-proxy ").unwrap().to_owned();
    let changelog = include_str!("../../CHANGELOG.md");
    let newest = changelog.lines().find_map(|line| line.strip_prefix("## ")).unwrap();
    assert_eq!(newest.split(' ').next(), Some(number.as_str()));
    for line in changelog.lines().skip(1) {
        let entry = line.is_empty() || line.starts_with("## ") || line.starts_with("One line per change");
        assert!(entry || (line.starts_with("- ") && line.ends_with('.')), "{line}");
    }
}

#[test]
fn every_link_within_the_readme_and_its_further_pages_leads_somewhere() {
    for page in TWINS.iter().flat_map(|(english, chinese)| [english, chinese]) {
        let links = page.links();
        assert!(links.len() > 2, "{links:?}");
        for (file, heading) in links {
            assert!(file.as_ref().is_none_or(|file| file.exists()), "{file:?} is not there");
            let Some(heading) = heading else { continue };
            let text = file.as_ref().map_or_else(|| page.text.to_owned(), |file| std::fs::read_to_string(file).unwrap());
            let there = markdown::anchors(&text);
            assert!(there.iter().any(|anchor| anchor == heading), "#{heading} is not in {file:?}, but {there:?}");
        }
    }
}

#[test]
fn the_chinese_pages_have_the_same_commands_blocks_tables_and_settings() {
    let shape = |page: Page| page.blocks().into_iter().map(|block| (block.language, block.lines)).collect::<Vec<_>>();
    let count = |page: Page, mark: &str| page.text.lines().filter(|line| line.starts_with(mark)).count();
    for (english, chinese) in TWINS {
        assert_eq!(chinese.commands(), english.commands());
        assert_eq!(chinese.settings(), english.settings());
        assert_eq!(shape(chinese), shape(english));
        for (mark, of) in [("## ", "headings"), ("|", "rows of tables"), ("- ", "points")] {
            assert_eq!(count(chinese, mark), count(english, mark), "{of} of {}", english.text.lines().next().unwrap());
        }
    }
}

/// About half a minute: the simulated PC has to fall asleep first.
#[test]
fn the_demo_tells_its_story_while_its_three_lines_work_asleep_and_awake() {
    let scratch = Scratch::new();
    let demo = Running::start(command(DEMO, "", &scratch));
    demo.tells("Ctrl-C ends the demo", SOON);
    let address = demo.address();
    let printed = demo.told();
    let announced: Vec<&str> = printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    let here = |line: &str| line.replace("localhost:11434", &format!("localhost:{}", address.port()));
    assert_eq!(announced, [here(LIST), here(CHAT), here(OPENAI)], "the lines of README.md with the demo's port");
    let [list, chat, openai] = announced[..] else { panic!("{announced:?}") };
    until(list, address, "llama3.2:3b");

    demo.tells("The PC fell asleep", Duration::from_secs(60));
    let asleep = curl(list, address);
    assert!(asleep.body.contains("llama3.2:3b") && asleep.body.contains("nomic-embed-text"), "{}", asleep.body);
    assert!(asleep.took < Duration::from_secs(1), "a list took {:?} while the PC slept", asleep.took);
    assert!(healthcheck(address.port()).status.success());
    assert!(!demo.told().contains("magic packet with its MAC"), "a list or a health check woke the PC");

    let woken = curl(chat, address);
    assert!(woken.status == 200 && woken.body.contains("\"done\":true"), "{}", woken.body);
    assert!(woken.took > Duration::from_secs(3), "the PC needs 3 s to wake, and the answer came after {:?}", woken.took);
    let second = curl(openai, address);
    assert!(second.status == 200 && second.body.contains("\"finish_reason\":\"stop\""), "{}", second.body);
    tells_what_the_readme_shows(&demo);
}

/// The block of README.md and the picture with the demo's words: numbers differ, words and order must not.
fn tells_what_the_readme_shows(demo: &Running) {
    let numberless = |line: &str| line.split(|c: char| c.is_ascii_digit() || c.is_whitespace()).collect::<String>();
    let told: Vec<String> = demo.told().lines().map(numberless).collect();
    let block = ENGLISH.block("text", "A simulated GPU PC");
    for shown in [block.lines().map(str::to_owned).collect(), picture::told_by_the_demo()] {
        let mut from = 0;
        for line in shown.iter().filter(|line| !line.is_empty()) {
            // A line of the picture that ends in an ellipsis was cut.
            let (said, whole) = line.strip_suffix('…').map_or((line.as_str(), true), |cut| (cut, false));
            let said = numberless(said);
            let at = told[from..].iter().position(|other| *other == said || (!whole && other.starts_with(&said)));
            from += at.unwrap_or_else(|| panic!("the demo does not tell, or not in this order: {line}\n{}", demo.told())) + 1;
        }
    }
}

#[test]
fn the_picture_shows_the_lines_of_the_readme_and_a_list_within_a_blink_though_the_pc_slept() {
    let typed = picture::typed();
    assert_eq!(typed.len(), 3);
    for (line, shown) in ["ollama-proxy demo", LIST, CHAT].into_iter().zip(&typed) {
        assert!(shown.strip_suffix('…').map_or(shown == line, |cut| line.starts_with(cut)), "{shown}");
    }
    let [list, chat] = picture::answered_within()[..] else { panic!("two lines were asked") };
    assert!(list < 0.5 && chat > 3.0, "{list} s, {chat} s");
}

fn healthcheck(port: u16) -> std::process::Output {
    here(HEALTHCHECK, port)
}

/// A command that asks the proxy on this machine, which listens on `port`.
fn here(line: &str, port: u16) -> std::process::Output {
    let scratch = Scratch::new();
    let mut asking = command(line, "", &scratch);
    asking.env("PORT", port.to_string());
    output(asking)
}

#[test]
fn the_line_for_real_use_lists_chats_wakes_by_hand_and_passes_its_health_check() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Running::start(command(SERVE, &node.url(), &scratch));
    let address = proxy.address();
    until(LIST, address, "llama3.2:3b");
    let chat = curl(CHAT, address);
    assert!(chat.status == 200 && chat.body.contains("\"done\":true"), "{}", chat.body);
    let openai = curl(OPENAI, address);
    assert!(openai.status == 200 && openai.body.contains("\"finish_reason\":\"stop\""), "{}", openai.body);
    let wake = curl(WAKE_BY_HAND, address);
    assert!(wake.status == 200 && wake.body.contains("\"seconds\""), "{}", wake.body);
    let route = curl(ROUTE, address);
    assert!(route.status == 200 && route.body.contains("node1"), "{}", route.body);
    let check = healthcheck(address.port());
    assert!(check.status.success() && String::from_utf8_lossy(&check.stdout).contains("healthy"), "{check:?}");

    drop(proxy);
    let check = healthcheck(address.port());
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stderr).contains(&address.port().to_string()), "{check:?}");
}

#[test]
fn the_check_line_finds_the_pc_and_tells_about_its_list() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let mut check = command(CHECK, &node.url(), &scratch);
    check.env("PORT", "0");
    let done = output(check);
    let told = String::from_utf8_lossy(&done.stdout);
    assert!(told.contains("Node node1 at") && told.contains("answers: Ollama"), "{done:?}");
}

/// Every address and every field that the blocks for other programs name.
#[test]
fn what_the_snippets_for_other_programs_ask_for_is_there() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Running::start(command(SERVE, &node.url(), &scratch));
    let summary: serde_json::Value = serde_json::from_str(&rig::get(proxy.address(), "/summary").body).unwrap();
    let yaml: Vec<&str> =
        ENGLISH.blocks().into_iter().filter(|block| block.language == "yaml").flat_map(|block| block.lines).collect();
    let (mut addresses, mut fields) = (0, 0);
    for line in &yaml {
        if let Some((_, path)) = line.split_once("http://192.168.1.5:11434") {
            let method = if path.ends_with("/wake") { "POST" } else { "GET" };
            let status = rig::ask(proxy.address(), method, if path.is_empty() { "/" } else { path }, "").status;
            assert!(matches!(status, 200 | 202), "{status}: {line}");
            addresses += 1;
        }
        let field = line.split_once("field: ").or_else(|| line.split_once("value_json.")).map(|(_, rest)| rest);
        if let Some(field) = field.and_then(|rest| rest.split_whitespace().next()) {
            let found = field.split('.').try_fold(&summary, |at, key| at.get(key));
            assert!(found.is_some(), "/summary has no {field}: {summary}");
            fields += 1;
        }
    }
    assert!(addresses >= 5 && fields >= 5, "{addresses} addresses, {fields} fields");
}

#[test]
fn the_start_tells_where_it_listens_and_how_each_node_stands_and_the_wake_line_finds_it_awake() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Running::start(command(WITH_MAC, &node.url(), &scratch));
    for part in ["listening on", "may sleep", "MAC a8:a1:59:01:02:03 (set)", "wakes by", "models known", "page at http://"] {
        proxy.tells(part, SOON);
    }
    let woken = here(WAKE, proxy.address().port());
    assert!(woken.status.success() && String::from_utf8_lossy(&woken.stdout).contains("node1"), "{woken:?}");
}

#[test]
fn the_lines_for_a_wake_url_are_understood_and_the_key_stays_out_of_the_log() {
    for line in [WAKE_URL, WAKE_KEY] {
        let (node, scratch) = (Node::start(), Scratch::new());
        let proxy = Running::start(command(line, &node.url(), &scratch));
        proxy.tells("the wake URL http://127.0.0.3:9090/wol", SOON);
        let nodes = rig::get(proxy.address(), "/nodes").body;
        assert!(nodes.contains("\"wakeable\":true") && nodes.contains("\"always_on\":false"), "{nodes}");
        assert!(!proxy.told().contains("secret") && !nodes.contains("secret"));
    }
}

#[test]
fn several_addresses_become_node1_and_node2() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let proxy = Running::start(command(SEVERAL, &node.url(), &scratch));
    let nodes = rig::get(proxy.address(), "/nodes").body;
    assert!(nodes.contains("\"name\":\"node1\"") && nodes.contains("\"name\":\"node2\""), "{nodes}");
}

#[test]
fn the_env_file_and_the_node_file_of_the_readme_are_understood() {
    let (node, scratch) = (Node::start(), Scratch::new());
    let local = |text: String| text.replace("192.168.1.20:11434", &node.address.to_string()).replace("192.168.1.", "127.0.0.");
    std::fs::write(scratch.join(".env"), local(ENGLISH.block("ini", "OLLAMA_URL="))).unwrap();
    let proxy = Running::start(program::bare(&scratch));
    let nodes = rig::get(proxy.address(), "/nodes").body;
    assert!(nodes.contains("\"mac\":\"a8:a1:59:01:02:03\"") && nodes.contains(&node.address.port().to_string()), "{nodes}");

    let scratch = Scratch::new();
    // Several loopback addresses count as one machine, so its ports tell the nodes apart.
    let ports = ENGLISH.block("json", "\"hosts\"").replace("[\"192.168.1.", "[\"127.0.0.1:");
    std::fs::write(scratch.join("node_config.json"), local(ports)).unwrap();
    let proxy = Running::start(program::bare(&scratch));
    for (node, class) in [("gaming-pc at 127.0.0.1:20:", "may sleep"), ("workshop", "may sleep"), ("server", "always on")] {
        let line = proxy.tells(&format!("INFO node {node}"), SOON);
        assert!(line.ends_with(class), "{line}");
    }
    proxy.tells("the wake URL http://127.0.0.3:9090/wol", SOON);
    assert!(!proxy.told().contains("has no effect"), "{}", proxy.told());
}
