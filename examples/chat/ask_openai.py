#!/usr/bin/env python3
"""Asks OPENAI_MODEL in OpenAI's dialect; prints the whole answer at once.   ask_openai.py [PROMPT]"""

import json

from settings import OPENAI_MODEL, messages, post

with post("/v1/chat/completions", {"model": OPENAI_MODEL, "messages": messages()}) as answer:
    print(json.load(answer)["choices"][0]["message"]["content"])
