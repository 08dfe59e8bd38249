"""The image as `docker run` starts it, in front of a PC that sleeps."""

import datetime
import json
import tarfile
import tempfile
import threading
import time
import unittest

from engine import HOME, IMAGE, attempt, docker, eventually, get, inspect, podman, post, run
from network import MAC, MODEL, NAS, PC, WAKE_PORT, lan

WAKE_URL = f"http://{NAS}:{WAKE_PORT}/wol?mac={MAC}"
SEED = (
    f"docker run -d -p 11434:11434 -e OLLAMA_URL=http://{PC}:11434 -e WAKE_URL={WAKE_URL} "
    f"-e TIMEOUT_SECONDS=10 -e PORT=11434 {IMAGE}"
)
BASE = f"http://{NAS}:11434"
HARDENED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]


def listed():
    return [model["model"] for model in json.loads(get(BASE + "/api/tags"))["models"]]


def until_listed():
    """The model is listed and its `show` was read."""
    eventually("the model is listed", lambda: MODEL in listed())
    eventually("its show is held", lambda: post(BASE + "/api/show", {"model": MODEL}, 5).read())


class Container(unittest.TestCase):
    """One container per test, and the PC awake when it starts."""

    def setUp(self):
        self.pc, self.wake_service = lan()
        self.pc.wake()
        podman("rm", "--all", "--force", "--time", "0")

    def tearDown(self):
        if any(error for _, error in getattr(self._outcome, "errors", [])):
            print(attempt("podman", "logs", "proxy").stderr[-6000:])
        podman("rm", "--all", "--force", "--time", "0")

    def start(self, *more, line=SEED):
        docker(line, "--name", "proxy", *more)
        eventually("it answers", lambda: get(BASE + "/"))

    def test_the_usual_line_starts_a_proxy_that_lists_the_models(self):
        self.start()
        self.assertEqual(get(BASE + "/"), "Ollama is running")
        until_listed()

    def test_it_is_an_ordinary_user_without_capabilities_or_writable_files(self):
        self.start(*HARDENED)
        until_listed()
        status = open(f"/proc/{inspect('proxy', '.State.Pid')}/status").read()
        self.assertIn("Uid:\t65532\t65532\t65532\t65532", status)
        self.assertIn("CapEff:\t0000000000000000", status)

    def test_the_health_check_turns_healthy_and_asks_no_sleeping_pc(self):
        self.start(*HARDENED)
        until_listed()
        self.pc.sleep()
        woken = self.pc.status()["woken"]
        podman("healthcheck", "run", "proxy")
        self.assertEqual(json.loads(inspect("proxy", ".State.Health.Status")), "healthy")
        self.assertEqual(self.pc.status()["woken"], woken)

    def test_the_health_check_fails_without_a_proxy(self):
        alone = attempt("podman", "run", "--rm", "--network", "none", IMAGE, "healthcheck")
        self.assertEqual(alone.returncode, 1, alone.stderr)

    def test_the_image_says_how_often_its_health_is_asked(self):
        check = json.loads(inspect(IMAGE, ".HealthCheck"))
        self.assertEqual(check["Test"], ["CMD", "/ollama-proxy", "healthcheck"])
        self.assertEqual((check["Interval"], check["Timeout"], check["Retries"]), (30 * 10**9, 10 * 10**9, 3))

    def test_a_request_wakes_the_pc_by_the_wake_url_and_is_answered(self):
        self.start(*HARDENED)
        until_listed()
        self.pc.sleep()
        calls, woken = self.wake_service.calls, self.pc.status()["woken"]
        self.assertIn(MODEL, listed())
        self.assertEqual((self.wake_service.calls, self.pc.status()["woken"]), (calls, woken))
        began = time.monotonic()
        answer = json.loads(post(BASE + "/api/generate", {"model": MODEL, "prompt": "Hello", "stream": False}).read())
        print(f"answered {time.monotonic() - began:.1f} s after the PC slept", flush=True)
        self.assertTrue(answer["done"])
        self.assertEqual(self.pc.status()["woken"], woken + 1)
        self.assertGreater(self.wake_service.calls, calls)

    def test_what_it_knows_outlives_the_container(self):
        self.start(*HARDENED, "-v", "state:/data")
        until_listed()
        eventually("the state is written", lambda: self.in_volume("state.json"))
        self.pc.sleep()
        woken = self.pc.status()["woken"]
        podman("restart", "proxy")
        eventually("it answers", lambda: get(BASE + "/"))
        self.assertIn(MODEL, listed())
        podman("rm", "--force", "proxy")
        self.start(*HARDENED, "-v", "state:/data")
        self.assertIn(MODEL, listed())
        self.assertEqual(self.pc.status()["woken"], woken)

    def in_volume(self, name):
        folder = podman("volume", "inspect", "--format", "{{.Mountpoint}}", "state")
        return attempt("test", "-s", f"{folder}/{name}").returncode == 0

    def test_it_ends_at_once_and_well_when_it_is_stopped(self):
        self.start(*HARDENED)
        began = time.monotonic()
        podman("stop", "--time", "35", "proxy")
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(inspect("proxy", ".State.ExitCode"), "0")

    def test_an_answer_that_is_running_is_finished_when_it_is_stopped(self):
        self.start(*HARDENED)
        until_listed()
        answer = post(BASE + "/api/generate", {"model": MODEL, "prompt": "Hello"})
        lines = [answer.readline()]
        stopping = threading.Thread(target=podman, args=("stop", "--time", "35", "proxy"))
        stopping.start()
        lines += answer.readlines()
        stopping.join()
        self.assertTrue(json.loads(lines[-1])["done"])
        self.assertGreater(len(lines), 15)
        self.assertEqual(inspect("proxy", ".State.ExitCode"), "0")

    def test_keep_awake_windows_are_local_time(self):
        def calls_within(zone, seconds):
            podman("rm", "--all", "--force", "--time", "0")
            before = self.wake_service.calls
            self.start(*HARDENED, "-e", f"TZ={zone}", "-e", f"KEEP_AWAKE={window}", "-e", "WAKE_INTERVAL=1s")
            self.pc.sleep()
            time.sleep(seconds)
            return self.wake_service.calls - before

        there = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=5, minutes=30)))
        edge = lambda minutes: (there + datetime.timedelta(minutes=minutes)).strftime("%H:%M")
        window = f"{edge(-60)}-{edge(60)}"
        self.assertGreater(calls_within("Asia/Kolkata", 4), 0)
        self.assertEqual(calls_within("UTC", 4), 0)

    def test_it_needs_no_system_call_that_the_systemd_unit_refuses(self):
        profile = HOME / "unit-seccomp.json"
        names = sorted(group("@system-service") - group("@privileged") - group("@resources"))
        allowed = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
        profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": allowed}))
        self.start(*HARDENED, "--security-opt", f"seccomp={profile}", "-v", "state:/data")
        until_listed()
        self.pc.sleep()
        answer = json.loads(post(BASE + "/api/generate", {"model": MODEL, "prompt": "Hello", "stream": False}).read())
        self.assertTrue(answer["done"])
        podman("stop", "--time", "35", "proxy")
        self.assertEqual(inspect("proxy", ".State.ExitCode"), "0")

    def test_the_image_holds_the_program_and_little_else(self):
        self.start()
        with tempfile.NamedTemporaryFile(suffix=".tar", dir=HOME) as archive:
            podman("export", "--output", archive.name, "proxy")
            with tarfile.open(archive.name) as tar:
                files = {member.name: member for member in tar.getmembers() if member.isfile() and member.size}
                licences = tar.extractfile("LICENCES.txt").read().decode()
        program = files["ollama-proxy"].size
        print(f"image {int(inspect(IMAGE, '.Size')) / 1e6:.2f} MB, program {program / 1e6:.2f} MB", flush=True)
        # What the engine puts into every container is none of the image's.
        engines = {"etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/passwd", "etc/group", "run/.containerenv"}
        rest = {name for name in files if not name.startswith("usr/share/zoneinfo/")} - engines
        self.assertEqual(rest, {"ollama-proxy", "etc/ssl/certs/ca-certificates.crt", "LICENCES.txt"})
        # What is linked in asks for its texts to come along.
        self.assertGreater(licences.count("Permission is hereby granted"), 20)
        self.assertIn("The GNU C Library: LGPL", licences)


def group(name):
    """The system calls of a systemd filter group, its nested groups included."""
    calls = set()
    for line in run("systemd-analyze", "syscall-filter", name).splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            calls |= group(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls
