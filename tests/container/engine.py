"""podman in a corner of its own: its settings, images, containers and volumes all lie under target/container, and the
machine's own are neither read nor changed. `docker` lines of the README run here as they stand."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
HOME = TARGET / "container"
TOOLS = TARGET / "venv-container" / "bin"
IMAGE = "ollama-proxy"

# runc and cgroupfs: crun refuses hybrid cgroups. The limits are low enough for a root that may not raise any.
SETTINGS = f"""
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=16384:16384"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{HOME}/run/libpod"
[network]
network_backend = "netavark"
network_config_dir = "{HOME}/networks"
"""
STORAGE = f"""
[storage]
driver = "overlay"
graphroot = "{HOME}/storage"
runroot = "{HOME}/run"
"""
SURROUNDINGS = os.environ | {
    "CONTAINERS_CONF": f"{HOME}/containers.conf",
    "CONTAINERS_STORAGE_CONF": f"{HOME}/storage.conf",
    "BUILDAH_FORMAT": "docker",  # the other format cannot carry a health check
    "TMPDIR": f"{HOME}/tmp",
}


def settle():
    """Writes the settings."""
    for folder in ("tmp", "run", "networks"):
        (HOME / folder).mkdir(parents=True, exist_ok=True)
    (HOME / "containers.conf").write_text(SETTINGS)
    (HOME / "storage.conf").write_text(STORAGE)


def run(*command, seconds=120, **more):
    """Runs a program with these settings; gives what it printed, or fails with it."""
    done = attempt(*command, seconds=seconds, **more)
    if done.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def attempt(*command, seconds=120, **more):
    """As `run`, but an end other than 0 is an answer too."""
    surroundings = SURROUNDINGS | more.pop("env", {})
    return subprocess.run(
        command, env=surroundings, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, **more,
    )


def podman(*arguments, seconds=120):
    return run("podman", *arguments, seconds=seconds)


def docker(line, *more):
    """A `docker …` line as a person types it; further arguments go behind its second word."""
    words = shlex.split(line)
    return podman(words[1], *more, *words[2:])


def inspect(name, path):
    return podman("inspect", "--format", "{{json %s}}" % path, name)


def remove_everything():
    """Containers and volumes of earlier runs, which may have been cut off."""
    attempt("podman", "rm", "--all", "--force", "--time", "0")
    attempt("podman", "volume", "prune", "--force")


def get(url, seconds=5):
    """The text of an answer."""
    with urllib.request.urlopen(url, timeout=seconds) as answer:
        return answer.read().decode()


def post(url, body, seconds=60):
    """The answer to JSON, still to be read."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    return urllib.request.urlopen(request, timeout=seconds)


def eventually(what, ready, seconds=20):
    """Waits until `ready()` gives something; failures on the way count as not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = ready()
        except OSError as trouble:
            found, last = None, trouble
        else:
            last = found
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what} (last: {last})")
        time.sleep(0.1)


def dockerfile_base():
    """The image that the Dockerfile builds in."""
    text = (ROOT / "docker" / "Dockerfile").read_text()
    version = re.search(r"^ARG RUST=(\S+)", text, re.M).group(1)
    return f"rust:{version}-slim-bookworm"
