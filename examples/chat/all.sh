#!/usr/bin/env bash
# Asks the same of both models, streaming and not; keeps each answer under out/.   all.sh [PROMPT]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/settings.sh"
export PROMPT
out=${OUT:-$here/out}
mkdir -p "$out"
now=$(date +%Y%m%d-%H%M%S)
failed=0
for script in ollama ollama-stream openai openai-stream; do
    printf '=== %s.sh\n' "$script"
    "$here/$script.sh" "$PROMPT" | tee "$out/${now}_$script.txt" || { failed=1; printf '%s.sh failed\n' "$script" >&2; }
done
exit "$failed"
