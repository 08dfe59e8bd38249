#!/usr/bin/env bash
# Asks MODEL in Ollama's dialect; one line of JSON per token.   ollama-stream.sh [PROMPT]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /api/chat "{\"model\":$(json "$MODEL"),\"messages\":$(messages),\"stream\":true${OPTIONS_JSON:+,\"options\":$OPTIONS_JSON}}" |
    ends_with '"done":true'
