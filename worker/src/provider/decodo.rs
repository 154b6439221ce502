//! The Decodo client: one HTTP call at a time, up the ladder, inside every limit.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jobs::limit::RateLimit;
use jobs::process::Secret;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use reqwest::{Client, RequestBuilder, Response, redirect};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::answer::{self, Answer};
use super::body::{self, Body};
use super::breaker::{BreakerState, Gate, Refused};
use super::config::{DecodoConfig, ProviderError};
use super::ladder::{Climb, Next, Step};
use super::retry::RetryBudget;
use super::{CallBudget, CallOutcome, FetchOutcome, FetchReport, ProfileProvider, clean};

/// Longest deadline and `Retry-After` taken seriously.
const ONE_DAY: Duration = Duration::from_hours(24);

enum Credentials {
    Password { username: String, password: Secret },
    Key(HeaderValue),
}

/// Client of the vendor's scraping API. One per process: it holds the connection pool, the rate
/// limit, the retry budget and the circuit breaker.
pub struct Decodo {
    http: Client,
    endpoint: Url,
    credentials: Credentials,
    call_timeout: Duration,
    slots: Semaphore,
    rate: Arc<RateLimit>,
    gate: Gate,
    retries: Mutex<RetryBudget>,
    start: Instant,
    pauses: super::Pauses,
}

impl fmt::Debug for Decodo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decodo").field("host", &self.endpoint.host_str()).finish_non_exhaustive()
    }
}

impl Decodo {
    /// Builds the client; refuses settings that cannot work. Makes no call.
    pub fn new(config: DecodoConfig) -> Result<Self, ProviderError> {
        let endpoint = endpoint(&config.base_url)?;
        if config.call_timeout.is_zero() {
            return Err(ProviderError::Timeout);
        }
        let connections = config.connections.get().min(Semaphore::MAX_PERMITS);
        let mut builder = Client::builder()
            .user_agent(concat!("farm/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // The ladder is the only one to repeat a call.
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(connections)
            .timeout(config.call_timeout);
        if is_loopback(&endpoint) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(ProviderError::Client)?,
            endpoint,
            credentials: credentials(&config)?,
            call_timeout: config.call_timeout,
            slots: Semaphore::new(connections),
            rate: config.rate,
            gate: Gate::new(config.breaker),
            retries: Mutex::new(RetryBudget::new(config.retry_floor)),
            start: Instant::now(),
            pauses: config.pauses,
        })
    }

