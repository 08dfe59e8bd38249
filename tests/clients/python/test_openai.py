"""The unmodified `openai` package against Ollama's OpenAI routes."""

import io
import struct
import unittest
import wave

import ollama
import openai

from surroundings import BASE, CHAT, EMBED, UNKNOWN, Suite, through_the_proxy

HELLO = [{"role": "user", "content": "Why is the sky blue?"}]


def spoken():
    """A second of silence as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(struct.pack("<h", 0) * 16_000)
    file.seek(0)
    file.name = "spoken.wav"
    return file


client = openai.OpenAI(base_url=BASE + "/v1", api_key="ollama", max_retries=0)


class Answers(Suite):
    def test_models_are_listed_and_retrieved(self):
        ids = [model.id for model in client.models.list()]
        self.assertIn(CHAT, ids)
        self.assertEqual(client.models.retrieve(CHAT).id, CHAT)
        with self.assertRaises(openai.NotFoundError):
            client.models.retrieve(UNKNOWN)

    def test_chat_answers_whole(self):
        answer = client.chat.completions.create(model=CHAT, messages=HELLO)
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.total_tokens, 0)

    def test_chat_streams_with_usage_at_the_end(self):
        asked = {"model": CHAT, "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**asked))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertTrue(text)
        self.assertIn("stop", [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_tools_are_passed_and_a_call_comes_back(self):
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
        asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
        answer = client.chat.completions.create(model=CHAT, messages=asked, tools=[tool])
        self.assertEqual(answer.choices[0].message.tool_calls[0].function.name, "get_weather")

    def test_images_and_formats_are_accepted(self):
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        asked = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture]}]
        answer = client.chat.completions.create(model=CHAT, messages=asked, response_format={"type": "json_object"})
        self.assertTrue(answer.choices[0].finish_reason)

    def test_completions_answer_whole_and_stream(self):
        self.assertTrue(client.completions.create(model=CHAT, prompt="hello").choices[0].text)
        chunks = list(client.completions.create(model=CHAT, prompt="hello", stream=True))
        self.assertTrue("".join(chunk.choices[0].text for chunk in chunks if chunk.choices))

    def test_embeddings_come_as_numbers_and_packed(self):
        packed = client.embeddings.create(model=EMBED, input=["sky", "sea"])
        plain = client.embeddings.create(model=EMBED, input=["sky", "sea"], encoding_format="float")
        self.assertEqual(len(packed.data), 2)
        for one, other in zip(packed.data[0].embedding, plain.data[0].embedding, strict=True):
            self.assertAlmostEqual(one, other, places=5)

    def test_responses_answer_whole(self):
        answer = client.responses.create(model=CHAT, input="Why is the sky blue?")
        self.assertEqual(answer.status, "completed")
        self.assertTrue(answer.output_text)

    def test_responses_stream_until_completed(self):
        events = list(client.responses.create(model=CHAT, input="Why is the sky blue?", stream=True))
        kinds = [event.type for event in events]
        self.assertEqual(kinds[0], "response.created")
        self.assertEqual(kinds[-1], "response.completed")
        self.assertIn("response.output_text.delta", kinds)

    def test_speech_is_transcribed(self):
        native = ollama.Client(BASE)
        native.pull("whisper")
        self.addCleanup(native.delete, "whisper")
        self.assertTrue(client.audio.transcriptions.create(model="whisper", file=spoken()).text)
        plain = client.audio.transcriptions.create(model="whisper", file=spoken(), response_format="text")
        self.assertIsInstance(plain, str)


class Failures(Suite):
    def test_an_unknown_model_is_404_in_ollamas_words(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=UNKNOWN, messages=HELLO)
        self.assertEqual(caught.exception.body["message"], f"model '{UNKNOWN}' not found")
        self.assertEqual(caught.exception.body["type"], "not_found_error")

    def test_a_full_queue_is_503(self):
        self.fail_next("busy_503")
        with self.assertRaises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=CHAT, messages=HELLO)
        self.assertEqual(caught.exception.status_code, 503)
        self.assertIn("server busy", caught.exception.body["message"])

    def test_a_full_queue_is_asked_again_by_a_client_that_may(self):
        self.fail_next("busy_503")
        answer = client.with_options(max_retries=2).chat.completions.create(model=CHAT, messages=HELLO)
        self.assertTrue(answer.choices[0].message.content)

    def test_leaving_a_stream_cancels_the_generation(self):
        self.slowly()

        def leave():
            stream = client.chat.completions.create(model=CHAT, messages=HELLO, stream=True)
            next(iter(stream))
            stream.close()

        self.cancels(leave)

    def test_a_client_that_gives_up_cancels_the_generation(self):
        self.slowly()

        def leave():
            with self.assertRaises(openai.APITimeoutError):
                client.with_options(timeout=1).chat.completions.create(model=CHAT, messages=HELLO)

        self.cancels(leave)

    @through_the_proxy
    def test_a_stream_that_breaks_off_raises_with_the_reason(self):
        for kind in ("reset_mid_stream", "end_early"):
            self.fail_next(kind)
            with self.subTest(kind), self.assertRaises(openai.APIError) as caught:
                list(client.chat.completions.create(model=CHAT, messages=HELLO, stream=True))
            self.assertTrue(str(caught.exception))

    @through_the_proxy
    def test_a_response_stream_that_breaks_off_raises_or_fails(self):
        self.fail_next("reset_mid_stream")
        try:
            events = list(client.responses.create(model=CHAT, input="hello", stream=True))
        except openai.APIError:
            return
        self.assertIn(events[-1].type, ("error", "response.failed"))


if __name__ == "__main__":
    unittest.main()
