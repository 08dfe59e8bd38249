"""What an open stream costs in memory while it is translated, and that nothing is left of it."""

import http.client
import json
import os
import pathlib
import time
import unittest
import urllib.parse

from cloud import BASE, stand_in

STREAMS = 400
# Five buffers of fixed size, two for each of its connections and one between them, are most of it (33 to 35 KiB in a release
# build); the translation itself takes 3 KiB. The rest is room for a debug build.
MOST_KIB = 48


def resident():
    """KiB of the proxy's own memory."""
    status = pathlib.Path(f"/proc/{os.environ['PROXY_PID']}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def opened(path):
    """A stream that has begun, and stays open."""
    at = urllib.parse.urlsplit(BASE)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    asked = {"model": "openai/gpt-4o-mini", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "stay open"}]}
    connection.request("POST", path, json.dumps(asked))
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read1(9)
    return connection, answer


@unittest.skipUnless(pathlib.Path("/proc/self/status").exists(), "only Linux tells")
class Memory(unittest.TestCase):
    def test_a_translated_stream_takes_little_memory(self):
        for path in ("/api/chat", "/v1/messages"):
            with self.subTest(path):
                warm = [opened(path) for _ in range(50)]
                before = resident()
                streams = [opened(path) for _ in range(STREAMS)]
                each = (resident() - before) / STREAMS
                print(f"{path}: {each:.1f} KiB for each open stream")
                self.assertLess(each, MOST_KIB)
                dropped = stand_in("openai", "/sim/counters")["dropped"]
                for connection, answer in warm + streams:
                    answer.close()
                    connection.close()
                end = time.monotonic() + 60
                while stand_in("openai", "/sim/counters")["dropped"] < dropped + STREAMS + 50:
                    self.assertLess(time.monotonic(), end, "the provider's calls go on")
                    time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
