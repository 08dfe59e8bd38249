#!/usr/bin/env python3
"""Draws docs/demo.svg, the recording at the top of the README: it runs the real demo, asks it with the real curl, and writes
down what both printed and when.

    cargo build --release && docs/record.py [PROGRAM]

Long waits are shortened and long lines are cut; nothing else differs from what you see when you try it. The demo runs on a
free port, which is drawn as 11434.
"""

import html
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = 116
LONGEST_WAIT = 4.0  # seconds on the picture
PROMPT = '{"model":"llama3.2:3b","messages":[{"role":"user","content":"Why is the sky blue?"}]}'
LIST = "curl http://localhost:11434/api/tags"
CHAT = f"curl http://localhost:11434/api/chat -d '{PROMPT}'"

# What the two terminals look like.
LINE, MARGIN, BAR, GLYPH, SIZE = 18, 14, 28, 7.25, 12
STYLE = f"""
text {{ font: {SIZE}px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d7dae0; white-space: pre }}
.title {{ fill: #9aa1ad }} .typed {{ fill: #8fd18f }} .note {{ fill: #e5c07b }}
.line {{ opacity: 0; animation: come 0.01s linear forwards }}
@keyframes come {{ to {{ opacity: 1 }} }}
@media (prefers-reduced-motion: reduce) {{ .line {{ opacity: 1; animation: none }} }}
"""


class Recording:
    """Lines of one terminal, each with the second at which it came."""

    def __init__(self, title):
        self.title, self.lines = title, []

    def add(self, text, kind):
        self.lines.append((time.monotonic(), text, kind))


class Demo:
    """The program's demo, whose standard output is recorded."""

    def __init__(self, program, recording):
        command = [program, "demo", "--port", "0"]
        recording.add("$ ollama-proxy demo", "typed")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        self.recording, self.port, self.came = recording, None, threading.Condition()
        self.said = ""
        for pipe, shown in ((self.process.stdout, True), (self.process.stderr, False)):
            threading.Thread(target=self.read, args=(pipe, shown), daemon=True).start()
        self.wait_for("model list read")

    def read(self, pipe, shown):
        for line in pipe:
            line = line.rstrip("\n")
            found = re.search(r"stands in front of it at http://localhost:(\d+)", line)
            with self.came:
                self.port = self.port or (found and found.group(1))
                if shown and line:
                    self.recording.add(line.replace(f"localhost:{self.port}", "localhost:11434"), "told")
                self.said += line + "\n"
                self.came.notify_all()

    def wait_for(self, part):
        with self.came:
            if not self.came.wait_for(lambda: part in self.said, timeout=60):
                raise SystemExit(f"the demo never said {part!r}:\n{self.said}")


def curl(recording, port, line):
    """Runs a line of the README and records what it prints, line by line, and how long it took."""
    recording.add(f"$ {line}", "typed")
    words = shlex.split(line.replace("localhost:11434", f"localhost:{port}"))
    words[1:1] = ["-sN", "--noproxy", "*", "-w", "\\n%{time_total}\\n"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, bufsize=1)
    for text in running.stdout:
        if re.fullmatch(r"[\d.]+\n", text):
            recording.add(f"# answered within {float(text):.3f} s", "note")
        elif text.strip():
            recording.add(text.rstrip("\n"), "answer")
    if running.wait() != 0:
        raise SystemExit(f"{line} ended with {running.returncode}")


def shorten(lines, keep=3):
    """Of a stream of many like lines the first few and the last one."""
    streamed = [at for at, (_, text, _) in enumerate(lines) if '"done":false' in text]
    if len(streamed) <= keep + 1:
        return lines
    first, last = streamed[keep], streamed[-1]
    return [*lines[:first], (lines[first][0], "…", "answer"), *lines[last + 1 :]]


def on_the_picture(recordings):
    """Real moments to seconds on the picture: long waits are shortened."""
    moments = sorted({at for recording in recordings for at, _, _ in recording.lines})
    shown, before, clock = {}, moments[0], 0.5
    for moment in moments:
        clock += min(moment - before, LONGEST_WAIT)
        shown[moment], before = clock, moment
    return shown


def fold(text):
    return text if len(text) <= COLUMNS else text[: COLUMNS - 1] + "…"


def terminal(recording, top, shown):
    """The picture of one terminal, and where it ends."""
    width = MARGIN * 2 + COLUMNS * GLYPH
    height = BAR + MARGIN + len(recording.lines) * LINE
    parts = [f'<rect y="{top}" width="{width:.0f}" height="{height}" rx="8" fill="#22262e"/>']
    parts.append(f'<text class="title" x="{MARGIN}" y="{top + 19}">{html.escape(recording.title)}</text>')
    for number, (moment, text, kind) in enumerate(recording.lines):
        y = top + BAR + MARGIN + number * LINE
        delay = f"animation-delay:{shown[moment]:.2f}s"
        parts.append(f'<text class="line {kind}" x="{MARGIN}" y="{y}" style="{delay}">{html.escape(fold(text))}</text>')
    return parts, top + height


def draw(recordings):
    shown = on_the_picture(recordings)
    parts, top = [], 0
    for recording in recordings:
        drawn, end = terminal(recording, top, shown)
        parts += drawn
        top = end + 12
    width = MARGIN * 2 + COLUMNS * GLYPH
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {top - 12}" role="img">'
    told = "<title>The demo: the PC falls asleep, the list still comes at once, and a chat wakes the PC</title>"
    return "\n".join([head, told, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target" / "release" / "ollama-proxy"
    always_on, client = Recording("one terminal"), Recording("another one")
    demo = Demo(program, always_on)
    try:
        demo.wait_for("The PC fell asleep")
        time.sleep(1)
        curl(client, demo.port, LIST)
        time.sleep(2)
        curl(client, demo.port, CHAT)
    finally:
        demo.process.terminate()
        demo.process.wait()
    client.lines = shorten(client.lines)
    (ROOT / "docs" / "demo.svg").write_text(draw([always_on, client]))


if __name__ == "__main__":
    main()
