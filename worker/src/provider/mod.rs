//! The profile provider: the seam ([`ProfileProvider`]), the neutral answer ([`FetchedProfile`])
//! and the one client behind it ([`Decodo`]).
//!
//! Nothing above this module knows the vendor's words. It holds no database and no job: the
//! caller says how many calls are left ([`CallBudget`]) and stores what was made of them
//! ([`FetchReport`]). Start reading at `ladder.rs`, then `decodo.rs`.

mod answer;
mod body;
pub mod breaker;
mod caption;
mod clean;
mod config;
mod decodo;
mod fetched;
mod ladder;
pub mod mapping;
pub mod mapping_basic;
mod retry;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use breaker::BreakerState;
pub(crate) use caption::hashtags;
pub use config::{DecodoConfig, ProviderError};
pub use decodo::Decodo;
pub use fetched::{FetchedPost, FetchedProfile, FetchedRelated};
pub use jobs::process::Secret;
pub use retry::Pauses;

/// Most provider calls of one job attempt.
pub const CALLS_PER_ATTEMPT: u32 = 5;
/// Most provider calls over all attempts of one job.
pub const CALLS_PER_JOB: u32 = 10;
/// This many empty answers in a row say that the profile does not exist.
pub const EMPTIES_FOR_NOT_FOUND: u32 = 3;

/// Fetches public profiles by handle.
#[async_trait]
pub trait ProfileProvider: Send + Sync {
    /// Fetches one profile within `budget`; returns early when `cancel` fires.
    ///
    /// Never fails: every ending is a [`FetchOutcome`], and every call made is in the report.
    async fn fetch_profile(
        &self,
        handle: &str,
        budget: CallBudget,
        cancel: &CancellationToken,
    ) -> FetchReport;

    /// Whether calls are let through, for health and metrics.
    fn circuit(&self) -> BreakerState;
}

/// How much of the provider one job attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallBudget {
    /// Calls allowed now; more than [`CALLS_PER_ATTEMPT`] counts as that.
    pub calls: u32,
    /// Time for all calls and the pauses between them.
    pub deadline: Duration,
    /// Empty answers in a row at the end of the job's earlier attempts.
    pub empties_before: u32,
}

impl CallBudget {
    /// The budget of the next attempt of a job that has made `used` calls so far, of which the
    /// last `empties_before` were empty. The deadline is 45 s.
    pub fn for_job(used: u32, empties_before: u32) -> Self {
        Self {
            calls: CALLS_PER_ATTEMPT.min(CALLS_PER_JOB.saturating_sub(used)),
            deadline: Duration::from_secs(45),
            empties_before,
        }
    }
}

/// What became of one `fetch_profile`.
#[derive(Debug, Clone)]
pub struct FetchReport {
    /// Every call made, in order; a call broken off midway is among them.
    pub calls: Vec<CallRecord>,
    /// How the fetch ended.
    pub outcome: FetchOutcome,
}

impl FetchReport {
    /// Empty answers in a row after this report, for the next attempt's
    /// [`CallBudget::empties_before`]; `before` is the value this attempt started with.
    pub fn empties_in_a_row(&self, before: u32) -> u32 {
        self.calls.iter().fold(before, |row, call| match call.outcome {
            CallOutcome::Empty => row.saturating_add(1),
            // A call we broke off says nothing either way.
            CallOutcome::Cancelled => row,
            _ => 0,
        })
    }
}

/// One call, as stored with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Step of the ladder, for example `graphql_js`.
    pub step: String,
    /// What came of it.
    pub outcome: CallOutcome,
    /// HTTP status, when one arrived.
    pub http_status: Option<u16>,
    /// Milliseconds from sending to the end of the body.
    pub ms: u64,
}

/// Outcome of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// A profile.
    Ok,
    /// A profile that is private.
    Private,
    /// An answer without a profile in it.
    Empty,
    /// HTTP 429.
    RateLimited,
    /// A passing failure on the provider's side.
    Instability,
    /// No complete answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// Credentials refused.
    Auth,
    /// A status that no retry will change.
    FatalStatus,
    /// An answer of no known shape.
    BadShape,
    /// A body over the limit.
    TooLarge,
    /// Broken off by the caller.
    Cancelled,
}

impl CallOutcome {
    /// The outcome as stored and as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Private => "private",
            Self::Empty => "empty",
            Self::RateLimited => "rate_limited",
            Self::Instability => "instability",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Auth => "auth",
            Self::FatalStatus => "fatal_status",
            Self::BadShape => "bad_shape",
            Self::TooLarge => "too_large",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a fetch ended.
#[derive(Clone)]
pub enum FetchOutcome {
    /// The profile; a private one is found too, without posts.
    Found(Box<FetchedProfile>),
    /// The provider says, often enough, that there is no such profile.
    NotFound,
    /// No answer now; worth another attempt.
    Unavailable {
        /// What went wrong, without secrets or bodies.
        reason: String,
        /// Earliest time worth trying again, from now.
        retry_after: Option<Duration>,
    },
    /// The credentials were refused; no retry will help.
    AuthBroken,
    /// The provider answered, and no retry will make it readable.
    BadShape {
        /// What was wrong with it.
        reason: String,
        /// The body, at most 64 KiB, without NUL characters.
        raw: String,
    },
    /// The caller cancelled.
    Cancelled,
}

// By hand, so that a logged outcome never carries a body or a profile's texts.
impl fmt::Debug for FetchOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(profile) => f
                .debug_struct("Found")
                .field("posts", &profile.posts.len())
                .field("partial", &profile.partial)
                .finish_non_exhaustive(),
            Self::NotFound => f.write_str("NotFound"),
            Self::Unavailable { reason, retry_after } => f
                .debug_struct("Unavailable")
                .field("reason", reason)
                .field("retry_after", retry_after)
                .finish(),
            Self::AuthBroken => f.write_str("AuthBroken"),
            Self::BadShape { reason, raw } => f
                .debug_struct("BadShape")
                .field("reason", reason)
                .field("raw_bytes", &raw.len())
                .finish(),
            Self::Cancelled => f.write_str("Cancelled"),
        }
    }
}
