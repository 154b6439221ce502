//! Tickets: ids of rows, in bounded lanes. Losing them loses nothing (upkeep sends missing ones
//! again) and a ticket too many is harmless (its claim fails).

use async_trait::async_trait;
use entity::enums::{Priority, Queue};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// A lane of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// The queue.
    pub queue: Queue,
    /// The priority.
    pub priority: Priority,
}

/// Tickets a lane holds; the backlog beyond them stays in the database.
pub const LANE_CAPACITY: usize = 1_000;

/// News about jobs, for whoever waits in any process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The versions of these jobs changed.
    Changed(Vec<Uuid>),
    /// These running jobs were asked to stop.
    Stop(Vec<Uuid>),
    /// A lane of this queue has become half empty: there may be more in the database.
    Low(Queue),
}

/// Where tickets wait, and how news travels. In memory on one machine; Redis in a cluster.
#[async_trait]
pub trait TicketQueue: Send + Sync + 'static {
    /// Adds tickets; a ticket that is already in the lane is passed over, and so is all that
    /// finds the lane full. Returns how many were added; none while the queue is away.
    async fn push(&self, lane: Lane, ids: &[Uuid]) -> usize;

    /// Takes at most `free` tickets of a queue, most urgent lane first, without waiting for any.
    /// The last `reserved` slots are for interactive tickets only. Let it run to its end: what it
    /// took when it is dropped midway is lost until upkeep sends it again.
    async fn take(&self, queue: Queue, free: usize, reserved: usize) -> Vec<Uuid>;

    /// Changes whenever tickets of the queue may have come in. Get it before the first
    /// [`Self::take`], so that nothing is missed in between.
    fn arrivals(&self, queue: Queue) -> watch::Receiver<u64>;

    /// Tickets in a lane now; a lane that cannot be asked counts as full.
    async fn len(&self, lane: Lane) -> usize;

    /// Drops every ticket, as a wiped Redis would.
    async fn wipe(&self);

    /// Tells everybody.
    fn publish(&self, signal: Signal);

    /// Hears everything from now on; a receiver that falls behind misses some, and the re-reads
    /// cover it.
    fn signals(&self) -> broadcast::Receiver<Signal>;

    /// Whether tickets and news get through now.
    ///
    /// # Errors
    /// A sentence without addresses or secrets.
    async fn check(&self) -> Result<(), String>;
}
