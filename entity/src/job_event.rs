//! `job_events`: what is not the happy path — who, when, why.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::Serialize;

use crate::args;
use crate::sql;
use crate::time::Time;

/// Kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// An attempt failed and another follows.
    Retry,
    /// Its worker was lost.
    Rescued,
    /// Too many workers died under it.
    Poison,
    /// Somebody asked it to stop.
    CancelRequested,
    /// It ended as cancelled.
    Cancelled,
    /// A person queued it again.
    Retried,
    /// An operator queued it again with others.
    Redriven,
    /// The provider's answer could not be read; the detail is its body, kept for a day.
    BadShape,
}

impl EventKind {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Rescued => "rescued",
            Self::Poison => "poison",
            Self::CancelRequested => "cancel_requested",
            Self::Cancelled => "cancelled",
            Self::Retried => "retried",
            Self::Redriven => "redriven",
            Self::BadShape => "bad_shape",
        }
    }
}

/// An event as stored.
#[derive(Clone, Debug, FromQueryResult, Serialize)]
pub struct JobEvent {
    /// Word of [`EventKind`].
    pub event: String,
    /// Why, as a sentence.
    pub detail: String,
    /// When.
    pub at: Time,
}

/// Records an event.
pub async fn add<C: ConnectionTrait>(
    db: &C,
    job: Uuid,
    event: EventKind,
    detail: &str,
) -> Result<(), DbErr> {
    sql::execute(
        db,
        "INSERT INTO job_events (id, job_id, event, detail, at) VALUES (?, ?, ?, ?, {now})",
        args![Uuid::now_v7(), job, event.as_str(), detail],
    )
    .await?;
    Ok(())
}

/// The events of a job, oldest first.
pub async fn of<C: ConnectionTrait>(db: &C, job: Uuid) -> Result<Vec<JobEvent>, DbErr> {
    sql::all(
        db,
        "SELECT event, detail, at FROM job_events WHERE job_id = ? ORDER BY id",
        args![job],
    )
    .await
}
