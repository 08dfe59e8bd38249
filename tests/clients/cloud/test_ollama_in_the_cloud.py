"""The unmodified `ollama` package with models of every provider."""

import json
import time
import unittest

import ollama

from cloud import BASE, EMBED, FITS, MODELS, PICTURE, SAYS, SCHEMA, SEEN, THINKS, THOUGHT, Suite

client = ollama.Client(BASE)


def user(words, **more):
    return [{"role": "user", "content": words, **more}]


def weather(city: str) -> str:
    """The weather of a city.

    Args:
      city: its name
    """
    return f"11 degrees in {city}"


class Answers(Suite):
    def test_chat_answers_whole(self):
        for provider, model in self.at_each():
            answer = client.chat(model, messages=user("Hi"), options={"num_predict": 50, "temperature": 0.3})
            self.assertEqual((answer.message.content, answer.model), (SAYS[provider], model))
            self.assertEqual((answer.done, answer.done_reason), (True, "stop"))
            self.assertGreater(answer.eval_count, 0)
            self.assertGreater(answer.total_duration, 0)

    def test_chat_and_generate_stream(self):
        for provider, model in self.at_each():
            parts = list(client.chat(model, messages=user("Hi"), stream=True))
            self.assertEqual("".join(part.message.content for part in parts), SAYS[provider])
            self.assertEqual([part.done for part in parts], [False] * (len(parts) - 1) + [True])
            self.assertGreater(parts[-1].prompt_eval_count, 0)
            parts = list(client.generate(model, "Hi", system="Be brief.", stream=True))
            self.assertEqual("".join(part.response for part in parts), SAYS[provider])

    def test_a_tool_is_called_and_its_answer_told(self):
        for provider, model in self.at_each():
            for stream in (False, True):
                messages = user("call the tool")
                answers = client.chat(model, messages=messages, tools=[weather], stream=stream)
                calls = [call for part in (answers if stream else [answers]) for call in part.message.tool_calls or []]
                self.assertEqual([(call.function.name, dict(call.function.arguments)) for call in calls], [("weather", {"city": "Paris"})])
                messages.append({"role": "assistant", "content": "", "tool_calls": calls})
                messages.append({"role": "tool", "tool_name": "weather", "content": weather(**calls[0].function.arguments)})
                self.assertEqual(client.chat(model, messages=messages, tools=[weather]).message.content, SAYS[provider])

    def test_a_picture_arrives_whole(self):
        for _, model in self.at_each():
            self.assertEqual(client.chat(model, messages=user("What is it?", images=[PICTURE])).message.content, SEEN)
            self.assertEqual(client.generate(model, "What is it?", images=[PICTURE]).response, SEEN)

    def test_an_answer_keeps_a_schema(self):
        for _, model in self.at_each():
            answer = client.chat(model, messages=user("Where?"), format=SCHEMA)
            self.assertEqual(json.loads(answer.message.content), FITS)
            self.assertTrue(client.chat(model, messages=user("Where?"), format="json").done)

    def test_thoughts_are_told_apart(self):
        whole = client.chat(THINKS, messages=user("Hi"), think=True)
        self.assertEqual((whole.message.thinking, whole.message.content), (THOUGHT, "Hello"))
        parts = list(client.chat(THINKS, messages=user("Hi"), think="high", stream=True))
        self.assertEqual("".join(part.message.thinking or "" for part in parts), THOUGHT)
        self.assertIsNone(client.chat(THINKS, messages=user("Hi"), think=False).message.thinking)

    def test_a_conversation_with_thoughts_and_calls_goes_on(self):
        messages = user("call the tool")
        answer = client.chat(THINKS, messages=messages, tools=[weather], think=True)
        messages += [answer.message, {"role": "tool", "tool_name": "weather", "content": "11 degrees"}]
        answer = client.chat(THINKS, messages=messages, tools=[weather], think=True)
        self.assertEqual((answer.message.thinking, answer.message.content), (THOUGHT, "Hello"))

    def test_embeddings_come_from_openai_only(self):
        self.assertEqual(len(client.embed(EMBED, ["sky", "sea"]).embeddings), 2)
        self.assertEqual(list(client.embeddings(EMBED, "sky").embedding), [0.5, -0.25, 0.125])
        with self.assertRaises(ollama.ResponseError) as caught:
            client.embed(THINKS, "sky")
        self.assertEqual(caught.exception.status_code, 400)

    def test_models_are_listed_and_shown(self):
        names = [model.model for model in client.list().models]
        for model in MODELS.values():
            self.assertIn(model, names)
            self.assertIn("completion", client.show(model).capabilities)
        self.assertIn("embedding", client.show(EMBED).capabilities)

    def test_an_empty_prompt_loads_nothing(self):
        for _, model in self.at_each():
            self.assertEqual(client.generate(model, "").done_reason, "load")
            self.assertEqual(client.generate(model, "", keep_alive=0).done_reason, "unload")


class Failures(Suite):
    def refused(self, model, words, **more):
        with self.assertRaises(ollama.ResponseError) as caught:
            answer = client.chat(model, messages=user(words), **more)
            if more.get("stream"):
                list(answer)
        return caught.exception

    def test_a_refused_key_is_502_so_that_nobody_signs_in(self):
        for provider, model in self.at_each():
            fault = self.refused(model, "revoked key")
            self.assertEqual(fault.status_code, 502)
            self.assertIn(f"{provider} refused the proxy's credentials", fault.error)

    def test_limits_and_overload_keep_their_meaning(self):
        for _, model in self.at_each():
            self.assertEqual(self.refused(model, "too fast", stream=True).status_code, 429)
        self.assertEqual(self.refused(MODELS["anthropic"], "too much").status_code, 503)
        self.assertEqual(self.refused("openai/gpt-9", "Hi").status_code, 404)

    def test_an_error_within_a_stream_raises(self):
        for _, model in self.at_each():
            for words in ("first error", "late error"):
                self.assertTrue(self.refused(model, words, stream=True).error)

    def test_leaving_a_stream_ends_the_call(self):
        for provider, model in self.at_each():
            def leave():
                stream = client.chat(model, messages=user("never end"), stream=True)
                next(stream)
                stream.close()

            self.cancels(provider, leave)

    def test_ten_answers_do_not_wait_for_each_other(self):
        endless = [client.chat(model, messages=user("never end"), stream=True) for model in list(MODELS.values()) * 3]
        for stream in endless:
            next(stream)
        began = time.monotonic()
        self.assertTrue(client.chat(MODELS["openai"], messages=user("Hi")).done)
        self.assertLess(time.monotonic() - began, 20)
        for stream in endless:
            stream.close()


if __name__ == "__main__":
    unittest.main()
