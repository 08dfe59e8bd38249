//! How the others are set up: as a person would who wants tokens at once and connections kept, with nothing left on that
//! costs them time (they write no log of requests; we do).

use std::net::SocketAddr;
use std::path::Path;

/// Two workers, as ours has at most, each with up to `open` files and sockets.
pub fn nginx(upstream: SocketAddr, places: [SocketAddr; 2], dir: &Path, open: u64) -> String {
    let [kept, fresh] = places;
    let open = open.min(65_536);
    let dir = dir.display();
    format!(
        "daemon off;
worker_processes 2;
worker_rlimit_nofile {open};
pid {dir}/pid;
error_log stderr warn;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    proxy_http_version 1.1;
    proxy_buffering off;
    proxy_request_buffering off;
    proxy_read_timeout 10m;
    upstream kept {{ server {upstream}; keepalive 128; keepalive_requests 1000000000; }}
    upstream fresh {{ server {upstream}; }}
    server {{
        listen {kept} backlog=1024;
        location / {{ proxy_pass http://kept; proxy_set_header Connection \"\"; }}
    }}
    server {{
        listen {fresh} backlog=1024;
        location / {{ proxy_pass http://fresh; proxy_set_header Connection close; }}
    }}
}}
"
    )
}

/// Two threads, as ours has at most. It refuses to start when it may open fewer than `open` files for its clients and the
/// upstream's connections.
pub fn haproxy(upstream: SocketAddr, places: [SocketAddr; 2], open: u64) -> String {
    let [kept, fresh] = places;
    let clients = (open.saturating_sub(100) / 2).clamp(1, 12_000);
    format!(
        "global
    nbthread 2
    maxconn {clients}
defaults
    mode http
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    option http-no-delay
frontend kept
    bind {kept}
    default_backend kept
frontend fresh
    bind {fresh}
    default_backend fresh
backend kept
    http-reuse always
    server upstream {upstream}
backend fresh
    http-reuse never
    option http-server-close
    server upstream {upstream}
"
    )
}

/// What the originals were; kept connections for those that had them, a client per request as the first one did.
pub const FASTAPI: &str = r#"import os

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

UPSTREAM = os.environ["UPSTREAM"]
FRESH = os.environ["WAY"] == "Fresh"
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=128)
app = FastAPI()
kept = httpx.AsyncClient(timeout=None, limits=LIMITS)


@app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"])
async def forward(path: str, request: Request):
    client = httpx.AsyncClient(timeout=None, limits=LIMITS) if FRESH else kept
    headers = [(name, value) for name, value in request.headers.raw if name not in (b"host", b"connection")]
    content = request.stream() if request.method in ("POST", "PUT") else None
    sent = client.build_request(request.method, UPSTREAM + request.url.path, headers=headers, content=content)
    answer = await client.send(sent, stream=True)
    headers = {name: value for name, value in answer.headers.items() if name not in ("connection", "transfer-encoding")}

    async def body():
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await answer.aclose()
            if FRESH:
                await client.aclose()

    return StreamingResponse(body(), status_code=answer.status_code, headers=headers)
"#;
