"""The compose file as it stands, brought up by a real compose."""

import json
import pathlib
import tempfile
import unittest

import yaml  # podman-compose brings it

from engine import ROOT, TOOLS, attempt, eventually, get, inspect, podman, post, run
from network import MAC, MODEL, NAS, PC, lan

BASE = f"http://{NAS}:11434"
NAME = "ollama-proxy"


def compose(*arguments):
    return run(TOOLS / "podman-compose", "--project-name", "ollama-proxy", *arguments)


class Compose(unittest.TestCase):
    def test_an_old_compose_accepts_both_profiles_too(self):
        alone = yaml.safe_load(run("docker-compose", "config"))
        self.assertEqual(alone["services"]["ollama-proxy"]["network_mode"], "host")
        local = yaml.safe_load(run("docker-compose", "--profile", "local", "config"))
        self.assertEqual(local["services"]["ollama-proxy-local"]["environment"]["OLLAMA_URL"], "http://ollama:11434")

    def test_podman_compose_accepts_both_profiles(self):
        self.assertIn("network_mode: host", compose("config"))
        local = compose("--profile", "local", "config")
        for service in ("ollama:", "ollama-proxy-local:", "models_init:"):
            self.assertIn(service, local)

    def test_both_accept_the_profile_for_monitoring_whose_files_are_all_there(self):
        self.assertIn("grafana:", compose("--profile", "monitoring", "config"))
        services = yaml.safe_load(run("docker-compose", "--profile", "monitoring", "config"))["services"]
        self.assertLessEqual({"ollama-proxy", "prometheus", "grafana"}, set(services))
        self.assertNotIn("ports", services["prometheus"], "it has no password")
        mounted = [volume.split(":")[0] for name in ("prometheus", "grafana") for volume in services[name]["volumes"]]
        files = [pathlib.Path(file) for file in mounted if file.startswith("/")]
        self.assertEqual(len(files), 4)
        for file in files:
            self.assertTrue(file.is_relative_to(ROOT) and file.exists(), file)
        sources = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/ollama-proxy.yml").read_text())["datasources"]
        self.assertEqual([source["url"] for source in sources], ["http://prometheus:9090", "http://host.docker.internal:11434"])
        boards = yaml.safe_load((ROOT / "docker/grafana/provisioning/dashboards/ollama-proxy.yml").read_text())["providers"]
        self.assertIn(boards[0]["options"]["path"], " ".join(services["grafana"]["volumes"]))

    def test_it_comes_up_learns_the_mac_and_wakes_the_pc_by_a_real_magic_packet(self):
        pc, _ = lan()
        pc.wake()
        with tempfile.NamedTemporaryFile("w", suffix=".env") as settings:
            settings.write(f"OLLAMA_URL=http://{PC}:11434\n")
            settings.flush()
            compose("--env-file", settings.name, "up", "-d", "--no-build")
            try:
                self.use(pc)
            except BaseException:
                print(attempt("podman", "logs", NAME).stderr[-6000:])
                raise
            finally:
                compose("--env-file", settings.name, "down", "--volumes")
        self.assertEqual(podman("ps", "--all", "--quiet"), "")

    def use(self, pc):
        eventually("it answers", lambda: get(BASE + "/"))
        eventually("the MAC is learnt", lambda: MAC in get(BASE + "/nodes").lower())
        eventually("the model is listed", lambda: MODEL in get(BASE + "/api/tags"))
        podman("healthcheck", "run", NAME)
        self.assertEqual(json.loads(inspect(NAME, ".State.Health.Status")), "healthy")
        status = open(f"/proc/{inspect(NAME, '.State.Pid')}/status").read()
        self.assertIn("CapEff:\t0000000000000000", status)
        pc.sleep()
        before = pc.status()
        answer = json.loads(post(BASE + "/api/generate", {"model": MODEL, "prompt": "Hello", "stream": False}).read())
        self.assertTrue(answer["done"])
        after = pc.status()
        print(f"magic packets that reached the PC's card: {after['magic'] - before['magic']}", flush=True)
        self.assertEqual(after["woken"], before["woken"] + 1)
        self.assertGreater(after["magic"], before["magic"])
