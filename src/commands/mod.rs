//! What the binary can do. Each command ends with an exit code: 0 yes, 1 no, 2 usage or settings.

mod check;
mod controller;
mod demo;
mod exporter;
mod healthcheck;
mod nodes;
mod notify_test;
mod quiet;
mod running;
mod serve;
mod wake;
mod worker;

use std::process::ExitCode;

use crate::app::Failure;
use crate::config::{self, Command, Env, ProxyUrl, ServeArgs, environment, parse_cli};
use crate::http::outward;
use crate::telemetry;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let cli = match parse_cli(std::env::args_os()) {
        Ok(cli) => cli,
        Err(told) => {
            let _ = told.print();
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2));
        }
    };
    let env = environment();
    let done = match cli.command() {
        Command::Serve(args) => serve::run(&args, &env),
        Command::Healthcheck(args) => healthcheck::run(&args, &env),
        Command::Demo(args) => demo::run(&args, &env),
        Command::Wake(args) => wake::run(&args, &env),
        Command::Nodes(args) => nodes::run(&args, &env),
        Command::NotifyTest(args) => notify_test::run(&args, &env),
        Command::Exporter(args) => exporter::run(&args, &env),
        Command::Controller(args) => controller::run(&args, &env),
        Command::Worker(args) => worker::run(&args, &env),
        Command::Check(args) => check::run(&args, &env),
    };
    telemetry::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("ollama-proxy: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// For what has little to do, on the main thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    had(tokio::runtime::Builder::new_current_thread().enable_all().build())
}

/// A runtime, unless the system has none for us.
fn had<T>(threads: std::io::Result<T>) -> Result<T, Failure> {
    threads.map_err(|error| Failure::Other(error.into()))
}

/// Whoever asks a proxy elsewhere by https trusts the authorities of the settings, too.
fn trust_for(named: Option<&ProxyUrl>, args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    if named.is_some_and(|url| url.tls) {
        let roots = config::load_roots(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
        outward::also_trust(&roots.0);
    }
    Ok(())
}

/// Writes to the standard output. `false`: its reader has gone (`| head`), which is no failure.
fn say(text: &str) -> bool {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn settings(faults: &config::Faults) -> Failure {
    Failure::Settings(format!("the settings cannot be used:\n{faults}"))
}

fn working_dir() -> std::path::PathBuf {
    std::env::current_dir().unwrap_or_default()
}
