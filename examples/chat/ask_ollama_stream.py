#!/usr/bin/env python3
"""Asks MODEL in Ollama's dialect; prints each token as it comes.   ask_ollama_stream.py [PROMPT]"""

import json
import sys

from settings import MODEL, OPTIONS, messages, post

done = False
with post("/api/chat", {"model": MODEL, "messages": messages(), "stream": True} | OPTIONS) as answer:
    for line in answer:
        part = json.loads(line)
        if "error" in part:
            sys.exit(f"\n{part['error']}")
        print(part["message"]["content"], end="", flush=True)
        done = part["done"]
print()
if not done:
    sys.exit("the answer is not complete")
