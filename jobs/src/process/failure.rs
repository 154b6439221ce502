//! Why a process or a command failed: one sentence for a person at a terminal.

/// A sentence that says what failed, on what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// A failure with its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// For `map_err`: what was being done when a source failed.
    pub fn during<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl From<entity::DbErr> for Failure {
    fn from(error: entity::DbErr) -> Self {
        Self(format!("the database refused: {error}"))
    }
}

impl From<crate::JobsError> for Failure {
    fn from(error: crate::JobsError) -> Self {
        Self(error.to_string())
    }
}
