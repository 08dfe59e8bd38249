"""The unmodified `anthropic` package against Ollama's Messages route."""

import unittest

import anthropic

from surroundings import BASE, CHAT, UNKNOWN, Suite, through_the_proxy

ASKED = {"model": CHAT, "max_tokens": 64, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}


client = anthropic.Anthropic(base_url=BASE, api_key="ollama", max_retries=0)


class Answers(Suite):
    def test_a_message_is_answered_whole(self):
        answer = client.messages.create(**ASKED)
        self.assertEqual(answer.content[0].type, "text")
        self.assertTrue(answer.content[0].text)
        self.assertGreater(answer.usage.output_tokens, 0)

    def test_a_message_is_streamed_to_its_stop(self):
        with client.messages.stream(**ASKED) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertTrue(text)
        self.assertEqual(final.content[0].text, text)
        self.assertIn(final.stop_reason, ("end_turn", "max_tokens"))

    def test_the_raw_events_begin_and_end_as_they_should(self):
        kinds = [event.type for event in client.messages.create(**ASKED, stream=True)]
        self.assertEqual(kinds[0], "message_start")
        self.assertEqual(kinds[-1], "message_stop")
        self.assertIn("content_block_delta", kinds)

    def test_tools_are_passed_and_a_call_comes_back(self):
        tool = {"name": "get_weather", "description": "The weather", "input_schema": {"type": "object", "properties": {}}}
        asked = ASKED | {"messages": [{"role": "user", "content": "What is the weather in Oslo?"}], "tools": [tool]}
        answer = client.messages.create(**asked)
        self.assertEqual(answer.stop_reason, "tool_use")
        self.assertIn("get_weather", [block.name for block in answer.content if block.type == "tool_use"])


class Failures(Suite):
    def test_an_unknown_model_is_404_in_ollamas_words(self):
        with self.assertRaises(anthropic.NotFoundError) as caught:
            client.messages.create(**ASKED | {"model": UNKNOWN})
        self.assertEqual(caught.exception.body["error"]["type"], "not_found_error")
        self.assertEqual(caught.exception.body["error"]["message"], f"model '{UNKNOWN}' not found")

    def test_a_full_queue_is_503_overloaded(self):
        self.fail_next("busy_503")
        with self.assertRaises(anthropic.APIStatusError) as caught:
            client.messages.create(**ASKED)
        self.assertEqual(caught.exception.status_code, 503)
        self.assertEqual(caught.exception.body["error"]["type"], "overloaded_error")

    def test_leaving_a_stream_cancels_the_generation(self):
        self.slowly()

        def leave():
            with client.messages.stream(**ASKED) as stream:
                next(iter(stream.text_stream))

        self.cancels(leave)

    @through_the_proxy
    def test_a_stream_that_breaks_off_raises_with_the_reason(self):
        for kind in ("reset_mid_stream", "end_early"):
            self.fail_next(kind)
            with self.subTest(kind), self.assertRaises(anthropic.APIError) as caught:
                list(client.messages.create(**ASKED, stream=True))
            self.assertTrue(str(caught.exception))


if __name__ == "__main__":
    unittest.main()
