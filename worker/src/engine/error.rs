//! How a handler says that it did not succeed. One conversion per source error decides.

use std::time::Duration;

use entity::DbErr;

/// The end of an attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Trying again may help; the kind's backoff decides when.
    #[error("{code}: {message}")]
    Retry {
        /// Word.
        code: &'static str,
        /// Sentence.
        message: String,
    },
    /// Trying again may help, not before the delay.
    #[error("{code}: {message}")]
    RetryAfter {
        /// Word.
        code: &'static str,
        /// Sentence.
        message: String,
        /// The least pause.
        after: Duration,
    },
    /// Trying again cannot help.
    #[error("{code}: {message}")]
    Fatal {
        /// Word.
        code: &'static str,
        /// Sentence.
        message: String,
    },
    /// It stopped because it was asked to.
    #[error("stopped on request")]
    Cancelled,
    /// Not now; the attempt does not count.
    #[error("snoozed for {0:?}")]
    Snooze(Duration),
    /// The row belongs to another run now: whatever this one did was rolled back.
    #[error("the run lost its fence")]
    FenceLost,
}

impl JobError {
    /// Trying again may help.
    pub fn retry(code: &'static str, message: impl Into<String>) -> Self {
        Self::Retry { code, message: message.into() }
    }

    /// Trying again cannot help.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self::Fatal { code, message: message.into() }
    }
}

impl From<DbErr> for JobError {
    fn from(error: DbErr) -> Self {
        if entity::db::is_conflict(&error) {
            // Nobody's fault: the attempt is given back.
            return Self::Snooze(Duration::from_millis(200));
        }
        Self::retry("database", format!("the database refused: {error}"))
    }
}

impl From<entity::ledger::LedgerError> for JobError {
    fn from(error: entity::ledger::LedgerError) -> Self {
        jobs::JobsError::from(error).into()
    }
}

impl From<models::EngineError> for JobError {
    fn from(error: models::EngineError) -> Self {
        use models::EngineError::{Cancelled, Lost, Overloaded, Stopped};
        let message = error.to_string();
        match error {
            Overloaded { retry_after } => {
                Self::RetryAfter { code: "overloaded", message, after: retry_after }
            }
            Lost => Self::retry("analysis_lost", message),
            // The process ends: nobody's fault.
            Stopped => Self::Snooze(Duration::from_secs(1)),
            Cancelled => Self::Cancelled,
        }
    }
}

impl From<serde_json::Error> for JobError {
    fn from(error: serde_json::Error) -> Self {
        Self::fatal("bad_output", format!("the result cannot be written as JSON: {error}"))
    }
}

impl From<jobs::JobsError> for JobError {
    fn from(error: jobs::JobsError) -> Self {
        match error {
            jobs::JobsError::Db(error) => error.into(),
            jobs::JobsError::Payload { source, .. } => source.into(),
            jobs::JobsError::Unpaid(refusal) => Self::fatal("unpaid", refusal.to_string()),
        }
    }
}

impl From<jobs::catalog::DecodeError> for JobError {
    fn from(error: jobs::catalog::DecodeError) -> Self {
        Self::fatal("bad_payload", error.to_string())
    }
}
