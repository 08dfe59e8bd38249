#!/usr/bin/env bash
# Asks MODEL in Ollama's dialect; the whole answer comes at once.   ollama.sh [PROMPT]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /api/chat "{\"model\":$(json "$MODEL"),\"messages\":$(messages),\"stream\":false${OPTIONS_JSON:+,\"options\":$OPTIONS_JSON}}"
echo
