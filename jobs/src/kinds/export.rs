//! Write creators, and their posts, into a file for a user.

use std::time::Duration;

use entity::enums::{ExportFormat, Priority, Queue};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::policy::{End, Job, Policy};

/// Creators of one export, at most.
pub const MAX_PROFILES: usize = 1_000;

/// An export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Whose; at most [`MAX_PROFILES`].
    pub profile_ids: Vec<Uuid>,
    /// Write the creators.
    pub profiles: bool,
    /// Write their posts.
    pub posts: bool,
    /// As what.
    pub format: ExportFormat,
    /// CSV only: begin with the mark by which spreadsheets know UTF-8.
    #[serde(default)]
    pub byte_order_mark: bool,
}

/// What a finished export left behind; where the file is, its row knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// As what.
    pub format: ExportFormat,
    /// Rows in it, headings not counted.
    pub rows: u64,
    /// Creators in it.
    pub profiles: u32,
    /// Bytes.
    pub size_bytes: u64,
    /// Of its bytes; hex.
    pub sha256: String,
}

/// Says which creators are not unlocked, by handle; of many the first twenty.
pub fn not_unlocked(locked: &[String]) -> String {
    const NAMED: usize = 20;
    let names = locked.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match locked.len().saturating_sub(NAMED) {
        0 => format!("not unlocked: {names}"),
        more => format!("not unlocked: {names} and {more} more"),
    }
}

impl Job for Export {
    const KIND: Kind = Kind::Export;
    const POLICY: Policy = Policy {
        queue: Queue::Export,
        priority: Priority::Normal,
        max_attempts: 3,
        backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
        timeout: Duration::from_secs(30 * 60),
        stages: &["collect", "write", "upload"],
        end: End::Committed,
        payload_version: 1,
        price: None,
    };
    type Output = Exported;

    fn steps(&self) -> Option<i32> {
        // Counted in rows, as it begins.
        None
    }
}
