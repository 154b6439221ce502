//! Settings of the Decodo client and the errors of building it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use jobs::limit::RateLimit;
use jobs::process::Secret;
use thiserror::Error;
use url::Url;

use super::breaker::BreakerPolicy;
use super::retry::Pauses;

/// Settings of [`super::Decodo`].
#[derive(Debug, Clone)]
pub struct DecodoConfig {
    /// http or https, without user and password; `/v2/scrape` is added to it.
    pub base_url: Url,
    /// User of Basic authentication; unused with an `api_key`.
    pub username: String,
    /// Password of Basic authentication; unused with an `api_key`.
    pub password: Secret,
    /// A ready Basic token, as the vendor's dashboard prints it.
    pub api_key: Option<Secret>,
    /// Calls per second, of this process or of all replicas.
    pub rate: Arc<RateLimit>,
    /// Longest single call, from connecting to the end of the body.
    pub call_timeout: Duration,
    /// Calls under way at once.
    pub connections: NonZeroUsize,
    /// Pauses between the calls of one fetch.
    pub pauses: Pauses,
    /// When to stop calling for a while.
    pub breaker: BreakerPolicy,
    /// Retries per 10 s that are free; above them a fifth of the first calls.
    pub retry_floor: usize,
}

impl DecodoConfig {
    /// Settings with the defaults: 5 calls per second, 5 at once, 30 s each.
    pub fn new(base_url: Url, username: impl Into<String>, password: Secret) -> Self {
        Self {
            base_url,
            username: username.into(),
            password,
            api_key: None,
            rate: Arc::new(RateLimit::local(NonZeroU32::MIN.saturating_add(4))),
            call_timeout: Duration::from_secs(30),
            connections: NonZeroUsize::MIN.saturating_add(4),
            pauses: Pauses::default(),
            breaker: BreakerPolicy::default(),
            retry_floor: 20,
        }
    }
}

/// Why the client could not be built.
#[derive(Debug, Error)]
pub enum ProviderError {
    /// The base address is no plain http or https address.
    #[error(
        "the provider's base URL must be http or https with a host and without user or password; \
         check DECODO_BASE_URL"
    )]
    BaseUrl,
    /// Neither a user nor a key.
    #[error("the provider has no credentials; set DECODO_USERNAME and DECODO_PASSWORD")]
    NoCredentials,
    /// The key holds characters no header may carry.
    #[error("the provider's API key holds characters an HTTP header cannot carry; copy it again")]
    ApiKey,
    /// A time limit of zero would fail every call.
    #[error("the provider's call timeout must be longer than zero")]
    Timeout,
    /// TLS or the connection pool failed to start.
    #[error("the provider's HTTP client could not be built; check the system's CA certificates")]
    Client(#[source] reqwest::Error),
}
