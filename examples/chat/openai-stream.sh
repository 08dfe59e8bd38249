#!/usr/bin/env bash
# Asks OPENAI_MODEL in OpenAI's dialect; one event per token.   openai-stream.sh [PROMPT]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /v1/chat/completions "{\"model\":$(json "$OPENAI_MODEL"),\"messages\":$(messages),\"stream\":true}" |
    ends_with 'data: [DONE]'
