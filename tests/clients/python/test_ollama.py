"""The unmodified `ollama` package: everything it can ask of a server."""

import asyncio
import base64
import hashlib
import os
import tempfile
import unittest

import httpx
import ollama

from surroundings import BASE, CHAT, EMBED, UNKNOWN, VIA, Suite, counters, through_the_proxy

HELLO = [{"role": "user", "content": "Why is the sky blue?"}]
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Listing(Suite):
    client = ollama.Client(BASE)

    def test_list_names_the_models_with_size_and_digest(self):
        models = {m.model: m for m in self.client.list().models}
        self.assertIn(CHAT, models)
        self.assertIn(EMBED, models)
        self.assertGreater(models[CHAT].size, 1_000_000)
        self.assertRegex(models[CHAT].digest, "^[0-9a-f]{64}$")
        self.assertTrue(models[CHAT].details.parameter_size)

    def test_show_describes_a_model(self):
        shown = self.client.show(CHAT)
        self.assertIn("completion", shown.capabilities)
        self.assertIn("general.architecture", shown.modelinfo)
        self.assertTrue(shown.template)

    def test_show_of_an_unknown_model_says_it_in_ollamas_words(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.show(UNKNOWN)
        self.assertEqual(caught.exception.status_code, 404)
        self.assertEqual(caught.exception.error, f"model '{UNKNOWN}:latest' not found")

    def test_ps_shows_a_model_after_its_use_until_it_is_unloaded(self):
        self.client.generate(CHAT, "hello")
        running = {m.model: m for m in self.client.ps().models}
        self.assertIn(CHAT, running)
        self.assertGreater(running[CHAT].size_vram, 0)
        unloaded = self.client.generate(CHAT, "", keep_alive=0)
        self.assertEqual(unloaded.done_reason, "unload")
        self.assertNotIn(CHAT, [m.model for m in self.client.ps().models])


class Answers(Suite):
    client = ollama.Client(BASE)

    def test_chat_answers_whole(self):
        answer = self.client.chat(CHAT, messages=HELLO)
        self.assertTrue(answer.done)
        self.assertEqual(answer.done_reason, "stop")
        self.assertEqual(answer.model, CHAT)
        self.assertTrue(answer.message.content)
        self.assertGreater(answer.eval_count, 0)

    def test_chat_streams_piece_by_piece(self):
        parts = list(self.client.chat(CHAT, messages=HELLO, stream=True))
        self.assertGreater(len(parts), 2)
        self.assertTrue(all(not part.done for part in parts[:-1]))
        self.assertTrue(parts[-1].done)
        self.assertTrue("".join(part.message.content for part in parts))

    def test_the_model_is_echoed_as_it_was_asked_for(self):
        self.assertEqual(self.client.chat(CHAT.upper(), messages=HELLO).model, CHAT.upper())

    def test_generate_answers_whole_and_streams(self):
        whole = self.client.generate(CHAT, "hello")
        self.assertTrue(whole.done)
        parts = list(self.client.generate(CHAT, "hello", stream=True))
        self.assertEqual("".join(part.response for part in parts), whole.response)
        self.assertTrue(parts[-1].context)

    def test_an_empty_prompt_loads_the_model(self):
        self.assertEqual(self.client.generate(CHAT, "").done_reason, "load")

    def test_tools_are_passed_and_a_call_comes_back(self):
        def get_weather(city: str) -> str:
            """The weather of a city.

            Args:
              city: its name
            """
            return city

        asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
        answer = self.client.chat(CHAT, messages=asked, tools=[get_weather])
        self.assertEqual(answer.message.tool_calls[0].function.name, "get_weather")

    def test_images_are_accepted(self):
        asked = [{"role": "user", "content": "What is this?", "images": [PIXEL]}]
        self.assertTrue(self.client.chat(CHAT, messages=asked).done)
        self.assertTrue(self.client.generate(CHAT, "What is this?", images=[PIXEL]).done)

    def test_a_format_and_options_are_accepted(self):
        schema = {"type": "object", "properties": {"sky": {"type": "string"}}}
        self.assertTrue(self.client.chat(CHAT, messages=HELLO, format="json").done)
        self.assertTrue(self.client.chat(CHAT, messages=HELLO, format=schema, options={"temperature": 0}).done)

    def test_embed_takes_one_text_and_many(self):
        one = self.client.embed(EMBED, "sky").embeddings
        many = self.client.embed(EMBED, ["sky", "sea", "sun"]).embeddings
        self.assertEqual((len(one), len(many)), (1, 3))
        self.assertEqual(one[0], many[0])
        self.assertTrue(self.client.embeddings(EMBED, "sky").embedding)

    def test_an_image_of_many_megabytes_passes(self):
        asked = [{"role": "user", "content": "What is this?", "images": [PIXEL + os.urandom(6_000_000)]}]
        self.assertTrue(self.client.chat(CHAT, messages=asked).done)

    def test_the_asynchronous_client_streams_several_answers_at_once(self):
        async def one(client):
            parts = [part async for part in await client.chat(CHAT, messages=HELLO, stream=True)]
            return parts[-1].done

        async def all_of_them():
            client = ollama.AsyncClient(BASE)
            return await asyncio.gather(*(one(client) for _ in range(8)))

        self.assertEqual(asyncio.run(all_of_them()), [True] * 8)


class Models(Suite):
    client = ollama.Client(BASE)

    def names(self):
        return [m.model for m in self.client.list().models]

    def test_pull_reports_its_progress_and_the_model_is_listed(self):
        steps = list(self.client.pull("pulled-py", stream=True))
        self.addCleanup(self.client.delete, "pulled-py")
        self.assertEqual(steps[0].status, "pulling manifest")
        self.assertTrue(any(step.total and step.completed for step in steps))
        self.assertEqual(steps[-1].status, "success")
        self.assertIn("pulled-py:latest", self.names())

    def test_push_reports_its_progress(self):
        self.assertEqual(list(self.client.push(CHAT, stream=True))[-1].status, "success")

    def test_a_pull_of_nothing_ends_with_the_error_of_the_server(self):
        with self.assertRaises(ollama.ResponseError) as caught:
            list(self.client.pull("missing-py", stream=True))
        self.assertEqual(caught.exception.status_code, -1)

    def test_copy_lists_the_copy_and_delete_takes_it_away(self):
        self.client.copy(CHAT, "copied-py")
        self.assertIn("copied-py:latest", self.names())
        self.client.delete("copied-py")
        self.assertNotIn("copied-py:latest", self.names())

    def test_copy_and_delete_of_an_unknown_model_are_refused(self):
        for act in (lambda: self.client.copy(UNKNOWN, "x"), lambda: self.client.delete(UNKNOWN)):
            with self.assertRaises(ollama.ResponseError) as caught:
                act()
            self.assertEqual(caught.exception.status_code, 404)
            self.assertIn(UNKNOWN, caught.exception.error)

    def test_create_from_a_model_lists_the_new_one(self):
        steps = list(self.client.create("created-py", from_=CHAT, system="Be brief.", stream=True))
        self.addCleanup(self.client.delete, "created-py")
        self.assertEqual(steps[-1].status, "success")
        self.assertIn("created-py:latest", self.names())

    def test_a_blob_is_uploaded_and_its_second_upload_is_answered_early(self):
        with tempfile.NamedTemporaryFile() as file:
            data = os.urandom(24 << 20)
            file.write(data)
            file.flush()
            expected = "sha256:" + hashlib.sha256(data).hexdigest()
            before = counters()["blob_bytes"]
            self.assertEqual(self.client.create_blob(file.name), expected)
            self.assertEqual(counters()["blob_bytes"], before + len(data))
            self.assertEqual(self.client.create_blob(file.name), expected)
            self.assertEqual(counters()["blob_bytes"], before + len(data))


class Failures(Suite):
    client = ollama.Client(BASE)

    def test_an_unknown_model_is_404_in_ollamas_words(self):
        for ask, words in (
            (lambda: self.client.chat(UNKNOWN, messages=HELLO), f"model '{UNKNOWN}' not found"),
            (lambda: list(self.client.chat(UNKNOWN, messages=HELLO, stream=True)), f"model '{UNKNOWN}' not found"),
            (lambda: self.client.generate(UNKNOWN, "hello"), f"model '{UNKNOWN}' not found"),
            (lambda: self.client.embed(UNKNOWN, "hello"), f'model "{UNKNOWN}" not found, try pulling it first'),
        ):
            with self.assertRaises(ollama.ResponseError) as caught:
                ask()
            self.assertEqual((caught.exception.status_code, caught.exception.error), (404, words))

    def test_a_full_queue_is_told_in_ollamas_words(self):
        self.fail_next("busy_503")
        with self.assertRaises(ollama.ResponseError) as caught:
            self.client.chat(CHAT, messages=HELLO)
        self.assertEqual(caught.exception.status_code, 503)
        self.assertEqual(caught.exception.error, "server busy, please try again.  maximum pending requests exceeded")

    def test_leaving_a_stream_cancels_the_generation(self):
        self.slowly()

        def leave():
            stream = self.client.chat(CHAT, messages=HELLO, stream=True)
            next(stream)
            stream.close()

        self.cancels(leave)

    def test_giving_up_on_a_whole_answer_cancels_the_generation(self):
        self.slowly()

        def leave():
            with self.assertRaises(httpx.ReadTimeout):
                ollama.Client(BASE, timeout=1).chat(CHAT, messages=HELLO)

        self.cancels(leave)

    def test_a_stream_that_breaks_off_raises(self):
        expected = httpx.TransportError if VIA == "direct" else ollama.ResponseError
        self.fail_next("reset_mid_stream")
        with self.assertRaises(expected):
            list(self.client.chat(CHAT, messages=HELLO, stream=True))

    def test_an_error_line_of_the_server_raises(self):
        self.fail_next("error_line")
        with self.assertRaises(ollama.ResponseError):
            list(self.client.chat(CHAT, messages=HELLO, stream=True))

    @through_the_proxy
    def test_a_stream_that_ends_without_its_end_mark_raises(self):
        self.fail_next("end_early")
        with self.assertRaises(ollama.ResponseError):
            list(self.client.chat(CHAT, messages=HELLO, stream=True))

    @through_the_proxy
    def test_a_whole_answer_that_breaks_off_raises(self):
        self.fail_next("reset_mid_stream")
        with self.assertRaises(httpx.TransportError):
            self.client.chat(CHAT, messages=HELLO)

    @through_the_proxy
    def test_a_connection_that_dies_before_the_answer_is_made_good(self):
        self.fail_next("close_before_head")
        self.assertTrue(self.client.chat(CHAT, messages=HELLO).done)


if __name__ == "__main__":
    unittest.main()
