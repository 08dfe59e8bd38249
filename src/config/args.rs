//! The command line: which command, and the raw text of each flag. Values are judged later, with all other layers, so that
//! every fault is told at once; the environment is not read here, because its aliases must rank between flag and file.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use crate::config::HostPort;
use crate::config::address;
use crate::config::cluster;
use crate::config::exporter;
use crate::config::role::Role;
use crate::config::settings;
use crate::config::settings::Setting;

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ollama-proxy",
    version,
    about,
    next_line_help = true,
    after_help = "Examples:\n\
                  \x20 ollama-proxy demo                                         see how it works, without any Ollama\n\
                  \x20 OLLAMA_URL=http://192.168.1.20:11434 ollama-proxy         stand in for the Ollama of this PC\n\
                  \x20 OLLAMA_URL=http://192.168.1.20:11434 ollama-proxy check   look for faults\n\
                  \x20 ollama-proxy nodes --watch                                watch the running proxy\n\n\
                  Each flag may also be set in the environment or in a .env file; flags go first.\n\
                  Times: 10, 90s, 10m, 1h; a bare number is seconds (--wake-interval: minutes). Sizes: 64MiB."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: ServeArgs,
}

/// What to do, with the flags of `serve`.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Stand in for Ollama (the default)
    #[command(alias = "server")]
    Serve(ServeArgs),
    /// Try everything with a simulated PC, without any Ollama
    Demo(ServeArgs),
    /// Wake a node and wait until it answers: exit code 0 or 1
    Wake(WakeArgs),
    /// Show the nodes of the running proxy as a table; wakes nothing
    Nodes(NodesArgs),
    /// Look for faults in settings, network and nodes; contacts the nodes, wakes none on purpose
    Check(CheckArgs),
    /// Ask the running proxy on this machine whether it is well: exit code 0 or 1
    Healthcheck(ServeArgs),
    /// Send a test notification to each place that is set: exit code 0 or 1
    NotifyTest(ServeArgs),
    /// Beside Ollama on its own machine: metrics of its connections and bytes
    Exporter(ExporterArgs),
    /// The proxy, with nodes that register themselves (see worker)
    Controller(ControllerArgs),
    /// Beside Ollama on its own machine: passes requests on to it and registers with controllers
    Worker(WorkerArgs),
}

/// The flags of `wake`.
#[derive(Clone, Debug, Args)]
pub struct WakeArgs {
    /// Name of the node, as `nodes` shows it; needed when several could be woken
    pub node: Option<String>,
    /// Where the proxy runs
    #[command(flatten)]
    pub proxy: ProxyArg,
    /// Used when no proxy answers: then the node is woken from here
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The flags of `nodes`.
#[derive(Clone, Debug, Args)]
pub struct NodesArgs {
    /// Draw the table again every two seconds until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Where the proxy runs
    #[command(flatten)]
    pub proxy: ProxyArg,
    /// Where to listen says where to ask
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Also call each wake URL, which wakes its PC, and compare the clocks
    #[arg(long)]
    pub call_wake_url: bool,
    /// What is checked
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The flags of `exporter`, as they were written.
#[derive(Clone, Debug, Default)]
pub struct ExporterArgs(pub(super) ServeArgs);

/// The flags of `controller`, as they were written.
#[derive(Clone, Debug, Default)]
pub struct ControllerArgs(pub(super) ServeArgs);

/// The flags of `worker`, as they were written.
#[derive(Clone, Debug, Default)]
pub struct WorkerArgs(pub(super) ServeArgs);

/// Which running proxy to ask.
#[derive(Clone, Debug, Default, Args)]
pub struct ProxyArg {
    /// The proxy to ask; else the one on this machine
    #[arg(long, value_name = "OLLAMA_PROXY_URL", env = "OLLAMA_PROXY_URL", value_parser = proxy_url, hide_env_values = true)]
    pub url: Option<ProxyUrl>,
}

/// The address of a running proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyUrl {
    /// Host and port.
    pub at: HostPort,
    /// Path in front of the proxy's own paths, without trailing slash; usually empty.
    pub prefix: String,
    /// Whether it is reached by `https://`.
    pub tls: bool,
}

fn proxy_url(text: &str) -> Result<ProxyUrl, String> {
    let url = address::node_host(text.trim(), address::OLLAMA_PORT)?;
    Ok(ProxyUrl { at: url.at, prefix: url.prefix, tls: url.tls })
}

impl Cli {
    /// The chosen command; flags in front of its name count as if they stood behind it.
    pub fn command(self) -> Command {
        let before = self.args;
        match self.command {
            None => Command::Serve(before),
            Some(Command::Serve(args)) => Command::Serve(args.over(before)),
            Some(Command::Healthcheck(args)) => Command::Healthcheck(args.over(before)),
            Some(Command::Demo(args)) => Command::Demo(args.over(before)),
            Some(Command::NotifyTest(args)) => Command::NotifyTest(args.over(before)),
            Some(Command::Wake(args)) => Command::Wake(WakeArgs { serve: args.serve.over(before), ..args }),
            Some(Command::Nodes(args)) => Command::Nodes(NodesArgs { serve: args.serve.over(before), ..args }),
            Some(Command::Exporter(args)) => Command::Exporter(ExporterArgs(args.0.over(before))),
            Some(Command::Controller(args)) => Command::Controller(ControllerArgs(args.0.over(before))),
            Some(Command::Worker(args)) => Command::Worker(WorkerArgs(args.0.over(before))),
            Some(Command::Check(args)) => Command::Check(CheckArgs { serve: args.serve.over(before), ..args }),
        }
    }
}

const EXPORTER_HELP: &str = "\
Linux: the kernel tells the bytes of each connection, short ones too, and needs no root. They are
TCP's own: headers count, retransmissions do not, an end may count as one byte. Lost are only the
bytes since the last scrape of connections of which too many end at once (some hundred).
Connections of another network namespace, such as a container's own, are not seen: run it there.
macOS and Windows: bytes are estimated from the number of connections (estimated=\"true\").";

/// Reads the command line, whose first item is the program's name.
///
/// # Errors
/// `--help` and `--version` come as an error whose `exit_code()` is 0; a wrong usage as one with 2. `print()` shows either.
pub fn parse_cli<I, T>(args: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Cli::try_parse_from(args)
}

/// The flags that were given, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeArgs {
    given: BTreeMap<String, String>,
    role: Role,
}

impl ServeArgs {
    /// The same with one flag (named without its dashes) set; for callers that start a server without a command line.
    /// A flag that does not exist has no effect.
    pub fn with(mut self, flag: &str, value: &str) -> Self {
        self.given.insert(flag.to_owned(), value.to_owned());
        self
    }

