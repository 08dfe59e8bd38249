"""A proxy that has served real traffic: an always-on server, a PC that was woken, one that sleeps, one that nothing wakes."""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

from tools import PATIENCE, fetch, free_port, until

CHAT = json.dumps({"model": "llama3.2:3b", "messages": [{"role": "user", "content": "hello"}]})
WATTS = {"idle_watts": 60, "sleep_watts": 3, "sleeps_after": "1s"}
# Each has an address of its own, as on a network; the last byte of the card's address tells them apart too.
PCS = {"woken": 2, "asleep": 3, "deaf": 4}


class Pc:
    """A simulated PC that sleeps when it is told to."""

    def __init__(self, stack, folder, name, number):
        self.name, self.mac = name, f"02:00:5e:10:00:{number:02x}"
        command = [os.path.join(folder, "examples/simulated_pc"), "--listen", f"127.0.0.{number}:0", "--wake-listen",
                   f"127.0.0.{number}:0", "--mac", self.mac, "--resume", "1s", "--token-gap", "10ms"]
        self.process = started(stack, command, stdin=subprocess.PIPE)
        self.card, self.address = said(self.process, "takes magic packets on "), said(self.process, "listening on ")

    def node(self):
        host, port = self.address.rsplit(":", 1)
        broadcast, card = self.card.rsplit(":", 1)
        # The deaf one has another card than its owner believes.
        mac = "02:00:5e:10:00:ff" if self.name == "deaf" else self.mac
        wake = {"mac": mac, "broadcast": broadcast, "port": int(card)}
        return {"name": self.name, "hosts": [host], "port": int(port), "wake": wake, "power": WATTS}

    def sleep(self):
        self.process.stdin.write("sleep\n")
        self.process.stdin.flush()
        said(self.process, "falls asleep")


class House:
    def __init__(self, stack, program, scratch):
        folder = os.path.dirname(program)
        self.pcs = {name: Pc(stack, folder, name, number) for name, number in PCS.items()}
        server = started(stack, [os.path.join(folder, "examples/simulated_ollama"), "--listen", "127.0.0.5:0", "--token-gap", "10ms"])
        host, port = said(server, "listening on ").rsplit(":", 1)
        nodes = [pc.node() for pc in self.pcs.values()] + [{"name": "server", "hosts": [host], "port": int(port), "power": WATTS}]
        with open(os.path.join(scratch, "node_config.json"), "w", encoding="utf-8") as file:
            json.dump({"nodes": nodes}, file)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [program, "--host", "127.0.0.1", "--port", str(self.port), "--wake-timeout", "10s", "--log", "warn", "--data-dir", scratch]
        command += certified(scratch)
        env = {"PATH": os.environ["PATH"], "HOME": scratch}
        started(stack, command, cwd=scratch, env=env, stdout=None)
        until("the proxy listens", lambda: fetch(f"{self.url}/health"))
        for name in [*PCS, "server"]:
            until(f"the list of {name} is read", lambda name=name: self.refreshed(name))

    def ask(self, path, node=None, body=None):
        """The status of a request, whose answer is read to its end."""
        headers = {"Content-Type": "application/json"} | ({"X-Ollama-Proxy-Node": node} if node else {})
        request = urllib.request.Request(self.url + path, data=body and body.encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                answer.read()
                return answer.status
        except urllib.error.HTTPError as refused:
            refused.read()
            return refused.code

    def refreshed(self, name):
        return self.ask(f"/nodes/{name}/refresh", body="{}") in (200, 202)

    def states(self):
        return {name: node["state"] for name, node in json.loads(fetch(f"{self.url}/health")[1])["nodes"].items()}

    def round(self):
        """Traffic of every kind, with a sleep and a wake in it."""
        self.pcs["woken"].sleep()
        # The energy account books sleep from `sleeps_after` on: there must be some.
        time.sleep(2.5)
        assert self.ask("/api/tags") == 200
        assert self.ask("/api/chat", "server", CHAT) == 200
        assert self.ask("/api/chat", "woken", CHAT) == 200, "woken by a chat"

    def leave(self):
        """What needs to happen once: one PC is found asleep, another does not wake."""
        self.pcs["asleep"].sleep()
        self.pcs["deaf"].sleep()
        assert self.ask("/nodes/asleep/refresh", body="{}") == 502, "it sleeps, so its list cannot be read"
        assert self.ask("/api/chat", "deaf", CHAT) == 504, "nothing wakes it"
        until("each is as it should be", lambda: self.states() == {
            "woken": "awake", "server": "awake", "asleep": "asleep", "deaf": "wake_failed"})


def certified(scratch):
    """The flags of a port that speaks TLS, with a certificate for 90 days: an alert looks at its end."""
    cert, key = os.path.join(scratch, "proxy.crt"), os.path.join(scratch, "proxy.key")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90", "-subj", "/CN=localhost"]
    subprocess.run(["openssl", "req", "-x509", *kind, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return ["--tls-cert", cert, "--tls-key", key, "--tls-port", "0"]


def started(stack, command, **more):
    process = subprocess.Popen(command, text=True, **{"stdout": subprocess.PIPE, **more})
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def said(process, words):
    """The rest of the next line that begins so."""
    for line in process.stdout:
        if line.startswith(words):
            return line[len(words):].strip()
    raise AssertionError(f"{process.args[0]} ended without saying {words!r}")


@contextlib.contextmanager
def house(program, scratch):
    with contextlib.ExitStack() as stack:
        yield House(stack, program, scratch)
