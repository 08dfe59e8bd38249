//! Sends an alert to where the owner wants it: a webhook, a topic of ntfy. Bounded in time.

use std::time::Duration;

use hyper::{Request, header};
use serde_json::Value;

use super::Alert;
use crate::config::NotifyConfig;
use crate::upstream::outward;
use crate::values;

/// A server that takes longer is told no more.
const LIMIT: Duration = Duration::from_secs(5);

/// Where to.
#[derive(Clone)]
pub struct Targets {
    config: NotifyConfig,
}

impl Targets {
    /// As they are set.
    pub fn new(config: &NotifyConfig) -> Self {
        Self { config: config.clone() }
    }

    /// Nobody wants to be told.
    pub fn is_empty(&self) -> bool {
        self.config.webhook.is_none() && self.config.ntfy.is_none()
    }

    /// Sends to all of them, one after the other; which of them took it. The reasons hold no secret.
    pub async fn send(&self, alert: &Alert) -> Vec<(&'static str, Result<(), String>)> {
        let mut sent = Vec::new();
        if let Some(url) = &self.config.webhook {
            sent.push(("webhook", post(url, &alert.webhook()).await));
        }
        if let Some(ntfy) = &self.config.ntfy {
            sent.push(("ntfy", post(&ntfy.server, &alert.ntfy(&ntfy.topic)).await));
        }
        sent
    }
}

async fn post(url: &str, body: &Value) -> Result<(), String> {
    let url = values::url(url).map_err(|why| format!("its URL cannot be used: {why}"))?;
    let request = Request::post(url).header(header::CONTENT_TYPE, "application/json").body(body.to_string().into());
    let request = request.map_err(|_| "its URL cannot be used".to_owned())?;
    let status = outward::tell(request, LIMIT, 0).await.map_err(|trouble| trouble.to_string())?.status;
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}