    /// The same for another command.
    pub(super) fn of(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// For which command they were written.
    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// The text of a flag; values of a repeated flag are joined as a list.
    pub(super) fn get(&self, flag: &str) -> Option<&str> {
        self.given.get(flag).map(String::as_str)
    }

    fn gather(&mut self, settings: impl Iterator<Item = &'static Setting>, matches: &ArgMatches) {
        for setting in settings {
            let values: Vec<&str> = matches.get_many::<String>(setting.flag).into_iter().flatten().map(String::as_str).collect();
            if !values.is_empty() {
                self.given.insert(setting.flag.to_owned(), values.join(setting.joiner.unwrap_or_default()));
            }
        }
    }

    fn over(mut self, before: Self) -> Self {
        for (flag, value) in before.given {
            self.given.entry(flag).or_insert(value);
        }
        self
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.gather(settings::all(), matches);
        Ok(())
    }
}

impl FromArgMatches for ExporterArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.gather(exporter::SETTINGS.into_iter(), matches);
        Ok(())
    }
}

impl FromArgMatches for ControllerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self(ServeArgs::default().of(Role::Controller));
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.gather(settings::all().chain(cluster::REGISTRATION), matches);
        Ok(())
    }
}

impl Args for ControllerArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        command = command.args(cluster::REGISTRATION.into_iter().map(|setting| flag(setting).help_heading("Workers")));
        for (heading, group) in settings::GROUPS {
            let own = group.iter().map(|setting| flag(Role::Controller.shows(setting)).help_heading(*heading));
            command = command.args(own);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for WorkerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self(ServeArgs::default().of(Role::Worker));
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.gather(cluster::worker_settings(), matches);
        Ok(())
    }
}

impl Args for WorkerArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for (heading, group) in cluster::WORKER_GROUPS {
            let own = group.iter().map(|setting| flag(Role::Worker.shows(setting)).help_heading(*heading));
            command = command.args(own);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl Args for ExporterArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(exporter::SETTINGS.into_iter().map(flag)).after_help(EXPORTER_HELP)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl Args for ServeArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        for (heading, group) in settings::GROUPS {
            command = command.args(group.iter().map(|setting| flag(setting).help_heading(*heading)));
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let action = if setting.joiner.is_some() { ArgAction::Append } else { ArgAction::Set };
    let arg = Arg::new(setting.flag).long(setting.flag).value_name(setting.env[0]).help(help(setting)).action(action);
    if setting.switch { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
}

fn help(setting: &Setting) -> String {
    // On a line of their own: one line with both would be wider than most terminals.
    let mut text = format!("{}\n[env: {}", setting.help, setting.env[0]);
    for alias in &setting.env[1..] {
        text.push_str(" or ");
        text.push_str(alias);
    }
    text.push(']');
    if !setting.default.is_empty() {
        text.push_str(" [default: ");
        text.push_str(setting.default);
        text.push(']');
    }
    text
}

#[cfg(test)]
mod tests;
