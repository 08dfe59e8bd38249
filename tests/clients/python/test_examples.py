"""The scripts of examples/chat, each run as a person runs it, and the table that names them."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from surroundings import BASE, CHAT, UNKNOWN, VIA, Suite, counters, simulator, through_the_proxy

EXAMPLES = pathlib.Path(__file__).resolve().parents[3] / "examples"
SCRIPTS = EXAMPLES / "chat"
PROMPT = 'Say "hello"\\ \t\x01 in two\nlines: 你好, it\'s $HOME `x`'
TOLD = "Answer\nin Latin."
MESSAGES = [{"role": "system", "content": TOLD}, {"role": "user", "content": PROMPT}]
WHOLE = ["ollama.sh", "openai.sh", "ask_ollama.py", "ask_openai.py"]
STREAMED = ["ollama-stream.sh", "openai-stream.sh", "ask_ollama_stream.py", "ask_openai_stream.py"]
OTHERS = ["list.sh", "pull.sh", "warm-up.sh", "all.sh"]


def attempt(script, *arguments, **more):
    """Runs one script; gives how it ended."""
    surroundings = os.environ | {"GATEWAY": BASE + "/", "MODEL": CHAT, "OPENAI_MODEL": CHAT} | more
    return subprocess.run(
        [SCRIPTS / script, *arguments], env=surroundings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )


def run(script, *arguments, **more):
    """Runs one that must end well; gives what it printed."""
    done = attempt(script, *arguments, **more)
    if done.returncode != 0:
        raise AssertionError(f"{script} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Examples(Suite):
    def test_each_asks_word_for_word_what_it_was_given_and_prints_the_answer(self):
        for script in WHOLE + STREAMED:
            with self.subTest(script):
                self.assertRegex(run(script, PROMPT, SYS=TOLD), r"token 1\b.*token 5\b" if script.endswith(".py") else "token")
                asked = json.loads(counters()["last_body"])
                self.assertEqual((asked["model"], asked["messages"]), (CHAT, MESSAGES))
                self.assertEqual(asked.get("stream", False), script in STREAMED)

    def test_the_prompt_may_stand_in_the_environment(self):
        for script in WHOLE:
            with self.subTest(script):
                run(script, PROMPT="from the environment")
                self.assertEqual(json.loads(counters()["last_body"])["messages"][-1]["content"], "from the environment")

    def test_options_reach_ollama(self):
        for script in WHOLE + STREAMED:
            if "ollama" in script:
                with self.subTest(script):
                    run(script, "hello", OPTIONS_JSON='{"num_predict":2}')
                    self.assertEqual(json.loads(counters()["last_body"])["options"], {"num_predict": 2})

    def test_a_model_that_is_not_there_is_a_failure_with_its_reason(self):
        for script in WHOLE + STREAMED + ["warm-up.sh"]:
            with self.subTest(script):
                ended = attempt(script, *([UNKNOWN] if script == "warm-up.sh" else []), MODEL=UNKNOWN, OPENAI_MODEL=UNKNOWN)
                self.assertNotEqual(ended.returncode, 0)
                self.assertIn(UNKNOWN, ended.stdout + ended.stderr)
                self.assertNotIn("Traceback", ended.stderr)

    @through_the_proxy
    def test_an_answer_that_breaks_off_is_a_failure(self):
        for script in STREAMED:
            with self.subTest(script):
                self.fail_next("reset_mid_stream")
                ended = attempt(script, "hello")
                self.assertNotEqual(ended.returncode, 0, ended.stdout)
                self.assertNotIn("Traceback", ended.stderr)

    def test_nobody_at_the_gateway_is_a_failure(self):
        for script in WHOLE + STREAMED + OTHERS:
            with self.subTest(script), tempfile.TemporaryDirectory() as out:
                ended = attempt(script, GATEWAY="http://127.0.0.1:1", OUT=out)
                self.assertNotEqual(ended.returncode, 0)
                self.assertNotIn("Traceback", ended.stderr)

    def test_all_asks_each_and_keeps_the_answers(self):
        with tempfile.TemporaryDirectory() as out:
            said = run("all.sh", "three words", OUT=out)
            kept = sorted(path.name.split("_", 1)[1] for path in pathlib.Path(out).iterdir())
            self.assertEqual(kept, ["ollama-stream.txt", "ollama.txt", "openai-stream.txt", "openai.txt"])
            self.assertTrue(all("token" in path.read_text() for path in pathlib.Path(out).iterdir()))
        self.assertEqual(said.count("==="), 4)

    def test_the_list_names_every_model(self):
        models = {model["model"] for model in simulator("/api/tags")["models"]} if VIA != "asleep" else {CHAT}
        self.assertLessEqual(models, set(run("list.sh").split()))

    def test_a_pull_comes_to_its_end_and_the_model_is_listed(self):
        self.addCleanup(self.remove, "pulled-by-example")
        self.assertIn('"status":"success"', run("pull.sh", "pulled-by-example").replace(" ", ""))
        self.assertIn("pulled-by-example:latest", run("list.sh").split())

    def remove(self, model):
        subprocess.run(["curl", "-sS", "-X", "DELETE", "-d", json.dumps({"model": model}), BASE + "/api/delete"], timeout=30, check=False)

    def test_warm_up_loads_the_model_and_generates_nothing(self):
        before = counters()["generations_started"]
        self.assertIn('"done":true', run("warm-up.sh", KEEP_ALIVE="7m").replace(" ", ""))
        after = counters()
        self.assertEqual(after["generations_started"], before)
        self.assertEqual(json.loads(after["last_body"])["keep_alive"], "7m")

    def test_the_table_names_every_example_and_no_other(self):
        table = (EXAMPLES / "README.md").read_text()
        named = set(re.findall(r"^\| `([^`]*[./][^`]*)`", table, re.M))
        there = {f"chat/{path.name}" for path in SCRIPTS.iterdir() if path.is_file()}
        there |= {path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"}
        there |= {path.parent.name + "/" for path in EXAMPLES.glob("*/main.rs")}
        self.assertEqual(named, there)
        tried = {f"chat/{name}" for name in WHOLE + STREAMED + OTHERS}
        self.assertEqual({name for name in named if name.startswith("chat/")} - {"chat/settings.sh", "chat/settings.py"}, tried)


if __name__ == "__main__":
    unittest.main()
