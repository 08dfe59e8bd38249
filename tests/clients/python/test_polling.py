"""What home automation and chat pages ask without being asked: lists, again and again, with little patience.

Home Assistant polls `/api/tags` and `/api/ps` with a limit of 5 s each and calls the server unavailable otherwise.
Open WebUI drops a server with all its models when one `/api/tags` fails, and reads the version as dotted numbers.
"""

import concurrent.futures
import json
import re
import time
import unittest
import urllib.error
import urllib.request

from surroundings import BASE, CHAT, UNKNOWN, VIA, Suite, counters

LIMIT = 5.0


def get(path, **headers):
    """One GET as these programs make it; returns the parsed body and the seconds it took."""
    began = time.monotonic()
    with urllib.request.urlopen(urllib.request.Request(BASE + path, headers=headers), timeout=LIMIT) as answer:
        return json.loads(answer.read()), time.monotonic() - began


def post(path, body):
    """One POST with a JSON body; returns the parsed answer."""
    asked = urllib.request.Request(BASE + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=LIMIT) as answer:
        return json.loads(answer.read())


class Polling(Suite):
    def test_home_assistant_always_finds_its_models_in_time(self):
        for _ in range(10):
            tags, _ = get("/api/tags")
            self.assertIn(CHAT, [model["model"] for model in tags["models"]])
            ps, _ = get("/api/ps")
            self.assertIsInstance(ps["models"], list)

    def test_open_webui_reads_the_version_as_numbers(self):
        version, _ = get("/api/version")
        numbers = [int(part) for part in re.sub(r"^v|-.*", "", version["version"]).split(".")]
        self.assertGreaterEqual(numbers, [0, 6, 4])

    def test_open_webui_loads_lists_for_many_pages_at_once(self):
        before = counters() if VIA != "asleep" else None
        with concurrent.futures.ThreadPoolExecutor(16) as pages:
            answers = list(pages.map(lambda i: get(["/api/tags", "/api/ps", "/v1/models", "/api/version"][i % 4]), range(160)))
        slowest = max(seconds for _, seconds in answers)
        self.assertLess(slowest, LIMIT)
        if before:
            self.assertEqual(counters()["generations_started"], before["generations_started"])

    def test_editors_find_the_capabilities_of_each_model(self):
        tags, _ = get("/api/tags")
        for model in tags["models"]:
            shown = post("/api/show", {"name": model["name"]})
            self.assertIsInstance(shown["model_info"], dict)
            self.assertTrue(shown["capabilities"])

    def test_a_model_that_is_not_there_is_told_at_once(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            post("/api/show", {"model": UNKNOWN})
        self.assertEqual(caught.exception.code, 404)

    def test_stopping_a_model_is_answered_at_once(self):
        answer = post("/api/generate", {"model": CHAT, "keep_alive": 0})
        self.assertEqual((answer["done"], answer["done_reason"]), (True, "unload"))


if __name__ == "__main__":
    unittest.main()
