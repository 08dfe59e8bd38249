//! `GET /route?model=NAME`: which node would serve, and why the others would not. Wakes nothing, asks nobody.

use hyper::{Response, StatusCode};

use super::refused;
use crate::http::{Body, reply};
use crate::proxy::Proxy;
use crate::values::{self, Kind};

/// `node=NAME` asks as a request does that names its node.
pub(super) fn answer(proxy: &Proxy, query: Option<&str>) -> Response<Body> {
    let value = |key| query.and_then(|query| value_of(query, key)).filter(|value| !value.is_empty());
    let Some(model) = value("model") else {
        return refused(Kind::BadRequest, "say which model: /route?model=llama3.2:3b");
    };
    let named = value("node");
    if let Some(name) = named.as_deref().filter(|name| proxy.fleet().find(name).is_none()) {
        return refused(Kind::NotFound, format!("there is no node {name:?}"));
    }
    reply::json(StatusCode::OK, &proxy.explain(Some(&model), named.as_deref()))
}

/// The decoded value of the first such key.
pub(super) fn value_of(query: &str, key: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| decoded(value))
}

/// `%2F` and `+` as forms write them; what is no such code stays as it is.
fn decoded(value: &str) -> String {
    values::decoded(&value.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_may_come_encoded_or_plain() {
        assert_eq!(value_of("a=1&model=library%2Fllama3%3A8b", "model").as_deref(), Some("library/llama3:8b"));
        assert_eq!(value_of("model=library/llama3:8b&model=x", "model").as_deref(), Some("library/llama3:8b"));
        assert_eq!(value_of("model", "model").as_deref(), Some(""));
        assert_eq!(value_of("models=x", "model"), None);
    }

    #[test]
    fn what_is_no_code_stays_as_it_is() {
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%2"), "%zz%2");
        assert_eq!(decoded("%é"), "%é");
    }
}
