#!/bin/sh
# Each option of the add-on's page is the setting of the same name in upper case; empty ones are left out.
set -eu
settings=$(jq -r 'to_entries[] | select(.value != null and .value != "")
    | "export \(.key | ascii_upcase)=\(.value | tostring | @sh)"' "${OPTIONS:-/data/options.json}")
eval "$settings"
exec "${PROGRAM:-/ollama-proxy}"
