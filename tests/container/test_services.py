"""Service files of other systems and Kubernetes manifests: held to their formats, and to what the program understands."""

import json
import pathlib
import plistlib
import re
import shlex
import shutil
import tempfile
import unittest
import xml.etree.ElementTree as xml

import kubernetes_validate
import yaml

from engine import ROOT, run
from test_files import UNITS, help_of, unknown_settings

PLIST = ROOT / "docker" / "launchd" / "ollama-proxy.worker.plist"
TASK = ROOT / "docker" / "windows" / "ollama-proxy-worker.xml"
RULES = ROOT / "docker" / "systemd" / "50-ollama-proxy-worker.rules"
WORKER_UNIT = ROOT / "docker" / "systemd" / "ollama-proxy-worker.service"
ECOSYSTEM = ROOT / "examples" / "ecosystem.config.js"
MANIFESTS = ROOT / "docker" / "kubernetes"
TASK_NAMES = {"": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
# A stand-in for polkitd, which hands each rule an action and its subject.
ASK_RULES = """
const rules = [];
const polkit = {Result: {YES: 'yes', NOT_HANDLED: null}, addRule: rule => rules.push(rule)};
new Function('polkit', require('fs').readFileSync(process.argv[1], 'utf8'))(polkit);
const asks = JSON.parse(process.argv[2]);
console.log(JSON.stringify(asks.map(([id, user]) => rules.map(rule => rule({id}, {user}))[0])));
"""


def apps():
    """What PM2 would start."""
    said = run("node", "-e", "console.log(JSON.stringify(require(process.argv[1]).apps))", ECOSYSTEM, env={"OLLAMA_PROXY": "/opt/it"})
    return json.loads(said)


def task():
    return xml.parse(TASK).getroot()


def documents():
    """Every object of the manifests."""
    found = [document for file in sorted(MANIFESTS.glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())]
    assert len(found) >= 6, found
    return found


def pods():
    """The pod of each workload, with its kind."""
    return {d["kind"]: d["spec"]["template"]["spec"] for d in documents() if d["kind"] in ("StatefulSet", "DaemonSet")}


def container(kind, name):
    return next(c for c in pods()[kind]["containers"] if c["name"] == name)


class Services(unittest.TestCase):
    def test_every_command_line_is_one_that_the_program_understands(self):
        lines = [re.search(r"^ExecStart=(.*)$", unit.read_text(), re.M).group(1) for unit in UNITS]
        lines += [shlex.join(plistlib.loads(PLIST.read_bytes())["ProgramArguments"])]
        lines += ["it " + task().find("Actions/Exec/Arguments", TASK_NAMES).text] + ["it " + app["args"] for app in apps()]
        lines += [shlex.join(["it", *container("StatefulSet", "controller")["args"]]), shlex.join(["it", *container("DaemonSet", "worker")["args"]])]
        for line in lines:
            with self.subTest(line):
                command = [word for word in shlex.split(line)[1:2] if word != "serve"]
                said = help_of(*command)
                for flag in re.findall(r"--[a-z-]+", line.split(None, 1)[1] if " " in line else ""):
                    self.assertRegex(said, rf"(?m)^\s+{flag}\b")

    def test_every_setting_they_name_exists(self):
        named = set(plistlib.loads(PLIST.read_bytes())["EnvironmentVariables"])
        named |= {entry["name"] for entry in container("DaemonSet", "worker")["env"]}
        for text in [WORKER_UNIT.read_text(), TASK.read_text(), ECOSYSTEM.read_text()]:
            named |= set(re.findall(r"\b(CONTROLLER_URL|INTERNAL_API_KEY)\b", text))
        self.assertEqual(unknown_settings(named, "worker"), set())
        self.assertEqual(unknown_settings({e["name"] for e in container("StatefulSet", "controller")["env"]}, "controller"), set())

    def test_launchd_starts_the_worker_at_boot_and_again_after_a_crash(self):
        job = plistlib.loads(PLIST.read_bytes())
        self.assertEqual(job["Label"] + ".plist", PLIST.name)
        self.assertTrue(job["RunAtLoad"])
        self.assertEqual(job["KeepAlive"], {"SuccessfulExit": False})
        self.assertNotIn(job["UserName"], ("root", ""))

    def test_the_task_starts_at_boot_without_an_end_on_batteries_too(self):
        self.assertEqual(task().tag, "{%s}Task" % TASK_NAMES[""])
        settings = {part.tag.split("}")[1]: part.text for part in task().find("Settings", TASK_NAMES)}
        self.assertEqual((settings["ExecutionTimeLimit"], settings["DisallowStartIfOnBatteries"], settings["WakeToRun"]), ("PT0S", "false", "false"))
        self.assertIsNotNone(task().find("Triggers/BootTrigger", TASK_NAMES))
        self.assertEqual(task().find("Actions", TASK_NAMES).get("Context"), task().find("Principals/Principal", TASK_NAMES).get("id"))
        self.assertTrue(TASK.read_bytes().isascii())
        self.assertNotIn("encoding", TASK.read_text().splitlines()[0])

    def test_pm2_gets_three_programs_that_are_not_node_s(self):
        self.assertEqual([app["name"] for app in apps()], ["ollama-proxy", "ollama-exporter", "ollama-worker"])
        for app in apps():
            self.assertEqual((app["script"], app["interpreter"]), ("/opt/it", "none"))
            self.assertGreaterEqual(app["kill_timeout"], 30_000)

    def test_polkit_lets_the_worker_hold_and_suspend_and_nobody_else_or_more(self):
        worker, login = "ollama-proxy-worker", "org.freedesktop.login1."
        asks = [
            (login + "inhibit-block-sleep", worker), (login + "suspend", worker), (login + "power-off", worker),
            (login + "suspend-ignore-inhibit", worker), (login + "suspend", "mallory"),
        ]
        with tempfile.TemporaryDirectory() as folder:
            script = shutil.copy(RULES, pathlib.Path(folder, "rules.js"))
            run("node", "--check", script)
            self.assertEqual(json.loads(run("node", "-e", ASK_RULES, script, json.dumps(asks))), ["yes", "yes", None, None, None])
        self.assertIn(f"\nUser={worker}\n", WORKER_UNIT.read_text())


class Kubernetes(unittest.TestCase):
    def test_every_object_is_one_of_kubernetes_and_a_wrong_one_would_be_noticed(self):
        for document in documents():
            kubernetes_validate.validate(document, "1.37", strict=True)
        wrong = next(d for d in documents() if d["kind"] == "StatefulSet")
        wrong["spec"]["replica"] = 2
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, "1.37", strict=True)

    def test_services_and_workloads_find_their_pods(self):
        labels = {d["kind"]: d["spec"]["template"]["metadata"]["labels"] for d in documents() if d["kind"] in ("StatefulSet", "DaemonSet")}
        for document in documents():
            spec = document["spec"]
            selector = spec.get("podSelector", spec.get("selector"))
            selector = selector.get("matchLabels", selector)
            kind = "DaemonSet" if document["metadata"]["name"] == "ollama-worker" else "StatefulSet"
            self.assertEqual(selector, labels[kind], document["metadata"]["name"])

    def test_workers_register_with_each_controller_by_its_own_name(self):
        controllers = next(d for d in documents() if d["kind"] == "StatefulSet")
        service = controllers["spec"]["serviceName"]
        headless = next(d for d in documents() if d["metadata"]["name"] == service)
        self.assertEqual(headless["spec"]["clusterIP"], "None")
        wanted = [f"http://{controllers['metadata']['name']}-{n}.{service}:8000" for n in range(controllers["spec"]["replicas"])]
        urls = next(e["value"] for e in container("DaemonSet", "worker")["env"] if e["name"] == "CONTROLLER_URL")
        self.assertEqual((len(wanted), urls.split(",")), (2, wanted))

    def test_probes_ask_health_at_the_port_that_is_listened_on(self):
        for kind, name in [("StatefulSet", "controller"), ("DaemonSet", "worker")]:
            part = container(kind, name)
            self.assertEqual([port["name"] for port in part["ports"]], ["http"])
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self.assertEqual(part[probe]["httpGet"], {"path": "/health", "port": "http"})
        self.assertEqual(container("DaemonSet", "worker")["ports"][0]["containerPort"], 8001)

    def test_nothing_runs_as_root_writes_its_root_or_holds_a_capability(self):
        for kind, pod in pods().items():
            self.assertTrue(pod["securityContext"]["runAsNonRoot"], kind)
            self.assertFalse(pod["automountServiceAccountToken"], kind)
            for part in pod["containers"] + pod.get("initContainers", []):
                rules = part["securityContext"]
                self.assertTrue(rules["readOnlyRootFilesystem"] and not rules["allowPrivilegeEscalation"], part["name"])
                self.assertEqual(rules["capabilities"]["drop"], ["ALL"])
                # One, which ends before the others begin, gives them their folder.
                self.assertEqual("add" in rules["capabilities"] or "runAsUser" in rules, part["name"] == "models-folder")

    def test_the_key_comes_from_a_secret_and_none_is_written_down(self):
        for kind, name in [("StatefulSet", "controller"), ("DaemonSet", "worker")]:
            entry = next(e for e in container(kind, name)["env"] if e["name"] == "INTERNAL_API_KEY")
            self.assertEqual(entry["valueFrom"]["secretKeyRef"], {"name": "ollama-proxy", "key": "internal-api-key"})
        self.assertNotIn("Secret", [document["kind"] for document in documents()])
