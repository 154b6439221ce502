//! Where reading is paid for. Purchases that come while others are being booked are booked together
//! in one transaction: a commit waits for the disk, and one for many costs what one for each would.

use std::sync::{Mutex, PoisonError};

use entity::db::is_conflict;
use entity::ledger::Refusal;
use entity::ledger::spend::{self, Purchase, Spent};
use entity::{Db, DbErr};
use tokio::sync::oneshot;

use crate::problem::Problem;
use crate::state::AppState;

/// Purchases of one transaction, at most.
const MOST: usize = 256;
/// Purchases that wait, at most; more are refused rather than kept waiting.
const WAITING: usize = 10_000;

type Answer = Result<Result<Spent, Refusal>, DbErr>;

/// The queue before the till.
#[derive(Debug, Default)]
pub(crate) struct Till(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<(Purchase, oneshot::Sender<Answer>)>,
    /// Somebody is booking, and will take what waits.
    open: bool,
}

impl Till {
    /// Pays, together with whoever else does now.
    pub(crate) async fn pay(
        &self,
        state: &AppState,
        purchase: Purchase,
    ) -> Result<Result<Spent, Refusal>, Problem> {
        let (sender, answer) = oneshot::channel();
        let first = {
            let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.waiting.len() >= WAITING {
                let detail = "too many purchases at once; try again";
                let status = poem::http::StatusCode::SERVICE_UNAVAILABLE;
                return Err(Problem::new(status, "busy", detail).header("Retry-After", "1"));
            }
            queue.waiting.push((purchase, sender));
            !std::mem::replace(&mut queue.open, true)
        };
        if first {
            // On its own: a caller that hangs up takes nobody's purchase along.
            let state = state.clone();
            tokio::spawn(async move { state.till.book(state.farm()).await });
        }
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Problem::internal()),
        }
    }

    /// Books what waits until nothing does.
    async fn book(&self, db: &Db) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let most = queue.waiting.len().min(MOST);
                queue.open = most > 0;
                queue.waiting.drain(..most).collect()
            };
            if batch.is_empty() {
                return;
            }
            let (purchases, senders): (Vec<Purchase>, Vec<_>) = batch.into_iter().unzip();
            match spend_all(db, &purchases).await {
                Ok(answers) => {
                    for (sender, answer) in senders.into_iter().zip(answers) {
                        // Who has gone finds it bought when they come again.
                        let _ = sender.send(Ok(answer));
                    }
                }
                // One of them may be what the database refuses: each for itself.
                Err(_) => {
                    for (sender, purchase) in senders.into_iter().zip(purchases) {
                        let alone = spend_all(db, &[purchase]).await;
                        let answer = alone
                            .and_then(|mut answers| answers.pop().ok_or(DbErr::RecordNotInserted));
                        let _ = sender.send(answer);
                    }
                }
            }
        }
    }
}

/// One transaction; again when others were in its way.
async fn spend_all(db: &Db, purchases: &[Purchase]) -> Result<Vec<Result<Spent, Refusal>>, DbErr> {
    let mut done = try_spend(db, purchases).await;
    for _ in 0..3 {
        if !matches!(&done, Err(error) if is_conflict(error)) {
            break;
        }
        done = try_spend(db, purchases).await;
    }
    done
}

async fn try_spend(db: &Db, purchases: &[Purchase]) -> Result<Vec<Result<Spent, Refusal>>, DbErr> {
    let tx = db.begin().await?;
    let answers = spend::spend(&tx, purchases).await?;
    tx.commit().await?;
    Ok(answers)
}
