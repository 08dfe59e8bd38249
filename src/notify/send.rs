//! Sends an alert to where the owner wants it: a webhook, a topic of ntfy. Bounded in time by the client.

use reqwest::{Client, Url};
use serde_json::Value;

use super::Alert;
use crate::config::NotifyConfig;
use crate::http::outward;

/// Where to.
#[derive(Clone)]
pub struct Targets {
    config: NotifyConfig,
    client: Option<Client>,
}

impl Targets {
    /// `client` makes the client, if it is needed.
    ///
    /// # Errors
    /// Those of `client`.
    pub fn new<E>(config: &NotifyConfig, client: impl FnOnce() -> Result<Client, E>) -> Result<Self, E> {
        let wanted = config.webhook.is_some() || config.ntfy.is_some();
        let client = if wanted { Some(client()?) } else { None };
        Ok(Self { config: config.clone(), client })
    }

    /// Nobody wants to be told.
    pub fn is_empty(&self) -> bool {
        self.client.is_none()
    }

    /// Sends to all of them, one after the other; which of them took it. The reasons hold no secret.
    pub async fn send(&self, alert: &Alert) -> Vec<(&'static str, Result<(), String>)> {
        let mut sent = Vec::new();
        let Some(client) = &self.client else { return sent };
        if let Some(url) = &self.config.webhook {
            sent.push(("webhook", post(client, url, &alert.webhook()).await));
        }
        if let Some(ntfy) = &self.config.ntfy {
            sent.push(("ntfy", post(client, &ntfy.server, &alert.ntfy(&ntfy.topic)).await));
        }
        sent
    }
}

async fn post(client: &Client, url: &str, body: &Value) -> Result<(), String> {
    let url: Url = url.parse().map_err(|_| "its URL cannot be used".to_owned())?;
    let request = client.post(url).header("Content-Type", "application/json").body(body.to_string());
    let answer = request.send().await.map_err(outward::reason)?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}
