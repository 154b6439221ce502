//! Where reading is paid for. Purchases that come while others are being booked are booked together
//! in one transaction: a commit waits for the disk, and one for many costs what one for each would.
//!
//! There are several lanes, so that one is booked while another waits for the disk. All purchases of
//! a user are in the same one: no two lanes ever want the same wallet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sea_orm::{DbBackend, DbErr};
use tokio::sync::oneshot;

use super::Refusal;
use super::spend::{self, Purchase, Spent};
use crate::db::{Db, is_conflict};

/// Purchases of one transaction, at most.
const MOST: usize = 256;
/// Purchases that wait in a lane, at most; more are refused rather than kept waiting.
const WAITING: usize = 10_000;
/// Lanes where several can write at once. With more of them each booking is of fewer purchases.
const LANES: usize = 3;

/// What became of a purchase.
type Answer = Result<Result<Spent, Refusal>, DbErr>;
/// What became of several.
type Answers = Result<Vec<Result<Spent, Refusal>>, DbErr>;

/// Why a purchase was neither booked nor refused.
#[derive(Debug, thiserror::Error)]
pub enum TillError {
    /// More wait than can be served soon.
    #[error("too many purchases at once; try again")]
    Full,
    /// Whoever booked it broke off: it may have been booked, and is not booked again.
    #[error("the booking of this purchase broke off")]
    BrokenOff,
    /// The database refused.
    #[error(transparent)]
    Db(#[from] DbErr),
}

/// Queues, and who books what waits in them. All handles are on the same ones.
#[derive(Clone, Debug)]
pub struct Till(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    lanes: Vec<Mutex<Queue>>,
    transactions: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(Purchase, oneshot::Sender<Answer>)>,
    /// Somebody is booking, and will take what waits.
    open: bool,
}

impl Till {
    /// Books in this database.
    pub fn new(db: Db) -> Self {
        // SQLite has one writer.
        let lanes = if db.backend() == DbBackend::Sqlite { 1 } else { LANES };
        let lanes = std::iter::repeat_with(Mutex::default).take(lanes).collect();
        Self(Arc::new(Inner { db, lanes, transactions: AtomicU64::default() }))
    }

    /// How many transactions there were.
    pub fn transactions(&self) -> u64 {
        self.0.transactions.load(Ordering::Relaxed)
    }

    /// Pays, together with whoever else does now.
    ///
    /// # Errors
    /// When it could not be booked; a refusal is no error.
    pub async fn pay(&self, purchase: Purchase) -> Result<Result<Spent, Refusal>, TillError> {
        self.pay_by(purchase, spend_all).await
    }

    async fn pay_by<F>(
        &self,
        purchase: Purchase,
        book: impl Fn(Arc<Inner>, Vec<Purchase>) -> F + Clone + Send + 'static,
    ) -> Result<Result<Spent, Refusal>, TillError>
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let lane = (purchase.user().as_u128() % self.0.lanes.len() as u128) as usize;
        let first = {
            let mut queue = self.0.queue(lane);
            if queue.waiting.len() >= WAITING {
                return Err(TillError::Full);
            }
            queue.waiting.push((purchase, sender));
            !std::mem::replace(&mut queue.open, true)
        };
        if first {
            // On its own: a caller that hangs up takes nobody's purchase along.
            tokio::spawn(serve(Shift { inner: self.0.clone(), lane }, book));
        }
        Ok(answer.await.map_err(|_| TillError::BrokenOff)??)
    }
}

impl Inner {
    fn queue(&self, lane: usize) -> MutexGuard<'_, Queue> {
        self.lanes[lane].lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_spend(&self, purchases: &[Purchase]) -> Answers {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        let tx = self.db.begin().await?;
        let answers = spend::spend(&tx, purchases).await?;
        tx.commit().await?;
        Ok(answers)
    }
}

/// One who books in a lane. Should they fall over, those who wait must not wait for ever: their
/// places are given up, and whoever comes next finds the lane closed and opens it.
struct Shift {
    inner: Arc<Inner>,
    lane: usize,
}

impl Drop for Shift {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut queue = self.inner.queue(self.lane);
            queue.open = false;
            queue.waiting.clear();
        }
    }
}

/// Books what waits until nothing does.
async fn serve<F>(shift: Shift, book: impl Fn(Arc<Inner>, Vec<Purchase>) -> F)
where
    F: Future<Output = Answers>,
{
    loop {
        let batch: Vec<_> = {
            let mut queue = shift.inner.queue(shift.lane);
            let most = queue.waiting.len().min(MOST);
            queue.open = most > 0;
            queue.waiting.drain(..most).collect()
        };
        if batch.is_empty() {
            return;
        }
        let (purchases, senders): (Vec<Purchase>, Vec<_>) = batch.into_iter().unzip();
        match book(shift.inner.clone(), purchases.clone()).await {
            Ok(answers) => {
                for (sender, answer) in senders.into_iter().zip(answers) {
                    // Who has gone finds it bought when they come again.
                    let _ = sender.send(Ok(answer));
                }
            }
            // One of them may be what the database refuses: each for itself.
            Err(_) => {
                for (sender, purchase) in senders.into_iter().zip(purchases) {
                    let alone = book(shift.inner.clone(), vec![purchase]).await;
                    let answer =
                        alone.and_then(|mut answers| answers.pop().ok_or(DbErr::RecordNotInserted));
                    let _ = sender.send(answer);
                }
            }
        }
    }
}

/// One transaction; again when others were in its way.
async fn spend_all(inner: Arc<Inner>, purchases: Vec<Purchase>) -> Answers {
    let mut done = inner.try_spend(&purchases).await;
    for _ in 0..3 {
        if !matches!(&done, Err(error) if is_conflict(error)) {
            break;
        }
        done = inner.try_spend(&purchases).await;
    }
    done
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::prelude::Uuid;

    use super::*;

    fn purchase() -> Purchase {
        Purchase::Unlock { user: Uuid::now_v7(), profile: Uuid::now_v7() }
    }

    async fn falls_over(_: Arc<Inner>, _: Vec<Purchase>) -> Answers {
        // So that others come to wait behind it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        panic!("told to");
    }

    async fn refuses(_: Arc<Inner>, purchases: Vec<Purchase>) -> Answers {
        Ok(purchases.iter().map(|_| Err(Refusal::NoWallet)).collect())
    }

    #[tokio::test]
    async fn a_booking_that_falls_over_leaves_nobody_waiting_and_the_till_open() {
        let till = Till::new(Db::connect("sqlite::memory:", 1).await.unwrap());
        let call = |_| {
            let till = till.clone();
            tokio::spawn(async move { till.pay_by(purchase(), falls_over).await })
        };
        let callers: Vec<_> = (0..20).map(call).collect();
        let all = async {
            for caller in callers {
                assert!(matches!(caller.await.unwrap(), Err(TillError::BrokenOff)));
            }
            // Whoever comes next is served.
            let next = till.pay_by(purchase(), refuses).await;
            assert!(matches!(next, Ok(Err(Refusal::NoWallet))), "{next:?}");
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    }
}
