#!/usr/bin/env python3
"""Asks OPENAI_MODEL in OpenAI's dialect; prints each token as it comes.   ask_openai_stream.py [PROMPT]"""

import json
import sys

from settings import OPENAI_MODEL, messages, post

done = False
with post("/v1/chat/completions", {"model": OPENAI_MODEL, "messages": messages(), "stream": True}) as answer:
    for line in answer:
        data = line.decode().removeprefix("data:").strip()
        if not line.startswith(b"data:"):
            continue
        if data == "[DONE]":
            done = True
            break
        part = json.loads(data)
        if "error" in part:
            sys.exit(f"\n{part['error']['message']}")
        for choice in part["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)
print()
if not done:
    sys.exit("the answer is not complete")
