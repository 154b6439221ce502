//! A job that does as it is told: for benchmarks, storms and tests of the engine.

use std::time::Duration;

use entity::enums::{Priority, Queue};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::catalog::Kind;
use crate::policy::{End, Job, Policy};

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noop {
    /// Unique key, when given.
    #[serde(default)]
    pub key: Option<String>,
    /// Work for so many milliseconds.
    #[serde(default)]
    pub ms: u64,
    /// How it misbehaves.
    #[serde(default)]
    pub fail: Option<NoopFail>,
    /// Append one row to the table of effects.
    #[serde(default)]
    pub effects: bool,
    /// Leave in the result when it began.
    #[serde(default)]
    pub tell_start: bool,
}

/// Ways to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoopFail {
    /// Fails every attempt; more may help.
    Retry,
    /// Fails every attempt but the last.
    UntilLast,
    /// Fails for good.
    Fatal,
    /// Panics.
    Panic,
    /// Ignores its timeout.
    Hang,
    /// Kills the process.
    Abort,
    /// Keeps a thread busy for ever.
    Spin,
    /// Overflows its stack, which kills the process.
    Overflow,
}

/// What it has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoopDone {
    /// When it began, in microseconds since 1970 by the clock of the worker's machine; only when
    /// asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<u64>,
}

impl Job for Noop {
    const KIND: Kind = Kind::Noop;
    const POLICY: Policy = Policy {
        queue: Queue::Upkeep,
        priority: Priority::Normal,
        max_attempts: 3,
        backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10) },
        timeout: Duration::from_secs(60),
        stages: &["work"],
        end: End::Batched,
        payload_version: 1,
        price: None,
    };
    type Output = NoopDone;

    fn key(&self) -> Option<String> {
        self.key.clone()
    }
}
