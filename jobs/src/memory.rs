//! Tickets in memory: for one machine, where API and worker share a process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use entity::enums::{Priority, Queue};
use tokio::sync::{broadcast, watch};
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
    arrivals: HashMap<Queue, watch::Sender<u64>>,
    signals: broadcast::Sender<Signal>,
}

impl Default for MemoryTickets {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
            arrivals: Queue::ALL.iter().map(|queue| (*queue, watch::channel(0).0)).collect(),
            signals: broadcast::channel(4_096).0,
        }
    }
}

impl MemoryTickets {
    fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, Tickets>> {
        // Nothing in here can panic half-way; a poisoned lock still guards whole values.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
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
            && let Some(arrivals) = self.arrivals.get(&lane.queue)
        {
            arrivals.send_modify(|count| *count += 1);
        }
        added
    }

    async fn take(&self, queue: Queue, free: usize, reserved: usize) -> Vec<Uuid> {
        let mut taken = vec![];
        let mut low = false;
        {
            let mut lanes = self.lanes();
            for priority in Priority::ALL {
                let most = if priority == Priority::Interactive {
                    free
                } else {
                    free.saturating_sub(reserved)
                };
                let Some(lane) = lanes.get_mut(&Lane { queue, priority }) else { continue };
                let before = lane.order.len();
                while taken.len() < most {
                    let Some(id) = lane.order.pop_front() else { break };
                    lane.present.remove(&id);
                    taken.push(id);
                }
                low |= before > LANE_CAPACITY / 2 && lane.order.len() <= LANE_CAPACITY / 2;
            }
        }
        if low {
            self.publish(Signal::Low(queue));
        }
        taken
    }

    fn arrivals(&self, queue: Queue) -> watch::Receiver<u64> {
        match self.arrivals.get(&queue) {
            Some(arrivals) => arrivals.subscribe(),
            // Every queue has one; without, it would only mean to look now and then.
            None => watch::channel(0).1,
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

    async fn check(&self) -> Result<(), String> {
        Ok(())
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
        assert_eq!(tickets.take(FETCH, 3, 1).await, [ids[3], ids[0]]);
        tickets.push(lane(Priority::Interactive), &ids[4..]).await;
        assert_eq!(tickets.take(FETCH, 1, 1).await, [ids[4]], "the reserved slot");
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
        let mut arrivals = tickets.arrivals(FETCH);
        assert!(tickets.take(FETCH, 1, 0).await.is_empty());
        tickets.push(lane(Priority::Normal), &[Uuid::from_u128(7)]).await;
        arrivals.changed().await.unwrap();
        assert_eq!(tickets.take(FETCH, 1, 0).await, [Uuid::from_u128(7)]);
        assert!(!arrivals.has_changed().unwrap(), "taking is no news");
    }

    #[tokio::test]
    async fn a_lane_that_was_full_says_when_it_is_half_empty() {
        let tickets = MemoryTickets::default();
        let mut signals = tickets.signals();
        let ids: Vec<Uuid> = (0..LANE_CAPACITY as u128).map(Uuid::from_u128).collect();
        tickets.push(lane(Priority::Bulk), &ids).await;
        tickets.take(FETCH, LANE_CAPACITY / 2 - 1, 0).await;
        assert!(signals.try_recv().is_err());
        tickets.take(FETCH, 1, 0).await;
        assert_eq!(signals.try_recv(), Ok(Signal::Low(FETCH)));
        tickets.take(FETCH, 1, 0).await;
        assert!(signals.try_recv().is_err(), "once");
    }
}
