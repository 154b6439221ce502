//! Tickets in memory: for one machine, where API and worker share a process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use entity::enums::{Priority, Queue};
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use crate::ticket::{LANE_CAPACITY, Lane, Signal, TicketQueue};

#[derive(Debug, Default)]
struct Tickets {
    order: VecDeque<Uuid>,
    present: HashSet<Uuid>,
}

/// The ticket queue of one process.
#[derive(Debug)]
pub struct MemoryTickets {
    lanes: Mutex<HashMap<Lane, Tickets>>,
    wake: HashMap<Queue, Notify>,
    signals: broadcast::Sender<Signal>,
}

impl Default for MemoryTickets {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            wake: Queue::ALL.iter().map(|queue| (*queue, Notify::new())).collect(),
            signals: broadcast::channel(4_096).0,
        }
    }
}

impl MemoryTickets {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Tickets>> {
        // Nothing in here can panic half-way; a poisoned lock still guards whole values.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, queue: Queue, free: usize, reserved: usize) -> Vec<Uuid> {
        let mut lanes = self.lanes();
        let mut taken = vec![];
        for priority in Priority::ALL {
            let most = if priority == Priority::Interactive {
                free
            } else {
                free.saturating_sub(reserved)
            };
            if let Some(lane) = lanes.get_mut(&Lane { queue, priority }) {
                while taken.len() < most {
                    let Some(id) = lane.order.pop_front() else { break };
                    lane.present.remove(&id);
                    taken.push(id);
                }
            }
        }
        taken
    }
}

#[async_trait]
impl TicketQueue for MemoryTickets {
    async fn push(&self, lane: Lane, ids: &[Uuid]) -> usize {
        let mut added = 0;
        {
            let mut lanes = self.lanes();
            let tickets = lanes.entry(lane).or_default();
            for id in ids {
                if tickets.order.len() >= LANE_CAPACITY {
                    break;
                }
                if tickets.present.insert(*id) {
                    tickets.order.push_back(*id);
                    added += 1;
                }
            }
        }
        if added > 0
            && let Some(wake) = self.wake.get(&lane.queue)
        {
            // Everybody: one worker may have reserved slots only, or fewer than there are tickets.
            wake.notify_waiters();
        }
        added
    }

    async fn pop(&self, queue: Queue, free: usize, reserved: usize) -> Vec<Uuid> {
        let Some(wake) = self.wake.get(&queue) else { return vec![] };
        loop {
            // Listening starts before the look, so that a push in between is not missed.
            let mut pushed = pin!(wake.notified());
            pushed.as_mut().enable();
            let taken = self.take(queue, free, reserved);
            if !taken.is_empty() {
                return taken;
            }
            pushed.await;
        }
    }

    async fn len(&self, lane: Lane) -> usize {
        self.lanes().get(&lane).map_or(0, |tickets| tickets.order.len())
    }

    async fn wipe(&self) {
        self.lanes().clear();
    }

    fn publish(&self, signal: Signal) {
        // Nobody listening is fine.
        let _ = self.signals.send(signal);
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.signals.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FETCH: Queue = Queue::Fetch;

    fn lane(priority: Priority) -> Lane {
        Lane { queue: FETCH, priority }
    }

    #[tokio::test]
    async fn urgent_tickets_go_first_and_keep_their_slots() {
        let tickets = MemoryTickets::default();
        let ids: Vec<Uuid> = (0..6).map(Uuid::from_u128).collect();
        tickets.push(lane(Priority::Bulk), &ids[..3]).await;
        tickets.push(lane(Priority::Interactive), &ids[3..4]).await;
        assert_eq!(tickets.pop(FETCH, 3, 1).await, [ids[3], ids[0]]);
        tickets.push(lane(Priority::Interactive), &ids[4..]).await;
        assert_eq!(tickets.pop(FETCH, 1, 1).await, [ids[4]], "the reserved slot");
        assert_eq!(tickets.len(lane(Priority::Bulk)).await, 2);
    }

    #[tokio::test]
    async fn a_present_ticket_is_passed_over_and_a_full_lane_takes_no_more() {
        let tickets = MemoryTickets::default();
        let ids: Vec<Uuid> = (0..LANE_CAPACITY as u128 + 5).map(Uuid::from_u128).collect();
        assert_eq!(tickets.push(lane(Priority::Normal), &ids[..2]).await, 2);
        assert_eq!(tickets.push(lane(Priority::Normal), &ids).await, LANE_CAPACITY - 2);
        assert_eq!(tickets.len(lane(Priority::Normal)).await, LANE_CAPACITY);
    }

    #[tokio::test]
    async fn a_waiting_worker_wakes_at_once() {
        let tickets = std::sync::Arc::new(MemoryTickets::default());
        let waiting = tokio::spawn({
            let tickets = tickets.clone();
            async move { tickets.pop(FETCH, 1, 0).await }
        });
        tokio::task::yield_now().await;
        tickets.push(lane(Priority::Normal), &[Uuid::from_u128(7)]).await;
        assert_eq!(waiting.await.unwrap(), [Uuid::from_u128(7)]);
    }
}
