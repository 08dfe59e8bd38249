#!/usr/bin/env bash
# curl against every kind of answer: a stream ends with exit code 0 and its end mark, and only a body that is broken
# off ends otherwise. Reads OLLAMA_PROXY_URL, SIMULATOR_URL and VIA as the other suites do.
set -u
base=${OLLAMA_PROXY_URL%/} simulator=${SIMULATOR_URL%/} via=${VIA:-direct}
chat=llama3.2:3b
ok=0 bad=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

pass() { ok=$((ok + 1)); printf 'ok      %s\n' "$1"; }
fail() { bad=$((bad + 1)); printf 'FAILED  %s\n' "$1"; printf '        %s\n' "${@:2}"; }

# ask NAME ARG…: calls curl, leaves $code (exit), $status, $head and $body behind.
ask() {
    name=$1
    shift
    rm -f "$scratch/head" "$scratch/body"
    status=$(curl -sSN --max-time 60 -D "$scratch/head" -o "$scratch/body" -w '%{http_code}' "$@" 2>"$scratch/stderr")
    code=$?
    head=$(tr -d '\r' <"$scratch/head" 2>/dev/null)
    body=$(tr -d '\0' <"$scratch/body" 2>/dev/null)
}

# answers STATUS [TEXT]: the last call ended well, with this status, and TEXT is in its head or body.
answers() {
    if [ "$code" != 0 ]; then
        fail "$name" "curl ended with $code: $(cat "$scratch/stderr")"
    elif [ "$status" != "$1" ]; then
        fail "$name" "status $status instead of $1: $body"
    elif [ $# -gt 1 ] && [[ $head$'\n'$body != *"$2"* ]]; then
        fail "$name" "no »$2« in" "$head" "${body:0:600}"
    else
        pass "$name"
    fi
}

# breaks: the last call did not end well.
breaks() {
    if [ "$code" = 0 ]; then fail "$name" "curl ended with 0 though the body was broken off: $body"; else pass "$name ($code)"; fi
}

fail_next() { curl -sS -o /dev/null -d "{\"next\":\"$1\",\"times\":1}" "$simulator/sim/fail"; }

ask "GET / says that Ollama is running" "$base/"
answers 200 "Ollama is running"
ask "HEAD / has the length of the text" -I "$base/"
answers 200 "ontent-"
for path in /api/tags /api/version; do
    ask "HEAD $path is 200 without a body" -I "$base$path"
    answers 200
done
for path in /api/tags /api/version /api/ps /v1/models; do
    ask "GET $path is JSON" "$base$path"
    answers 200 "application/json"
done
ask "two lists on one connection" "$base/api/tags" "$base/api/version" -o /dev/null
answers 200200

asked="{\"model\":\"$chat\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_tokens\":8"
ask "a chat without a content type of its own streams to done" -d "$asked}" "$base/api/chat"
answers 200 '"done":true'
ask "a chat by HTTP/1.0 ends with its connection" -0 -d "$asked}" "$base/api/chat"
answers 200 '"done":true'
ask "a generate streams to done" -d "{\"model\":\"$chat\",\"prompt\":\"hello\"}" "$base/api/generate"
answers 200 "application/x-ndjson"
ask "keys are read without case" -d "{\"MODEL\":\"$chat\",\"Prompt\":\"hello\",\"stream\":false}" "$base/api/generate"
answers 200 '"done":true'
ask "a chat completion streams to [DONE]" -d "$asked,\"stream\":true}" "$base/v1/chat/completions"
answers 200 "data: [DONE]"
ask "a completion streams to [DONE]" -d "{\"model\":\"$chat\",\"prompt\":\"hello\",\"stream\":true}" "$base/v1/completions"
answers 200 "data: [DONE]"
ask "a response streams to completed" -d "{\"model\":\"$chat\",\"input\":\"hello\",\"stream\":true}" "$base/v1/responses"
answers 200 "response.completed"
ask "a message streams to its stop" -d "$asked,\"stream\":true}" "$base/v1/messages"
answers 200 "message_stop"
ask "an unknown model is 404 with its words" -d '{"model":"no-such-model","prompt":"x"}' "$base/api/generate"
answers 404 "{\"error\":\"model 'no-such-model' not found\"}"

ask "a pull streams to success" -d '{"model":"pulled-curl"}' "$base/api/pull"
answers 200 '"status":"success"'
ask "a copy is an empty 200" -d '{"source":"pulled-curl","destination":"copied-curl"}' "$base/api/copy"
answers 200
ask "DELETE carries a body" -X DELETE -d '{"model":"copied-curl"}' "$base/api/delete"
answers 200
ask "DELETE without Content-Length carries a chunked body" -X DELETE -H 'Transfer-Encoding: chunked' \
    -d '{"model":"pulled-curl"}' "$base/api/delete"
answers 200

head -c 8000000 /dev/urandom >"$scratch/blob"
digest=sha256:$(sha256sum "$scratch/blob" | cut -d' ' -f1)
ask "a blob is created, asked with Expect" -H 'Expect: 100-continue' -T "$scratch/blob" -X POST "$base/api/blobs/$digest"
answers 201
ask "a blob that is there is answered early" -H 'Expect:' -T "$scratch/blob" -X POST "$base/api/blobs/$digest"
answers 200
ask "HEAD finds the blob" -I "$base/api/blobs/$digest"
answers 200

if command -v zstd >/dev/null; then
    printf '%s,"stream":true}' "$asked" | zstd -q >"$scratch/zstd"
    ask "a zstd body on /v1 is understood" -H 'Content-Encoding: zstd' -H 'Content-Type: application/json' \
        --data-binary "@$scratch/zstd" "$base/v1/chat/completions"
    answers 200 "data: [DONE]"
fi

head -c 9000000 /dev/zero | tr '\0' a >"$scratch/a"
{ printf '{"model":"%s","stream":false,"prompt":"' "$chat"; cat "$scratch/a"; printf '"}'; } >"$scratch/long"
ask "a prompt of nine megabytes passes" --data-binary "@$scratch/long" "$base/api/generate"
answers 200 '"done":true'

if [ "$via" = direct ]; then
    fail_next reset_mid_stream
    ask "the server's own stream breaks off" -d "$asked}" "$base/api/chat"
    breaks
else
    preflight=(-X OPTIONS -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: content-type')
    ask "a preflight of an allowed page is 204" "${preflight[@]}" -H 'Origin: http://localhost:3000' "$base/api/chat"
    answers 204 "http://localhost:3000"
    ask "a preflight of a strange page is 403" "${preflight[@]}" -H 'Origin: http://evil.example' "$base/api/chat"
    answers 403
    ask "a page of the proxy's own address may call" -H "Origin: $base" "$base/api/tags"
    answers 200
    ask "GET /health is 200" "$base/health"
    answers 200 '"status"'

    for kind in reset_mid_stream end_early; do
        for path in /api/chat /v1/chat/completions /v1/messages; do
            fail_next "$kind"
            ask "$path after $kind ends with 0 and an error in its stream" -d "$asked,\"stream\":true}" "$base$path"
            answers 200 '"error"'
            [[ $body != *'"done":true'* && $body != *'[DONE]'* && $body != *message_stop* ]] ||
                fail "$path after $kind claims to be complete" "$body"
        done
    done
fi
fail_next reset_mid_stream
ask "a body of fixed length that is broken off is no success" -d "$asked,\"stream\":false}" "$base/api/chat"
breaks

printf 'curl: %d passed, %d failed\n' "$ok" "$bad"
[ "$bad" = 0 ]
