"""What the suites against cloud models share: the models by provider, and a look at the stand-ins behind the proxy."""

import base64
import json
import os
import struct
import time
import unittest
import urllib.request
import zlib

BASE = os.environ["OLLAMA_PROXY_URL"].rstrip("/")
STAND_INS = {name: os.environ[f"{name.upper()}_STAND_IN"] for name in ("openai", "anthropic")}
STAND_INS["azure"] = STAND_INS["openai"]
MODELS = {"openai": "openai/gpt-4o-mini", "azure": "azure/mini", "anthropic": "anthropic/claude-first"}
SAYS = {"openai": "Hello there ü", "azure": "Hello there ü", "anthropic": "Hello"}
EMBED = "openai/text-embedding-3-small"
THINKS = "anthropic/claude-first"
THOUGHT = "A greeting, so I greet."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "integer", "minimum": -90}}}
FITS = {"city": "Paris", "degrees": 7}


def picture():
    """A PNG file of one pixel, made here."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")


PICTURE = picture()
PICTURE_TEXT = base64.b64encode(PICTURE).decode()
SEEN = f"I see image/png of {len(PICTURE)} bytes"


def stand_in(provider, path):
    with urllib.request.urlopen(STAND_INS[provider] + path, timeout=60) as answer:
        return json.loads(answer.read())


class Suite(unittest.TestCase):
    def at_each(self, providers=MODELS):
        """Runs the rest of a loop once per provider, each as a test of its own."""
        for provider in providers:
            with self.subTest(provider):
                yield provider, MODELS[provider]

    def cancels(self, provider, leave):
        """Asserts that `leave`, which drops an endless answer, ends the call of the provider."""
        before = stand_in(provider, "/sim/counters")["dropped"]
        leave()
        end = time.monotonic() + 60
        while stand_in(provider, "/sim/counters")["dropped"] == before:
            self.assertLess(time.monotonic(), end, "the provider's call goes on")
            time.sleep(0.02)
