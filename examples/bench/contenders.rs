//! The contenders: how each is started in front of the same upstream, twice where that makes a difference. `kept` holds
//! connections to the upstream, as toward a machine that is always on; `fresh` makes one for each request, as toward a sleeper.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::process::{Program, free_address, listening};
use crate::{fetch, recipes};

/// Who is measured, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    Direct,
    Nginx,
    Haproxy,
    Bare,
    FastApi,
    Ours,
}

impl Who {
    pub const ALL: [Self; 6] = [Self::Direct, Self::Nginx, Self::Haproxy, Self::Bare, Self::FastApi, Self::Ours];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Bare => "bare hyper",
            Self::FastApi => "FastAPI",
            Self::Ours => "ollama-proxy",
        }
    }
}

/// How the upstream's connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Kept,
    Fresh,
}

/// A running contender.
pub struct Contender {
    pub who: Who,
    places: [SocketAddr; 2],
    /// One program that serves both ways, or one for each; none when the upstream itself is asked.
    programs: Vec<Program>,
}

impl Contender {
    pub fn address(&self, way: Way) -> SocketAddr {
        self.places[way as usize]
    }

    pub fn program(&self, way: Way) -> Option<&Program> {
        self.programs.get(way as usize).or(self.programs.first())
    }
}

/// What is needed to start them.
pub struct Kitchen {
    pub upstream: SocketAddr,
    /// `target/bench`.
    pub dir: PathBuf,
    /// The release binary.
    pub ours: PathBuf,
    /// How many files and sockets a program here may open.
    pub open: u64,
}

/// How long Python may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

impl Kitchen {
    /// Starts one for both ways.
    pub async fn start(&self, who: Who) -> anyhow::Result<Contender> {
        let places = if who == Who::Direct { [self.upstream; 2] } else { [free_address()?, free_address()?] };
        let programs = match who {
            Who::Direct => vec![],
            Who::Nginx | Who::Haproxy => vec![self.launch(who, places, Way::Kept)?],
            Who::Bare | Who::FastApi | Who::Ours => {
                vec![self.launch(who, places, Way::Kept)?, self.launch(who, places, Way::Fresh)?]
            }
        };
        for place in places {
            let heard = listening(place, PATIENCE).await;
            heard.with_context(|| {
                programs.iter().find_map(Program::last_words).unwrap_or_else(|| self.dir.display().to_string())
            })?;
        }
        Ok(Contender { who, places, programs })
    }

    /// Starts the program of one way; nginx and HAProxy serve both with one.
    pub fn launch(&self, who: Who, places: [SocketAddr; 2], way: Way) -> anyhow::Result<Program> {
        let at = places[way as usize];
        let name = format!("{}-{way:?}", who.name().replace(' ', "-"));
        let mut command = match who {
            Who::Direct => anyhow::bail!("the upstream runs already"),
            Who::Nginx => self.nginx(places)?,
            Who::Haproxy => self.haproxy(places)?,
            Who::Bare => self.bare(at, way)?,
            Who::FastApi => self.fastapi(at, way)?,
            Who::Ours => self.ours(at, way),
        };
        Program::start(&mut command, &self.dir.join(format!("{name}.log")))
    }

    fn nginx(&self, places: [SocketAddr; 2]) -> anyhow::Result<Command> {
        let mut command = fetch::nginx(&self.dir)?.command();
        // A directory for each instance: its process id is kept there.
        let dir = self.dir.join(format!("nginx-{}", places[0].port()));
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("conf"), recipes::nginx(self.upstream, places, &dir, self.open))?;
        command.arg("-c").arg(dir.join("conf")).arg("-p").arg(&dir).args(["-e", "stderr"]);
        Ok(command)
    }

    fn haproxy(&self, places: [SocketAddr; 2]) -> anyhow::Result<Command> {
        let mut command = fetch::haproxy(&self.dir)?.command();
        let conf = self.dir.join("haproxy.cfg");
        fs::write(&conf, recipes::haproxy(self.upstream, places, self.open))?;
        command.arg("-db").arg("-f").arg(conf);
        Ok(command)
    }

    fn bare(&self, at: SocketAddr, way: Way) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare", &at.to_string(), &self.upstream.to_string()]);
        command.args((way == Way::Fresh).then_some("--fresh"));
        Ok(command)
    }

    fn fastapi(&self, at: SocketAddr, way: Way) -> anyhow::Result<Command> {
        let mut command = Command::new(fetch::python(&self.dir)?.join("uvicorn"));
        fs::write(self.dir.join("through.py"), recipes::FASTAPI)?;
        command.args(["through:app", "--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port"]);
        command.arg(at.port().to_string()).current_dir(&self.dir);
        command.env("UPSTREAM", format!("http://{}", self.upstream)).env("WAY", format!("{way:?}"));
        Ok(command)
    }

    /// As it comes, its log included.
    fn ours(&self, at: SocketAddr, way: Way) -> Command {
        let mut command = self.ours_before(at, self.upstream, &format!("{way:?}"));
        match way {
            Way::Kept => command.arg("--always-on"),
            Way::Fresh => command.args(["--wake-mac", "02:00:5e:10:00:01", "--wake-interval", "0"]),
        };
        command
    }

    /// Our program in front of one node, with a state of its own and none of this machine's settings. Its packets, should
    /// there be any, stay on loopback.
    pub fn ours_before(&self, at: SocketAddr, upstream: SocketAddr, name: &str) -> Command {
        let mut command = self.ours_alone(at, name);
        command.args(["--ollama-url", &format!("http://{upstream}"), "--wake-broadcast", "127.0.0.1"]);
        command
    }

    /// The same without a node yet.
    pub fn ours_alone(&self, at: SocketAddr, name: &str) -> Command {
        let mut command = Command::new(&self.ours);
        command.env_clear().current_dir(&self.dir);
        command.args(["--host", "127.0.0.1", "--port", &at.port().to_string(), "--max-connections", "12000"]);
        // What an earlier run left there would be believed.
        let state = self.dir.join(format!("state-{name}"));
        let _ = fs::remove_dir_all(&state);
        command.arg("--data-dir").arg(state);
        command
    }
}
