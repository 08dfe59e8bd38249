"""What the unmodified packages make of a PC that cannot be woken: one readable error, and no second try of the wake.

Both SDKs repeat a 503 or 504 twice unless they are told not to, and would wait for the whole wake each time.
"""

import time
import unittest

import anthropic
import ollama
import openai

from surroundings import BASE, CHAT, Suite

HELLO = [{"role": "user", "content": "Why is the sky blue?"}]


class FirstAsk(Suite):
    def test_the_vain_wake_is_504_and_the_next_ask_is_503_at_once(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            ollama.Client(BASE).chat(CHAT, messages=HELLO)
        self.assertEqual(caught.exception.status_code, 504)
        self.assertIn("node1", caught.exception.error)
        began = time.monotonic()
        with self.assertRaises(ollama.ResponseError) as caught:
            list(ollama.Client(BASE).generate(CHAT, "hello", stream=True))
        self.assertEqual(caught.exception.status_code, 503)
        # Not after another vain wake of 4 s.
        self.assertLess(time.monotonic() - began, 3.5)


class LaterAsks(Suite):
    def assert_told_once(self, fault):
        """503 or 504, the PC named, and the request was the only one."""
        self.assertIn(fault.status_code, (503, 504))
        self.assertIn("node1", str(fault))
        self.assertEqual(fault.request.headers["x-stainless-retry-count"], "0")
        self.assertEqual(fault.response.headers["x-should-retry"], "false")
        self.assertGreater(int(fault.response.headers["retry-after"]), 0)

    def test_openai_raises_without_trying_again(self):
        client = openai.OpenAI(base_url=BASE + "/v1", api_key="ollama")
        for stream in (False, True):
            with self.assertRaises(openai.APIStatusError) as caught:
                client.chat.completions.create(model=CHAT, messages=HELLO, stream=stream)
            self.assert_told_once(caught.exception)

    def test_anthropic_raises_without_trying_again(self):
        client = anthropic.Anthropic(base_url=BASE, api_key="ollama")
        with self.assertRaises(anthropic.APIStatusError) as caught:
            client.messages.create(model=CHAT, max_tokens=8, messages=HELLO)
        self.assert_told_once(caught.exception)

    def test_the_list_is_still_there(self):
        self.assertIn(CHAT, [m.model for m in ollama.Client(BASE).list().models])
        self.assertTrue(ollama.Client(BASE).show(CHAT).modelinfo)


if __name__ == "__main__":
    unittest.main()
