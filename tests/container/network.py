"""A home network in namespaces of its own: this process is the always-on machine (it was started with a network of its
own), and the GPU PC of the network laboratory hangs on the other end of a cable."""

import atexit
import http.server
import json
import socket
import subprocess
import threading
import urllib.parse

from engine import TARGET, eventually

NAS = "192.168.7.10"
PC = "192.168.7.20"
MAC = "02:00:00:00:07:20"
MODEL = "llama3.2:3b"
WAKE_PORT = 9090


class Machine:
    """The GPU PC: it sleeps when told to, and a magic packet wakes it."""

    def __init__(self):
        examples = TARGET / "debug" / "examples"
        host = [examples / "lab_host", MAC, "magic", "0", "500", "0"]  # armed at once, half a second to resume
        ollama = [examples / "simulated_ollama", "--listen", "0.0.0.0:11434", "--control", "--token-gap", "100ms", "--tokens", "20"]
        script = 'echo waiting; read go; ip link set lo up; ip addr add "$1" dev eth0; ip link set eth0 up; shift; exec "$@"'
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", script, "pc", f"{PC}/24", *host, *ollama],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        atexit.register(self.end)
        self.line("waiting")
        ip(f"link add lan type veth peer name eth0 address {MAC} netns {self.process.pid}")
        ip(f"addr add {NAS}/24 brd + dev lan")
        ip("link set lan up")
        ip("route add default via 192.168.7.1")
        self.process.stdin.write("go\n")
        self.line("ready")

    def end(self):
        """It takes its Ollama along when its standard input closes; killed, it would leave it behind."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def line(self, wanted=None):
        line = self.process.stdout.readline().strip()
        if wanted and line != wanted:
            raise AssertionError(f"the PC said {line!r} instead of {wanted!r}")
        return line

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        return self.line()

    def status(self):
        return json.loads(self.ask("status"))

    def sleep(self):
        """Asleep at once, whatever it was."""
        self.wake()
        if self.ask("sleep") != "ok":
            raise AssertionError("the PC does not fall asleep")

    def wake(self):
        """Awake, as if a person had pressed its button."""
        self.ask("wake")
        eventually("the PC is awake", lambda: self.status()["power"] == "awake")


class WakeService:
    """Something like WolGoWeb on the always-on machine: each call sends one magic packet into the network."""

    def __init__(self):
        self.calls = 0
        service = self

        class Call(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                service.calls += 1
                broadcast_magic(asked["mac"][0])
                body = b'{"error":0,"message":"sent"}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer((NAS, WAKE_PORT), Call)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def broadcast_magic(mac):
    packet = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as card:
        card.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        card.sendto(packet, ("192.168.7.255", 9))


def ip(arguments):
    subprocess.run(["ip", *arguments.split()], check=True)


_lan = None


def lan():
    """The network's PC and wake service, made once."""
    global _lan
    if _lan is None:
        ip("link set lo up")
        _lan = Machine(), WakeService()
    return _lan
