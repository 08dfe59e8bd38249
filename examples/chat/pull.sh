#!/usr/bin/env bash
# Pulls MODEL, or the named one, onto the PC; wakes it.   pull.sh [MODEL]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /api/pull "{\"model\":$(json "${1:-$MODEL}")}" | ends_with '"status":"success"'
