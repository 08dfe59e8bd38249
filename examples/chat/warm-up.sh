#!/usr/bin/env bash
# Wakes the PC and loads MODEL, or the named one, for KEEP_ALIVE (10m), so that the first question waits for nothing.   warm-up.sh [MODEL]
set -euo pipefail
. "$(dirname "$0")/settings.sh"
post /api/generate "{\"model\":$(json "${1:-$MODEL}"),\"stream\":false,\"keep_alive\":$(json "${KEEP_ALIVE:-10m}")}"
echo
