//! The lists of providers' models: read in a task of their own, kept when a reading fails, bounded.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::Method;
use tokio::sync::Notify;

use super::{Call, Provider, Providers};
use crate::config::ProviderKind;
use crate::translate::{self, Listed};
use crate::values::{Fault, Kind, boxed};

/// After a failed reading the next one waits for this long, and for longer each time.
const AGAIN: Duration = Duration::from_secs(30);

/// A whole reading takes no longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Models of one provider, and pages that they come on.
const MOST: usize = 5000;
const MOST_PAGES: usize = 20;

/// What a provider is known to have.
#[derive(Debug)]
pub(super) struct Lists {
    models: RwLock<Arc<[Listed]>>,
    asked: Notify,
}

impl Lists {
    /// Those that the user named.
    pub(super) fn of(names: &[String]) -> Self {
        let listed = |name: &String| Listed { id: name.clone(), ..Listed::default() };
        let models = RwLock::new(names.iter().map(listed).collect());
        Self { models, asked: Notify::new() }
    }

    /// As last read.
    pub(super) fn now(&self) -> Arc<[Listed]> {
        self.asked.notify_one();
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Providers {
    /// Reads each provider's list now, and again whenever somebody asks and it is older than `ttl`. Never ends.
    ///
    /// # Errors
    /// A reading panicked.
    pub async fn keep_lists(self, ttl: Duration) -> anyhow::Result<()> {
        let mut keeping = tokio::task::JoinSet::new();
        for provider in self.0.iter().filter(|provider| provider.0.config.kind != ProviderKind::Azure) {
            keeping.spawn(boxed(keep(provider.clone(), ttl)));
        }
        while let Some(ended) = keeping.join_next().await {
            ended?;
        }
        // Azure alone has nothing to read.
        std::future::pending().await
    }
}

async fn keep(provider: Provider, ttl: Duration) {
    let mut failures: u32 = 0;
    loop {
        let read = tokio::time::timeout(LIMIT, read(&provider)).await;
        let read = read.unwrap_or_else(|_| Err(provider.fault(Kind::Timeout, "its list of models did not come")));
        let wait = match read {
            Ok(models) => {
                tracing::info!(provider = provider.word(), models = models.len(), "model list read");
                *provider.0.lists.models.write().unwrap_or_else(PoisonError::into_inner) = models.into();
                failures = 0;
                ttl
            }
            Err(fault) => {
                tracing::warn!(provider = provider.word(), %fault, "its model list cannot be read; its models work by their full names");
                failures += 1;
                (AGAIN * 2_u32.pow(failures.min(6) - 1)).min(ttl.max(AGAIN))
            }
        };
        tokio::time::sleep(wait).await;
        // A list that nobody looks at is not read.
        provider.0.lists.asked.notified().await;
    }
}

/// All pages.
async fn read(provider: &Provider) -> Result<Vec<Listed>, Fault> {
    let mut models: Vec<Listed> = Vec::new();
    let mut path = match provider.0.config.kind {
        ProviderKind::Anthropic => "/models?limit=1000".to_owned(),
        ProviderKind::OpenAi | ProviderKind::Azure => "/models".to_owned(),
    };
    for _ in 0..MOST_PAGES {
        let call =
            Call { method: Method::GET, path: &path, model: "", body: bytes::Bytes::new(), content_type: None, client: None };
        let answer = provider.call(call).await?;
        if !answer.status.is_success() {
            return Err(answer.refusal().await.0);
        }
        let page = translate::page(&answer.whole().await?)?;
        models.extend(page.models.into_iter().filter(Listed::is_for_text).take(MOST - models.len()));
        let Some(next) = page.next else { break };
        let next: String = next.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c)).collect();
        path = format!("/models?limit=1000&after_id={next}");
    }
    Ok(models)
}
