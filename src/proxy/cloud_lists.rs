//! Cloud models among the nodes': in lists, and described without asking anybody.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header;
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::Proxy;
use crate::catalog::Cached;
use crate::classify::{Ask, Class, Metadata};
use crate::http::{Body, body, reply};
use crate::provider::{self, Choice};
use crate::values::{Fault, Kind, Retry};

/// The longest list of a node's that is read.
const LONGEST: usize = 64 * 1024 * 1024;

impl Proxy {
    /// A list of models with those of the providers behind it.
    pub(super) fn with_cloud_models(&self, ask: &Ask, cached: Cached) -> Cached {
        let body = self.extended(ask, &cached.body);
        Cached { body: body.unwrap_or(cached.body), ..cached }
    }

    /// The same for a list that a node gave itself, which happens where no list is kept (`--health-interval 0`).
    pub(super) async fn with_cloud_models_behind(
        &self,
        ask: &Ask,
        method: &Method,
        response: Response<Body>,
    ) -> Result<Response<Body>, Fault> {
        if self.key_of_list(ask).is_none() || method != Method::GET || response.status() != StatusCode::OK {
            return Ok(response);
        }
        let (mut head, mut rest) = response.into_parts();
        let died = |why: String| Fault::node(Kind::Died, Retry::Never, format!("the node's list of models {why}"));
        let mut list = Vec::new();
        while let Some(frame) = rest.frame().await {
            let frame = frame.map_err(|error| died(format!("broke off: {error}")))?;
            list.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if list.len() > LONGEST {
                return Err(died("is longer than 64 MiB".to_owned()));
            }
        }
        let list = self.extended(ask, &list).unwrap_or(list.into());
        head.headers.insert(header::CONTENT_LENGTH, list.len().into());
        Ok(Response::from_parts(head, body::full(list)))
    }

    /// Under which key an asked list names its models, if it shall name cloud models too.
    fn key_of_list(&self, ask: &Ask) -> Option<&'static str> {
        let settings = &self.0.settings;
        let key = match ask.class {
            Class::Metadata(Metadata::Tags) => "models",
            Class::Metadata(Metadata::Models) => "data",
            _ => return None,
        };
        (settings.list_cloud_models && !settings.providers.all().is_empty()).then_some(key)
    }

    fn extended(&self, ask: &Ask, list: &[u8]) -> Option<Bytes> {
        let key = self.key_of_list(ask)?;
        let mut list: Value = serde_json::from_slice(list).ok()?;
        let entries = list.get_mut(key)?.as_array_mut()?;
        for provider in self.0.settings.providers.all() {
            let (word, host, tongue) = (provider.word(), provider.host(), provider.tongue());
            entries.extend(provider.models().iter().map(|model| {
                let name = format!("{word}/{}", model.id);
                if key == "data" { model.model_v1(&name, word) } else { model.tag(&name, host, word, tongue, provider::digest) }
            }));
        }
        Some(list.to_string().into())
    }
}

/// What `/api/show` tells.
pub(super) fn show(choice: &Choice) -> Response<Body> {
    let provider = &choice.provider;
    let shown = choice.listed().show(provider.host(), provider.word(), provider.tongue());
    reply::json(StatusCode::OK, &shown)
}

/// What `/v1/models/{model}` tells.
pub(super) fn model_v1(choice: &Choice, id: &str) -> Response<Body> {
    let model = choice.listed().model_v1(id, choice.provider.word());
    reply::whole(StatusCode::OK, "application/json", model.to_string())
}
