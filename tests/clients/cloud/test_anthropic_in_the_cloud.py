"""The unmodified `anthropic` package with models of every provider."""

import json
import unittest

import anthropic

from cloud import BASE, FITS, PICTURE_TEXT, SAYS, SCHEMA, SEEN, THINKS, THOUGHT, Suite

client = anthropic.Anthropic(base_url=BASE, api_key="none", max_retries=0)
TOOL = {"name": "weather", "description": "The weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def user(content):
    return [{"role": "user", "content": content}]


def ask(model, content, **more):
    return client.messages.create(model=model, max_tokens=5000, messages=user(content), **more)


class Answers(Suite):
    def test_a_message_is_answered_whole(self):
        for provider, model in self.at_each():
            answer = ask(model, "Hi", system="Be brief.", stop_sequences=["END"])
            self.assertEqual((answer.content[0].text, answer.stop_reason), (SAYS[provider], "end_turn"))
            self.assertGreater(answer.usage.output_tokens, 0)

    def test_a_message_is_streamed_to_its_stop(self):
        for provider, model in self.at_each():
            with client.messages.stream(model=model, max_tokens=50, messages=user("Hi")) as stream:
                self.assertEqual("".join(stream.text_stream), SAYS[provider])
                final = stream.get_final_message()
            self.assertEqual(final.stop_reason, "end_turn")
            self.assertGreater(final.usage.output_tokens, 0)

    def test_a_tool_is_called_and_its_answer_told(self):
        for provider, model in self.at_each():
            with client.messages.stream(model=model, max_tokens=50, messages=user("call the tool"), tools=[TOOL]) as stream:
                streamed = stream.get_final_message()
            for answer in (streamed, ask(model, "call the tool", tools=[TOOL])):
                call = next(block for block in answer.content if block.type == "tool_use")
                self.assertEqual((answer.stop_reason, call.name, call.input), ("tool_use", "weather", {"city": "Paris"}))
                told = {"type": "tool_result", "tool_use_id": call.id, "content": "11 degrees"}
                messages = user("call the tool") + [{"role": "assistant", "content": answer.content}, *user([told])]
                again = client.messages.create(model=model, max_tokens=50, messages=messages, tools=[TOOL])
                self.assertEqual(again.content[-1].text, SAYS[provider])

    def test_a_picture_arrives_whole(self):
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE_TEXT}}
        for _, model in self.at_each():
            self.assertEqual(ask(model, [image, {"type": "text", "text": "What is it?"}]).content[0].text, SEEN)

    def test_an_answer_keeps_a_schema(self):
        # Anthropic's own refuses an open schema, so here it is closed.
        closed = {"type": "object", "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}}, "additionalProperties": False}
        for _, model in self.at_each():
            answer = ask(model, "Where?", output_config={"format": {"type": "json_schema", "schema": closed}})
            self.assertEqual(json.loads(answer.content[0].text), FITS)

    def test_thoughts_come_signed_and_go_back(self):
        thinking = {"type": "enabled", "budget_tokens": 2000}
        answer = ask(THINKS, "call the tool", thinking=thinking, tools=[TOOL])
        self.assertEqual((answer.content[0].type, answer.content[0].thinking), ("thinking", THOUGHT))
        told = {"type": "tool_result", "tool_use_id": answer.content[-1].id, "content": "11 degrees"}
        messages = user("call the tool") + [{"role": "assistant", "content": answer.content}, *user([told])]
        again = client.messages.create(model=THINKS, max_tokens=5000, messages=messages, tools=[TOOL], thinking=thinking)
        self.assertEqual(again.stop_reason, "end_turn")

    def test_thinking_that_a_model_cannot_do_is_left_out(self):
        for provider, model in self.at_each(("openai", "azure")):
            answer = ask(model, "Hi", thinking={"type": "enabled", "budget_tokens": 2000})
            self.assertEqual(answer.content[-1].text, SAYS[provider])

    def test_tokens_are_counted(self):
        for provider, model in self.at_each():
            counted = client.messages.count_tokens(model=model, messages=user("Hi, how are you?")).input_tokens
            self.assertEqual(counted, 42) if provider == "anthropic" else self.assertIn(counted, range(1, 20))


class Failures(Suite):
    def test_a_refused_key_is_502(self):
        for _, model in self.at_each():
            with self.assertRaises(anthropic.APIStatusError) as caught:
                ask(model, "revoked key")
            self.assertEqual(caught.exception.status_code, 502)
            self.assertIn("check its API key", str(caught.exception))

    def test_a_limit_says_when_to_come_again(self):
        for _, model in self.at_each():
            with self.assertRaises(anthropic.RateLimitError) as caught:
                ask(model, "too fast")
            self.assertEqual(caught.exception.response.headers["retry-after"], "7")

    def test_overload_is_told_in_its_own_words(self):
        with self.assertRaises(anthropic.APIStatusError) as caught:
            ask(THINKS, "too much")
        self.assertEqual(caught.exception.body["error"]["type"], "overloaded_error")

    def test_an_error_within_a_stream_raises(self):
        for _, model in self.at_each():
            for words in ("first error", "late error"):
                with self.assertRaises(anthropic.APIError):
                    list(ask(model, words, stream=True))

    def test_leaving_a_stream_ends_the_call(self):
        for provider, model in self.at_each():
            def leave():
                with client.messages.stream(model=model, max_tokens=50, messages=user("never end")) as stream:
                    next(iter(stream.text_stream))

            self.cancels(provider, leave)


if __name__ == "__main__":
    unittest.main()
