#!/usr/bin/env bash
# Lists all models, one name per line. Wakes nothing.   list.sh
set -euo pipefail
. "$(dirname "$0")/settings.sh"
# Through OpenAI's list, which has nothing but names to take apart.
list=$(curl -sS --fail-with-body "$GATEWAY/v1/models")
grep -o '"id": *"[^"]*"' <<<"$list" | cut -d'"' -f4 || { printf 'no models\n' >&2; exit 1; }
