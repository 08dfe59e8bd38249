"""What both test programs of this folder do: ask, wait, count, and run a Prometheus."""

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.parse
import urllib.request

PATIENCE = 60  # seconds that anything may take before it counts as failed
TEXT = "text/plain;version=0.0.4"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def fetch(url, body=None, accept="*/*"):
    request = urllib.request.Request(url, data=body and body.encode(), headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def until(what, attempt):
    """The first true value of `attempt`."""
    deadline, last = time.monotonic() + PATIENCE, None
    while time.monotonic() < deadline:
        try:
            last = attempt()
            if last:
                return last
        except OSError as error:
            last = error
        time.sleep(0.2)
    raise AssertionError(f"{what}: never; last was {last!r}")


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, run):
        try:
            run()
            self.passed += 1
            print(f"ok    {name}", flush=True)
        except (AssertionError, OSError, KeyError, ValueError) as error:
            self.failed += 1
            print(f"FAIL  {name}\n      {error}", flush=True)


def ask(base, path, **query):
    answer = json.loads(fetch(f"{base}/api/v1/{path}?{urllib.parse.urlencode(query)}")[1])
    assert answer["status"] == "success", answer
    return answer["data"]


@contextlib.contextmanager
def prometheus(config, scratch):
    """A Prometheus with this configuration file, ready; gives its address. What it logged is printed after a failure."""
    base, log = f"127.0.0.1:{free_port()}", os.path.join(scratch, "prometheus.log")
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={scratch}/data", f"--web.listen-address={base}"]
    with open(log, "w", encoding="utf-8") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        until("Prometheus is ready", lambda: fetch(f"http://{base}/-/ready"))
        yield f"http://{base}"
    except BaseException:
        with open(log, encoding="utf-8") as file:
            print(file.read()[-3000:])
        raise
    finally:
        server.terminate()
        server.wait()
