# What the shell scripts beside it share; sourced, not run.
#   GATEWAY       the proxy                       http://localhost:11434
#   MODEL         a model of your own PC          llama3.2:3b
#   OPENAI_MODEL  one for the OpenAI scripts      openai/gpt-4o-mini
#   SYS           what the model is told first    nothing
#   OPTIONS_JSON  Ollama's options, as JSON       nothing
#   PROMPT        the prompt, without an argument
GATEWAY=${GATEWAY:-http://localhost:11434}
GATEWAY=${GATEWAY%/}
MODEL=${MODEL:-llama3.2:3b}
OPENAI_MODEL=${OPENAI_MODEL:-openai/gpt-4o-mini}
PROMPT=${1:-${PROMPT:-Introduce yourself in one sentence.}}

# A text as JSON. Bash alone does it, so that no jq is needed.
json() {
    local text=$1 code
    text=${text//\\/\\\\} text=${text//\"/\\\"}
    text=${text//$'\n'/\\n} text=${text//$'\r'/\\r} text=${text//$'\t'/\\t}
    for code in {1..8} 11 12 {14..31}; do
        printf -v code '%02x' "$code"
        text=${text//$(printf "\\x$code")/\\u00$code}
    done
    printf '"%s"' "$text"
}

messages() {
    printf '['
    [ -z "${SYS:-}" ] || printf '{"role":"system","content":%s},' "$(json "$SYS")"
    printf '{"role":"user","content":%s}]' "$(json "$PROMPT")"
}

# post PATH BODY: prints the answer as it comes, and fails when its status is one of failure.
post() {
    curl -sSN --fail-with-body -H 'Content-Type: application/json' -d "$2" "$GATEWAY$1"
}

# Passes a stream through, and fails unless it came to its end: a failure within a stream has the status 200.
ends_with() {
    local line last=
    while IFS= read -r line || [ -n "$line" ]; do
        printf '%s\n' "$line"
        [ -z "$line" ] || last=$line
    done
    [[ $last == *"$1"* ]] || { printf 'the answer is not complete\n' >&2; return 1; }
}
