"""The `docker` lines of README.md, as they stand but for the address of the PC."""

import json
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import unittest

from engine import ROOT, attempt, eventually, get, podman, run
from network import MAC, MODEL, NAS, PC, lan

BASE = f"http://{NAS}:11434"
# Brought up by test_compose.py with the lines that follow them; only the engine's own name differs.
COMPOSE = {
    "docker compose up -d",
    "docker compose logs ollama-proxy",
    "docker compose --profile local up -d ollama-proxy-local models_init",
    "docker compose --profile monitoring up -d",
}


def lines():
    """The lines of the README's shell blocks that call docker."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    return [line for block in blocks for line in block.splitlines() if line.startswith("docker ")]


class Readme(unittest.TestCase):
    def setUp(self):
        self.pc, _ = lan()
        self.pc.wake()
        podman("rm", "--all", "--force", "--time", "0")
        self.tried = set(COMPOSE)

    def tearDown(self):
        podman("rm", "--all", "--force", "--time", "0")

    def line(self, part):
        """Runs the README's one line that holds `part`, through podman, and gives what it printed and its exit code."""
        line, *more = [line for line in dict.fromkeys(lines()) if part in line]
        self.assertEqual(more, [], f"several lines hold {part!r}")
        self.tried.add(line)
        done = attempt(*shlex.split(line.replace("docker ", "podman ", 1).replace("192.168.1.20", PC)))
        return done.stdout + done.stderr, done.returncode

    def test_each_line_of_the_readme_works_in_turn(self):
        self.tried.add("docker build -f docker/Dockerfile -t ollama-proxy .")  # what everything here runs
        self.demo()
        said, code = self.line("docker run -d")
        self.assertEqual(code, 0, said)
        eventually("it answers", lambda: get(BASE + "/"))
        eventually("the model is listed", lambda: MODEL in get(BASE + "/api/tags"))
        eventually("the MAC is learnt", lambda: MAC in get(BASE + "/nodes").lower())
        logged = self.line("docker logs ")[0]
        self.assertIn("MAC learnt", logged)
        self.assertIn("model list read", logged)
        self.assertIn("answers: Ollama", self.line("/ollama-proxy check")[0])
        table, code = self.line("/ollama-proxy nodes")
        self.assertEqual(code, 0, table)
        self.assertIn("node1", table)
        self.pc.sleep()
        before = self.pc.status()["woken"]
        woken, code = self.line("/ollama-proxy wake")
        self.assertEqual(code, 0, woken)
        self.assertEqual(self.pc.status()["woken"], before + 1)
        self.several()
        self.saved()
        self.assertEqual(set(lines()) - self.tried, set(), "lines that nothing runs")

    def demo(self):
        """It ends by Ctrl-C, as it says."""
        line = next(line for line in lines() if line.endswith(" demo"))
        self.tried.add(line)
        demo = subprocess.Popen(shlex.split(line.replace("docker", "podman", 1)), stdout=subprocess.DEVNULL)
        try:
            eventually("the demo lists its models", lambda: MODEL in get(BASE + "/api/tags"))
        finally:
            demo.send_signal(signal.SIGINT)
            self.assertEqual(demo.wait(timeout=60), 0)

    def several(self):
        """A node file reaches the data directory of the running container, and counts after the restart."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "node_config.json")
            file.write_text(json.dumps({"nodes": [{"name": "gaming-pc", "hosts": [PC], "wake": {}}]}))
            line = next(line for line in lines() if line.startswith("docker cp"))
            self.tried.add(line)
            run(*shlex.split(line.replace("docker", "podman", 1).replace(file.name, str(file))))
        said, code = self.line("docker restart")
        self.assertEqual(code, 0, said)
        eventually("its node is there", lambda: "gaming-pc" in get(BASE + "/nodes"))

    def saved(self):
        """The file goes to another place than the README's, and can be loaded again."""
        with tempfile.TemporaryDirectory() as folder:
            line = next(line for line in lines() if line.startswith("docker save"))
            self.tried.add(line)
            run(*shlex.split(line.replace("docker", "podman", 1).replace("ollama-proxy.tar", f"{folder}/ollama-proxy.tar")))
            self.assertIn("ollama-proxy", podman("load", "-i", f"{folder}/ollama-proxy.tar"))
