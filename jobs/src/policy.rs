//! What a kind promises: where it runs, how often, how long, and how its end is written.

use std::time::Duration;

use entity::enums::{Action, Priority, Queue};
use serde::{Serialize, de::DeserializeOwned};

use crate::backoff::Backoff;
use crate::catalog::Kind;

/// The rules of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Where it waits.
    pub queue: Queue,
    /// Lane, unless the caller asks for another.
    pub priority: Priority,
    /// Attempts, the first included.
    pub max_attempts: i32,
    /// Pause between attempts.
    pub backoff: Backoff,
    /// One attempt may take so long.
    pub timeout: Duration,
    /// Declared steps of the whole tree; empty when they cannot be counted beforehand.
    pub stages: &'static [&'static str],
    /// How its end is written.
    pub end: End,
    /// Version of the payload's shape.
    pub payload_version: i32,
    /// Credit action it is charged as.
    pub price: Option<Action>,
}

/// The rules of the farm's own housekeeping; two goes are enough, for the next tick comes.
pub const UPKEEP: Policy = Policy {
    queue: Queue::Upkeep,
    priority: Priority::Bulk,
    max_attempts: 2,
    backoff: Backoff { first: Duration::from_secs(5), max: Duration::from_secs(60) },
    timeout: Duration::from_secs(15 * 60),
    stages: &[],
    end: End::Batched,
    payload_version: 1,
    price: None,
};

/// How a run's success reaches the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It writes nothing else: the runner ends it, many rows in one statement.
    Batched,
    /// The handler commits effects and end in one transaction.
    Committed,
}

/// A job kind, declared once.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Which entry of the catalog this is.
    const KIND: Kind;
    /// Its rules.
    const POLICY: Policy;
    /// What a succeeded job leaves in `result`.
    type Output: Serialize + DeserializeOwned + Send;

    /// Unique among the unfinished jobs of the kind; everything that changes the work is part of
    /// it. `None` never joins.
    fn key(&self) -> Option<String> {
        None
    }

    /// Steps of the work, where they are not the stages of its policy; `None` when they are counted
    /// as it begins.
    fn steps(&self) -> Option<i32> {
        let stages = Self::POLICY.stages.len() as i32;
        (stages > 0).then_some(stages)
    }

    /// The handle the work is about, for clients that show it.
    fn handle(&self) -> Option<&str> {
        None
    }
}
