"""What every suite of real clients needs: where to call, and a look at the simulated PC behind the proxy.

The suites know three ways to be run (`VIA`): `direct` at the simulator, which proves the stand-in and the suites,
`awake` through the proxy, and `asleep` through the proxy with the PC asleep when a suite begins.
"""

import json
import os
import time
import unittest
import urllib.request

BASE = os.environ["OLLAMA_PROXY_URL"].rstrip("/")
SIMULATOR = os.environ["SIMULATOR_URL"].rstrip("/")
VIA = os.environ.get("VIA", "direct")
CHAT = "llama3.2:3b"
EMBED = "nomic-embed-text:latest"
UNKNOWN = "no-such-model"

through_the_proxy = unittest.skipIf(VIA == "direct", "only the proxy does this")


def simulator(path, body=None):
    """Asks the simulator's control surface, past the proxy."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(SIMULATOR + path, data=data), timeout=60) as answer:
        return json.loads(answer.read() or b"null")


def counters():
    """What the simulator has counted so far."""
    return simulator("/sim/counters")


def wait_until(condition, seconds=60):
    """Waits for a fact; fails the test with the fact's last value when it does not come about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s; counters: {counters()}")
        time.sleep(0.02)


class Suite(unittest.TestCase):
    """A test case that leaves the simulator at its usual pace and without pending failures."""

    def fail_next(self, kind, times=1):
        """The next `times` requests for the GPU fail in this way; what is left of it goes with the test."""
        simulator("/sim/fail", {"next": kind, "times": times})
        self.addCleanup(simulator, "/sim/fail", {"next": kind, "times": 0})

    def slowly(self, tokens=200, gap_ms=50):
        """Answers take `tokens` × `gap_ms` until this test is over."""
        usual = {"tokens": 5, "token_gap_ms": 2}
        simulator("/sim/set", {"tokens": tokens, "token_gap_ms": gap_ms})
        self.addCleanup(simulator, "/sim/set", usual)

    def cancels(self, leave):
        """Asserts that `leave`, which drops an answer half-way, cancels exactly one generation on the PC."""
        before = counters()["generations_cancelled"]
        leave()
        wait_until(lambda: counters()["generations_cancelled"] > before)
        self.assertEqual(counters()["generations_cancelled"], before + 1)
