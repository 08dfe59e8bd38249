//! The bare hyper pass-through: what most people would write, and nothing that they would not. A process of its own.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

type Pool = Client<HttpConnector, Incoming>;

/// Serves until its process is ended. `fresh`: a new connection for each request, as toward a machine that may sleep.
pub async fn serve(listener: TcpListener, upstream: SocketAddr, fresh: bool) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    if fresh {
        builder.pool_max_idle_per_host(0);
    }
    let pool: Pool = builder.build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = pool.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| forward(pool.clone(), request, upstream));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Its end is the client's business.
            drop(connection.await);
        });
    }
}

async fn forward(
    pool: Pool,
    mut request: Request<Incoming>,
    upstream: SocketAddr,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let Ok(uri) = format!("http://{upstream}{path}").parse::<Uri>() else { return Ok(failed(StatusCode::BAD_REQUEST)) };
    *request.uri_mut() = uri;
    request.headers_mut().remove(CONNECTION);
    if let Ok(host) = HeaderValue::from_str(&upstream.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    let Ok(mut answer) = pool.request(request).await else { return Ok(failed(StatusCode::BAD_GATEWAY)) };
    answer.headers_mut().remove(CONNECTION);
    answer.headers_mut().remove(TRANSFER_ENCODING);
    Ok(answer.map(BodyExt::boxed))
}

fn failed(status: StatusCode) -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}
