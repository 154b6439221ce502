//! Purchases that come while others are being booked are booked together, as the API's till does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use entity::Db;
use entity::ledger::spend::Purchase;
use jobs::process::Failure;
use tokio::sync::oneshot;

/// Purchases of one transaction, at most.
const MOST: usize = 256;

/// A queue, and who books what waits in it.
pub(super) struct Till(Arc<Inner>);

struct Inner {
    db: Db,
    queue: Mutex<Queue>,
    transactions: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(Purchase, oneshot::Sender<Result<(), String>>)>,
    /// Somebody is booking, and will take what waits.
    open: bool,
}

impl Till {
    pub(super) fn new(db: Db) -> Self {
        Self(Arc::new(Inner { db, queue: Mutex::default(), transactions: AtomicU64::new(0) }))
    }

    /// How many transactions there were.
    pub(super) fn transactions(&self) -> u64 {
        self.0.transactions.load(Ordering::Relaxed)
    }

    /// Pays, together with whoever else does now.
    pub(super) async fn pay(&self, purchase: Purchase) -> Result<(), Failure> {
        let (sender, answer) = oneshot::channel();
        let first = {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.waiting.push((purchase, sender));
            !std::mem::replace(&mut queue.open, true)
        };
        if first {
            tokio::spawn(self.0.clone().book());
        }
        let answer = answer.await.map_err(Failure::during("a purchase"))?;
        answer.map_err(Failure::new)
    }
}

impl Inner {
    /// Books what waits until nothing does.
    async fn book(self: Arc<Self>) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let most = queue.waiting.len().min(MOST);
                queue.open = most > 0;
                queue.waiting.drain(..most).collect()
            };
            if batch.is_empty() {
                return;
            }
            let (purchases, senders): (Vec<Purchase>, Vec<_>) = batch.into_iter().unzip();
            let booked = super::book(&self.db, &purchases).await.map_err(|failure| failure.0);
            self.transactions.fetch_add(1, Ordering::Relaxed);
            for sender in senders {
                // Whoever has gone does not mind.
                let _ = sender.send(booked.clone());
            }
        }
    }
}
