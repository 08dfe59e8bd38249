//! `/login` and `/logout`: a form, a cookie. Event streams and links of a browser carry no header, so its pages need one.

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::access::{Access, Visitor};
use super::{back_to, route, wrong_method};
use crate::dashboard::pages;
use crate::http::{Body, Budget, body, reply};
use crate::values::{Dialect, Fault};

/// The two paths.
pub(super) const PATHS: [&str; 2] = ["/login", "/logout"];

/// Larger than any form of ours.
const FORM: usize = 4096;

/// All forms that are being sent.
const FORMS: usize = 256 * 1024;

/// Answers either path.
pub(super) async fn answer(access: &Access, request: Request<Incoming>, visitor: Visitor<'_>) -> Response<Body> {
    let (head, incoming) = request.into_parts();
    let leaves = head.uri.path() == PATHS[1];
    match head.method {
        Method::GET | Method::HEAD if leaves => back_to("login"),
        Method::GET | Method::HEAD => pages::login(&head.headers, None),
        Method::POST if leaves => match access.log_out(&head.headers, &visitor) {
            Ok(cookie) => with_cookie(back_to("./"), cookie),
            Err(fault) => reply::fault(&fault, Dialect::Native),
        },
        Method::POST => {
            let form = match body::read(incoming, FORM, budget()).await {
                Ok(form) => form,
                Err(fault) => return reply::fault(&fault, Dialect::Native),
            };
            let text = String::from_utf8_lossy(form.bytes());
            let key = route::value_of(&text, "key").unwrap_or_default();
            match access.log_in(key.trim().as_bytes(), &head.headers, &visitor).await {
                Ok(cookie) => with_cookie(back_to("./"), Some(cookie)),
                Err(fault) => again(&head.headers, &fault),
            }
        }
        _ => wrong_method("GET, HEAD, POST"),
    }
}

/// The form once more, with what was wrong.
fn again(headers: &header::HeaderMap, fault: &Fault) -> Response<Body> {
    let told = reply::fault(fault, Dialect::Native);
    let mut page = pages::login(headers, Some(&fault.text));
    *page.status_mut() = told.status();
    if let Some(after) = told.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    page
}

fn with_cookie(mut response: Response<Body>, cookie: Option<HeaderValue>) -> Response<Body> {
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    debug_assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response
}

fn budget() -> &'static Budget {
    static BUDGET: std::sync::LazyLock<Budget> = std::sync::LazyLock::new(|| Budget::new(FORMS));
    &BUDGET
}
