"""The unmodified `openai` package with models of every provider."""

import json
import unittest

import openai
import pydantic

from cloud import BASE, EMBED, FITS, MODELS, PICTURE_TEXT, SAYS, SCHEMA, SEEN, THINKS, THOUGHT, Suite

client = openai.OpenAI(base_url=BASE + "/v1", api_key="none", max_retries=0)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": PARAMETERS}}


class Place(pydantic.BaseModel):
    city: str
    degrees: int


def user(content):
    return [{"role": "user", "content": content}]


def ask(model, content, **more):
    return client.chat.completions.create(model=model, messages=user(content), **more)


class Answers(Suite):
    def test_chat_answers_whole(self):
        for provider, model in self.at_each():
            answer = ask(model, "Hi", max_completion_tokens=50, temperature=0.3, n=1)
            self.assertEqual(answer.choices[0].message.content, SAYS[provider])
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            self.assertGreater(answer.usage.total_tokens, 0)

    def test_chat_streams_with_its_usage(self):
        for provider, model in self.at_each():
            chunks = list(ask(model, "Hi", stream=True, stream_options={"include_usage": True}))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices and chunk.choices[0].delta)
            self.assertEqual(text, SAYS[provider])
            self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_the_streaming_helper_adds_an_answer_up(self):
        for provider, model in self.at_each(("openai", "anthropic")):
            with client.chat.completions.stream(model=model, messages=user("call the tool"), tools=[TOOL]) as stream:
                kinds = {event.type for event in stream}
                final = stream.get_final_completion()
            self.assertIn("tool_calls.function.arguments.done", kinds)
            self.assertEqual(json.loads(final.choices[0].message.tool_calls[0].function.arguments), {"city": "Paris"})

    def test_a_tool_is_called_and_its_answer_told(self):
        for provider, model in self.at_each():
            answer = ask(model, "call the tool", tools=[TOOL], tool_choice="auto")
            message = answer.choices[0].message
            self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
            call = message.tool_calls[0]
            told = {"role": "tool", "tool_call_id": call.id, "content": "11 degrees"}
            messages = user("call the tool") + [message.model_dump(exclude_none=True), told]
            again = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])
            self.assertEqual(again.choices[0].message.content, SAYS[provider])

    def test_a_picture_arrives_whole(self):
        url = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PICTURE_TEXT}}
        for _, model in self.at_each():
            answer = ask(model, [{"type": "text", "text": "What is it?"}, url])
            self.assertEqual(answer.choices[0].message.content, SEEN)

    def test_an_answer_keeps_a_schema(self):
        for _, model in self.at_each():
            parsed = client.chat.completions.parse(model=model, messages=user("Where?"), response_format=Place)
            self.assertEqual(parsed.choices[0].message.parsed, Place(**FITS))
            loose = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
            self.assertEqual(json.loads(ask(model, "Where?", response_format=loose).choices[0].message.content), FITS)

    def test_an_effort_makes_a_model_of_anthropics_think(self):
        message = ask(THINKS, "Hi", reasoning_effort="low").choices[0].message
        self.assertEqual((message.reasoning, message.content), (THOUGHT, "Hello"))

    def test_a_conversation_with_thoughts_and_calls_goes_on(self):
        first = ask(THINKS, "call the tool", tools=[TOOL], reasoning_effort="low").choices[0].message
        told = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "11 degrees"}
        said = {"role": "assistant", "tool_calls": [call.model_dump() for call in first.tool_calls]}
        messages = user("call the tool") + [said, told]
        answer = client.chat.completions.create(model=THINKS, messages=messages, tools=[TOOL], reasoning_effort="low")
        self.assertEqual(answer.choices[0].message.reasoning, THOUGHT)

    def test_embeddings_come_packed_and_as_numbers(self):
        for encoding in ({}, {"encoding_format": "float"}):
            answer = client.embeddings.create(model=EMBED, input=["sky", "sea"], **encoding)
            self.assertEqual([item.embedding for item in answer.data], [[0.5, -0.25, 0.125]] * 2)
        with self.assertRaises(openai.BadRequestError):
            client.embeddings.create(model=THINKS, input="sky")

    def test_models_are_listed_and_retrieved(self):
        ids = [model.id for model in client.models.list()]
        for model in MODELS.values():
            self.assertIn(model, ids)
            self.assertEqual(client.models.retrieve(model).id, model)

    def test_responses_reach_openai_and_azure_only(self):
        for provider, model in self.at_each():
            if provider == "anthropic":
                with self.assertRaises(openai.BadRequestError):
                    client.responses.create(model=model, input="Hi")
                continue
            self.assertEqual(client.responses.create(model=model, input="Hi").output_text, "Hi")
            kinds = [event.type for event in client.responses.create(model=model, input="Hi", stream=True)]
            self.assertEqual((kinds[0], kinds[-1]), ("response.created", "response.completed"))


class Failures(Suite):
    def test_a_refused_key_is_502(self):
        for _, model in self.at_each():
            with self.assertRaises(openai.InternalServerError) as caught:
                ask(model, "revoked key")
            self.assertEqual(caught.exception.status_code, 502)
            self.assertIn("check its API key", str(caught.exception))

    def test_a_limit_says_when_to_come_again(self):
        for _, model in self.at_each():
            with self.assertRaises(openai.RateLimitError) as caught:
                ask(model, "too fast", stream=True)
            self.assertEqual(caught.exception.response.headers["retry-after"], "7")

    def test_an_unknown_model_is_404(self):
        for model in ("openai/gpt-9", "anthropic/claude-9"):
            with self.assertRaises(openai.NotFoundError):
                ask(model, "Hi")

    def test_an_error_within_a_stream_raises(self):
        for _, model in self.at_each():
            for words in ("first error", "late error"):
                with self.assertRaises(openai.APIError):
                    list(ask(model, words, stream=True))

    def test_leaving_a_stream_ends_the_call(self):
        for provider, model in self.at_each():
            def leave():
                stream = ask(model, "never end", stream=True)
                next(iter(stream))
                stream.close()

            self.cancels(provider, leave)


if __name__ == "__main__":
    unittest.main()
