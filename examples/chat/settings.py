"""What the Python scripts beside it share: the same variables as settings.sh, nothing but the standard library."""

import json
import os
import sys
import urllib.error
import urllib.request

GATEWAY = (os.environ.get("GATEWAY") or "http://localhost:11434").rstrip("/")
MODEL = os.environ.get("MODEL") or "llama3.2:3b"
OPENAI_MODEL = os.environ.get("OPENAI_MODEL") or "openai/gpt-4o-mini"
OPTIONS = {"options": json.loads(os.environ["OPTIONS_JSON"])} if os.environ.get("OPTIONS_JSON") else {}
# A PC that has to wake and load a large model takes its time.
PATIENCE = 600


def messages():
    prompt = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROMPT") or "Introduce yourself in one sentence."
    told = os.environ.get("SYS")
    return ([{"role": "system", "content": told}] if told else []) + [{"role": "user", "content": prompt}]


def post(path, body):
    """The answer, still to be read; a failure ends the script with what the proxy says of it."""
    request = urllib.request.Request(GATEWAY + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{refusal.code}: {refusal.read().decode(errors='replace')}")
    except OSError as fault:
        sys.exit(f"{GATEWAY} does not answer: {fault}")
