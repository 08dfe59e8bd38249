//! Where the others come from: nginx and HAProxy out of Debian's packages, FastAPI and HTTPX from PyPI. All of it lies under
//! `target/bench`; nothing is installed and no service is started.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Libraries that HAProxy needs and a small system lacks.
const HAPROXY_NEEDS: [&str; 3] = ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];

/// A program of a Debian package, with the directory of libraries that came with it.
pub struct Tool {
    pub path: PathBuf,
    libraries: PathBuf,
}

impl Tool {
    /// To start it with.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

pub fn nginx(dir: &Path) -> anyhow::Result<Tool> {
    debian(dir, "nginx", &[])
}

pub fn haproxy(dir: &Path) -> anyhow::Result<Tool> {
    debian(dir, "haproxy", &HAPROXY_NEEDS)
}

/// The one that is installed, else one unpacked from its package.
fn debian(dir: &Path, name: &str, needs: &[&str]) -> anyhow::Result<Tool> {
    let installed = Path::new("/usr/sbin").join(name);
    if installed.exists() {
        return Ok(Tool { path: installed, libraries: PathBuf::new() });
    }
    let at = dir.join(name);
    let tool = Tool { path: at.join("usr/sbin").join(name), libraries: at.join("usr/lib/x86_64-linux-gnu") };
    if !tool.path.exists() {
        std::fs::create_dir_all(&at)?;
        let packages = [&[name], needs].concat();
        // On a fresh machine there are no lists.
        if download(&at, &packages).is_err() {
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            download(&at, &packages)?;
        }
        for entry in std::fs::read_dir(&at)?.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "deb")) {
            run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&at))?;
        }
        run(tool.command().arg("-v")).with_context(|| format!("{name} of Debian does not run here"))?;
    }
    Ok(tool)
}

fn download(at: &Path, packages: &[&str]) -> anyhow::Result<()> {
    run(Command::new("apt-get").args(["download", "-qq"]).args(packages).current_dir(at))
}

/// The directory of programs of a Python environment that has FastAPI, HTTPX and uvicorn.
pub fn python(dir: &Path) -> anyhow::Result<PathBuf> {
    let at = dir.join("venv");
    if !at.join("fetched").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&at))?;
        run(Command::new(at.join("bin/pip")).args([
            "install",
            "-q",
            "--disable-pip-version-check",
            "fastapi",
            "httpx",
            "uvicorn",
        ]))?;
        std::fs::write(at.join("fetched"), "")?;
    }
    Ok(at.join("bin"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} is not here"))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or_default().to_owned();
        bail!("{name} failed: {told}");
    }
    Ok(())
}