    async fn climb(&self, climb: &mut Climb, handle: &str, deadline: Instant) -> FetchOutcome {
        let mut pauses = self.pauses.series();
        let mut retry = false;
        loop {
            let Some(step) = climb.next_step() else {
                return climb.ended("the job has no provider calls left");
            };
            if let Some(refused) = self.gate.refusal() {
                return circuit_open(refused);
            }
            let Ok(slot) = self.slots.acquire().await else {
                return climb.unavailable("the provider client is shutting down");
            };
            self.rate.turn().await;
            if !self.may_call(climb.at_start(), retry) {
                return climb.unavailable(
                    "too many provider calls are failing to repeat this one now; \
                     the retry budget is used up",
                );
            }
            // Asked last, so that a probe is not held while waiting for a slot.
            let passage = match self.gate.enter(handle) {
                Ok(passage) => passage,
                Err(refused) => return circuit_open(refused),
            };
            climb.sent(step);
            let (status, answer) = self.call(step, handle).await;
            passage.settle(answer.verdict());
            drop(slot);
            match climb.answered(status, answer) {
                Next::Stop(outcome) => return outcome,
                Next::Pause { at_least, retry: failed } => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if at_least.is_some_and(|wait| wait >= left) {
                        return climb.unavailable(
                            "the provider asks to wait longer than this attempt may take",
                        );
                    }
                    retry = failed;
                    sleep(pauses.next(at_least)).await;
                }
            }
        }
    }

    /// Counts the call; false when it is a retry and none is left.
    fn may_call(&self, first: bool, retry: bool) -> bool {
        let mut budget = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.start.elapsed();
        if first {
            budget.first(now);
        }
        !retry || budget.try_retry(now)
    }

    async fn call(&self, step: &Step, handle: &str) -> (Option<u16>, Answer) {
        let mut request = json!({
            "target": step.target,
            "query": handle,
            "render_js": step.render_js,
        });
        if let Some(geo) = step.geo {
            request["geo_location"] = json!(geo);
        }
        let sent = self
            .authorized(self.http.post(self.endpoint.clone()))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .json(&request)
            .send()
            .await;
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                (Some(status), self.read(status, response, handle).await)
            }
            Err(error) => (None, self.broken(&error)),
        }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credentials {
            Credentials::Password { username, password } => {
                request.basic_auth(username, Some(password.expose()))
            }
            Credentials::Key(value) => request.header(AUTHORIZATION, value.clone()),
        }
    }

    async fn read(&self, status: u16, response: Response, handle: &str) -> Answer {
        match status {
            200 => match body::read(response, body::MAX_BODY).await {
                Ok(Body::Whole(bytes)) => answer::read(&bytes, handle),
                Ok(Body::Cut(bytes)) => Answer::Garbage {
                    outcome: CallOutcome::TooLarge,
                    reason: format!("the body is larger than {} bytes", body::MAX_BODY),
                    raw: body::raw(&bytes),
                },
                Err(error) => self.broken(&error),
            },
            401 | 403 => Answer::Auth,
            404 => Answer::Empty,
            204 | 429 | 500 | 502 | 503 | 504 | 524 | 613 => Answer::Unstable {
                outcome: if status == 429 {
                    CallOutcome::RateLimited
                } else {
                    CallOutcome::Instability
                },
                reason: format!("the provider answered HTTP {status}"),
                retry_after: retry_after(response.headers()),
            },
            _ => {
                // The status decides; a body that breaks off only loses its tail.
                let raw = match body::read(response, body::MAX_RAW).await {
                    Ok(Body::Whole(bytes) | Body::Cut(bytes)) => body::raw(&bytes),
                    Err(_) => String::new(),
                };
                Answer::Fatal { status, raw }
            }
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Answer {
        let (outcome, reason) = if error.is_timeout() {
            let limit = self.call_timeout.as_secs_f64();
            (CallOutcome::Timeout, format!("no complete answer within {limit} s"))
        } else if error.is_connect() {
            (CallOutcome::Connect, "no connection to the provider".to_owned())
        } else {
            (CallOutcome::Instability, "the connection broke during the call".to_owned())
        };
        Answer::Unstable { outcome, reason, retry_after: None }
    }
}

/// What ended a climb.
enum End {
    Cancelled,
    Deadline,
    Outcome(FetchOutcome),
}

#[async_trait]
impl ProfileProvider for Decodo {
    async fn fetch_profile(
        &self,
        handle: &str,
        budget: CallBudget,
        cancel: &CancellationToken,
    ) -> FetchReport {
        let Some(handle) = clean::handle(handle) else {
            // No profile can have such a name, so no call is spent on it.
            return FetchReport { calls: Vec::new(), outcome: FetchOutcome::NotFound };
        };
        let mut climb = Climb::new(budget);
        let deadline = Instant::now() + budget.deadline.min(ONE_DAY);
        // One race for the whole climb: whatever it awaits, both can end it.
        let end = tokio::select! {
            biased;
            () = cancel.cancelled() => End::Cancelled,
            outcome = self.climb(&mut climb, &handle, deadline) => End::Outcome(outcome),
            () = sleep_until(deadline) => End::Deadline,
        };
        let outcome = match end {
            End::Outcome(outcome) => outcome,
            End::Cancelled => {
                climb.broken_off(CallOutcome::Cancelled);
                FetchOutcome::Cancelled
            }
            End::Deadline => {
                climb.broken_off(CallOutcome::Timeout);
                climb.ended("the deadline passed")
            }
        };
        let calls = climb.into_calls();
        for call in &calls {
            let outcome = call.outcome.as_str();
            metrics::counter!("farm_provider_requests_total", "outcome" => outcome).increment(1);
        }
        FetchReport { calls, outcome }
    }

    fn circuit(&self) -> BreakerState {
        self.gate.state()
    }
}

fn endpoint(base: &Url) -> Result<Url, ProviderError> {
    let plain = base.username().is_empty() && base.password().is_none() && base.has_host();
    if !plain || !matches!(base.scheme(), "http" | "https") {
        return Err(ProviderError::BaseUrl);
    }
    let mut endpoint = base.clone();
    endpoint.set_query(None);
    endpoint.set_fragment(None);
    endpoint
        .path_segments_mut()
        .map_err(|()| ProviderError::BaseUrl)?
        .pop_if_empty()
        .extend(["v2", "scrape"]);
    Ok(endpoint)
}

fn credentials(config: &DecodoConfig) -> Result<Credentials, ProviderError> {
    if let Some(key) = &config.api_key {
        let mut value = HeaderValue::from_str(&format!("Basic {}", key.expose()))
            .map_err(|_| ProviderError::ApiKey)?;
        value.set_sensitive(true);
        return Ok(Credentials::Key(value));
    }
    if config.username.is_empty() {
        return Err(ProviderError::NoCredentials);
    }
    let (username, password) = (config.username.clone(), config.password.clone());
    Ok(Credentials::Password { username, password })
}

/// A server on this machine is never reached through a proxy.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn circuit_open(refused: Refused) -> FetchOutcome {
    let retry_after = Some(refused.retry_after);
    FetchOutcome::Unavailable { reason: "provider circuit open".to_owned(), retry_after }
}

/// `Retry-After` in seconds, or as a date counted from the answer's own `Date`: our clock and
/// the provider's need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    let wait = if let Ok(seconds) = value.parse() {
        Duration::from_secs(seconds)
    } else {
        let until = chrono::DateTime::parse_from_rfc2822(value).ok()?;
        let now = chrono::DateTime::parse_from_rfc2822(text(DATE)?).ok()?;
        (until - now).to_std().ok()?
    };
    Some(wait.min(ONE_DAY))
}
