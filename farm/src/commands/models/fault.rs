//! Why a pull did not come to its end: each as one sentence.

use std::time::Duration;

use models::store::StoreError;

use super::super::text;

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No connection.
    #[error("{host} cannot be reached: {why}")]
    Unreachable { host: String, why: String },
    /// One that ended before the file did.
    #[error(
        "{host} broke off {file} at {} of {}: {why}; what was fetched is kept",
        text::bytes(*have), text::bytes(*size)
    )]
    Broken { host: String, file: String, have: u64, size: u64, why: String },
    /// The host says no.
    #[error("{host} answers {status} for {what}")]
    Refused { host: String, status: u16, what: String },
    /// The revision has no such file.
    #[error("{repository} has no {file} at revision {revision}{hint}")]
    NoFile { repository: String, file: String, revision: String, hint: &'static str },
    /// What the host says of a revision cannot be read.
    #[error("what {host} says of {repository} cannot be read: {why}")]
    Strange { host: String, repository: String, why: String },
    /// The file has another length than the pinned one.
    #[error("{file} of {repository} should have {want} bytes, and {host} sends {is}")]
    WrongLength { host: String, repository: String, file: String, want: u64, is: String },
    /// The file has another content than the pinned one.
    #[error(
        "{file} of {repository} arrived with {kind} {is} instead of {want}; it was thrown away"
    )]
    WrongSum { repository: String, file: String, kind: &'static str, want: String, is: String },
    /// The disk is too full.
    #[error("{} more are needed in {folder}, and {} are free", text::bytes(*needed), text::bytes(*free))]
    NoRoom { folder: String, needed: u64, free: u64 },
    /// Another pull holds the folder.
    #[error("another pull or preparation is at work in {folder}; wait for it to end")]
    Busy { folder: String },
    /// It takes longer than was allowed.
    #[error("not finished within {}; what is not whole does not count as here, and the next pull goes on", text::span(within.as_millis() as i64))]
    TooSlow { within: Duration },
    /// The way around the host is closed too.
    #[error("{host}; and {python}")]
    BothWays { host: Box<Fault>, python: Box<Fault> },
    /// pip, or the package.
    #[error("the Python package {package} cannot be had: {why}")]
    Package { package: String, why: String },
    /// The folder.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// Whether the host or the way to it is at fault, and not the file.
    pub(super) fn is_of_the_host(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Broken { .. }
                | Self::Refused { .. }
                | Self::Strange { .. }
        )
    }

    /// Whether another attempt may go better.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
