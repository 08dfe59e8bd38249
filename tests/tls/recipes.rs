//! The recipes of docs/behind-another-server.md for servers in front of the proxy: tokens come through one by one, and a client
//! that leaves is noticed at the node.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ollama_proxy::simulator::Settings;

use crate::client::request;
use crate::rig::{Node, PATIENCE, Proxy, Scratch};
use crate::{CHAT, quick, until};

const PAGE: &str = include_str!("../../docs/behind-another-server.md");

/// The first block of this language.
fn block(language: &str) -> String {
    let opened = PAGE.split_once(&format!("```{language}\n")).unwrap().1;
    opened.split_once("```").unwrap().0.to_owned()
}

/// Killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port that was free a moment ago: these servers cannot be given a listener.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(command: &mut Command, at: SocketAddr) -> Option<Server> {
    let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
        // Past the test harness, which shows what failed tests print only.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {:?} is not installed here", command.get_program());
        return None;
    };
    let server = Server(child);
    until("it listens", || TcpStream::connect(at).is_ok());
    Some(server)
}

/// One token in a second: whoever keeps some back shows none within the time that the test waits.
fn slowly() -> Settings {
    Settings { token_gap: Duration::from_secs(1), tokens: 600, ..quick() }
}

fn streams_and_lets_go(front: SocketAddr, node: &Node) {
    let mut stream = TcpStream::connect(front).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let text = request("POST", "/api/chat", CHAT).replace("Host: x", "Host: localhost");
    stream.write_all(text.as_bytes()).unwrap();
    let mut heard = String::new();
    let mut piece = [0; 4096];
    while heard.matches("\"done\":false").count() < 2 {
        let read = stream.read(&mut piece).expect("tokens are kept back");
        assert_ne!(read, 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert_eq!(node.counters().generations_finished, 0);
    drop(stream);
    until("the node is let go", || node.counters().generations_cancelled > 0);
}

#[test]
fn the_recipe_for_nginx_streams_and_lets_go() {
    let (node, scratch, at) = (Node::with(slowly()), Scratch::new(), free());
    let proxy = Proxy::before(&node, &scratch, &[]);
    proxy.until("/api/tags", "llama3.2:3b");
    let location = block("nginx").replace("127.0.0.1:11434", &proxy.address.to_string());
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", scratch.join(kind)))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {}; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{temp}\
         server {{ listen {at};\n{location} }} }}\n",
        scratch.join("nginx.pid")
    );
    std::fs::write(scratch.join("nginx.conf"), config).unwrap();
    // As root it would change to a user who may not write there.
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &scratch.join(""), "-c", &scratch.join("nginx.conf"), "-g", "user root;"]);
    let Some(_nginx) = start(&mut nginx, at) else { return };
    streams_and_lets_go(at, &node);
}

#[test]
fn the_recipe_for_caddy_streams_and_lets_go() {
    let (node, scratch, at) = (Node::with(slowly()), Scratch::new(), free());
    let proxy = Proxy::before(&node, &scratch, &[]);
    proxy.until("/api/tags", "llama3.2:3b");
    let site = block("caddyfile").replace("127.0.0.1:11434", &proxy.address.to_string());
    let site = site.replace("ollama.example.org", &format!("http://localhost:{}", at.port()));
    std::fs::write(scratch.join("Caddyfile"), format!("{{\n\tadmin off\n\tauto_https off\n}}\n{site}")).unwrap();
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config", &scratch.join("Caddyfile")]).env("HOME", scratch.path());
    caddy.env("XDG_DATA_HOME", scratch.path()).env("XDG_CONFIG_HOME", scratch.path());
    let Some(_caddy) = start(&mut caddy, at) else { return };
    streams_and_lets_go(at, &node);
}
