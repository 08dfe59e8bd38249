#!/usr/bin/env python3
"""Asks MODEL in Ollama's dialect; prints the whole answer at once.   ask_ollama.py [PROMPT]"""

import json

from settings import MODEL, OPTIONS, messages, post

with post("/api/chat", {"model": MODEL, "messages": messages(), "stream": False} | OPTIONS) as answer:
    print(json.load(answer)["message"]["content"])
