#!/usr/bin/env bash
# Asks OPENAI_MODEL in OpenAI's dialect; the whole answer comes at once.   openai.sh [PROMPT]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /v1/chat/completions "{\"model\":$(json "$OPENAI_MODEL"),\"messages\":$(messages),\"stream\":false}"
echo
