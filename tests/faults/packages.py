"""Real clients in the traffic of the fault laboratory: the unmodified ollama, openai and anthropic packages, judged by what they
hand their users.

They run in a network namespace and are spoken to as lab_traffic is (tests/faults/traffic/main.rs): `all`, `lookups`, `none`,
`busy` and `tally`, one line of answer each, until standard input closes.

Usage: packages.py ADDRESS NAME CLIENTS SEED BOUND_SECONDS
"""

import json
import random
import sys
import threading
import time

import anthropic
import ollama
import openai

ADDRESS, NAME, CLIENTS, SEED, BOUND = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
MODELS = ["llama3.2:3b"] * 3 + ["deep:7b", "wide:7b", "openai/gpt-4o-mini", "anthropic/claude-second"]
# The bound of one request; a package's own patience must not end it earlier, nor may it try again by itself.
PATIENCE = BOUND + 30

lock = threading.Lock()
mode = "none"
busy = 0
number = 0
tally = {"counts": {}, "stories": [], "longest_ms": 0}


class Odd(Exception):
    """An answer that no error explains."""


def clients():
    url = f"http://{ADDRESS}"
    return (
        ollama.Client(host=url, timeout=PATIENCE),
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=PATIENCE),
        anthropic.Anthropic(base_url=url, api_key="x", max_retries=0, timeout=PATIENCE),
    )


def leave(tools):
    tools[0]._client.close()
    tools[1].close()
    tools[2].close()


def ask_chat(tools, model, prompt, tokens, stream):
    answer = tools[0].chat(model, [{"role": "user", "content": prompt}], stream=stream, options={"num_predict": tokens})
    for part in answer if stream else [answer]:
        yield part.message.content or ""


def ask_generate(tools, model, prompt, tokens, stream):
    answer = tools[0].generate(model, prompt, stream=stream, options={"num_predict": tokens})
    for part in answer if stream else [answer]:
        yield part.response or ""


def ask_openai(tools, model, prompt, tokens, stream):
    messages = [{"role": "user", "content": prompt}]
    answer = tools[1].chat.completions.create(model=model, messages=messages, max_tokens=tokens, stream=stream)
    if not stream:
        yield answer.choices[0].message.content
        return
    for part in answer:
        if part.choices:
            yield part.choices[0].delta.content or ""


def ask_anthropic(tools, model, prompt, tokens, stream):
    messages = [{"role": "user", "content": prompt}]
    answer = tools[2].messages.create(model=model, messages=messages, max_tokens=tokens, stream=stream)
    if not stream:
        yield answer.content[0].text
        return
    for part in answer:
        if part.type == "content_block_delta":
            yield part.delta.text


ROUTES = {"ollama chat": ask_chat, "ollama generate": ask_generate, "openai": ask_openai, "anthropic": ask_anthropic}
LISTS = {
    "ollama list": lambda tools: [model.model for model in tools[0].list().models],
    "ollama show": lambda tools: [tools[0].show("hidden:1b") and "hidden:1b"],
    "openai models": lambda tools: [model.id for model in tools[1].models.list()],
}


def is_a(fault, *names):
    """Whether it is of such a class of httpx, of which each package may bring its own."""
    return any(kind.__name__ in names for kind in type(fault).__mro__)


def verdict(fault, stream):
    """What a package's error says: the same judgements as the traffic program's."""
    status = getattr(fault, "status_code", None)
    if isinstance(fault, ollama.ResponseError):
        return "Refused" if status and status >= 400 else "Marked"
    if isinstance(fault, openai.APIStatusError | anthropic.APIStatusError):
        return "Refused" if status >= 400 else "Marked"
    cause = fault.__cause__ if isinstance(fault, openai.APIConnectionError | anthropic.APIConnectionError) else fault
    if is_a(cause, "TimeoutException"):
        return "Late"
    if is_a(cause, "HTTPError", "ConnectionError"):
        words = str(cause)
        if is_a(cause, "ReadError") or "incomplete" in words or "complete message" in words:
            # A whole answer may end with its connection; a stream has to say why.
            return "Cut" if stream else "Aborted"
        return "Nothing"
    if isinstance(fault, openai.APIError | anthropic.APIError):
        return "Marked"
    return "Wrong"


def note(began, verdict, key, what):
    global tally
    ended = int(time.time() * 1000)
    with lock:
        key = f"{verdict} {key}"
        tally["counts"][key] = tally["counts"].get(key, 0) + 1
        tally["longest_ms"] = max(tally["longest_ms"], ended - began)
        if verdict not in ("Whole", "Refused", "Marked", "Aborted"):
            tally["stories"].append({"began": began, "ended": ended, "verdict": verdict, "what": f"{key}: {what}"})


def infer(tools, dice):
    global number
    with lock:
        number += 1
        tag = f"{NAME}-{number}"
    route, model, tokens, stream = dice.choice(list(ROUTES)), dice.choice(MODELS), dice.randint(3, 40), dice.random() < 0.7
    expected = "".join(f"{tag} {count} " for count in range(1, tokens + 1))
    key = f"package {route} {'stream' if stream else 'whole'}"
    began, said = int(time.time() * 1000), ""
    try:
        for text in ROUTES[route](tools, model, f"Please answer-with:{tag} now.", tokens, stream):
            said += text
        if said != expected:
            raise Odd(f"{said!r} instead of {expected!r}")
        outcome, what = "Whole", ""
    except Exception as fault:
        outcome, what = verdict(fault, stream), f"{model}: {fault!r}, {fault.__cause__!r}"
        if not expected.startswith(said):
            outcome = "Wrong"
    if int(time.time() * 1000) - began > BOUND * 1000:
        outcome = "Late"
    note(began, outcome, key, what)


def look_up(tools, dice):
    key = dice.choice(list(LISTS))
    began = int(time.time() * 1000)
    try:
        outcome = "Whole" if "hidden:1b" in LISTS[key](tools) else "Wrong"
        what = "hidden:1b is missing"
    except Exception as fault:
        outcome, what = verdict(fault, False), repr(fault)
        # A list has no reason to break off, and none to be refused.
        outcome = {"Aborted": "Cut", "Refused": "Wrong"}.get(outcome, outcome)
    note(began, outcome, f"package {key}", what)


def live(seed, tools):
    global busy
    dice = random.Random(seed)
    while True:
        with lock:
            now = mode
            busy += now != "none"
        if now == "none":
            # Who rests holds no connection.
            tools = tools and leave(tools)
        else:
            tools = tools or clients()
            try:
                (infer if now == "all" and dice.random() < 0.8 else look_up)(tools, dice)
            finally:
                with lock:
                    busy -= 1
        time.sleep(dice.uniform(0.05, 0.6))


def obey(line):
    global mode, tally
    with lock:
        if line in ("all", "lookups", "none"):
            mode = line
            return "ok"
        if line == "busy":
            return str(busy)
        if line == "tally":
            told, tally = tally, {"counts": {}, "stories": [], "longest_ms": 0}
            return json.dumps(told)
    return "failed: no such command"


for client in range(CLIENTS):
    threading.Thread(target=live, args=(SEED * 1000 + client, clients()), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    print(obey(line.strip()), flush=True)
