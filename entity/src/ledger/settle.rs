//! The end of what is held for jobs: spent when the work is done, given back when it is not.

use std::collections::BTreeSet;

use sea_orm::prelude::Uuid;
use sea_orm::{DbErr, FromQueryResult};

use super::HoldState;
use super::account::Hold;
use super::book::{Book, HOLD};
use crate::args;
use crate::db::Tx;
use crate::enums::JobState;
use crate::sql::{self, Arg, list};

#[derive(FromQueryResult)]
struct Open {
    id: Uuid,
    user_id: Uuid,
    state: Option<JobState>,
}

/// Settles what is held for these jobs if they have ended: part of every end. Their rows are locked
/// by it.
pub async fn ended(tx: &Tx, jobs: &[Uuid]) -> Result<(), DbErr> {
    let open: Vec<Open> = sql::all(
        tx,
        "SELECT h.id AS id, h.user_id AS user_id, j.state AS state FROM credit_holds h \
         JOIN jobs j ON j.id = h.job_id WHERE h.job_id IN {list} AND h.state = 'held' \
         AND j.state IN ('succeeded', 'failed', 'cancelled')",
        args![list(jobs)],
    )
    .await?;
    settle(tx, open).await
}

/// Gives back what is held for a job for those who left it: one user, or everybody.
pub async fn left(tx: &Tx, job: Uuid, user: Option<Uuid>) -> Result<(), DbErr> {
    let mut text = String::from(
        "SELECT id, user_id, 'cancelled' AS state FROM credit_holds \
         WHERE job_id = ? AND state = 'held'",
    );
    let mut args = args![job];
    if let Some(user) = user {
        text.push_str(" AND user_id = ?");
        args.push(Arg::from(user));
    }
    settle(tx, sql::all(tx, &text, args).await?).await
}

/// Settles what is held for jobs that have ended for a while, or are gone; returns how many such
/// holds there were. Without a defect there are none.
pub async fn mend(tx: &Tx, limit: u64) -> Result<usize, DbErr> {
    let open: Vec<Open> = sql::all(
        tx,
        &format!(
            "SELECT h.id AS id, h.user_id AS user_id, \
             (SELECT j.state FROM jobs j WHERE j.id = h.job_id) AS state \
             FROM credit_holds h WHERE {STRAY} ORDER BY h.created_at LIMIT ?"
        ),
        args![SLACK_MS, limit as i64],
    )
    .await?;
    let count = open.len();
    settle(tx, open).await?;
    Ok(count)
}

/// So old must a hold without an open job be, in milliseconds: a transaction may be on its way.
pub(crate) const SLACK_MS: i64 = 30_000;

/// Which holds `h` are open although no open job is theirs; takes [`SLACK_MS`].
pub(crate) const STRAY: &str = "h.state = 'held' AND h.created_at < {now-?} \
     AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = h.job_id \
       AND j.state IN ('queued', 'running', 'retrying'))";

async fn settle(tx: &Tx, open: Vec<Open>) -> Result<(), DbErr> {
    if open.is_empty() {
        return Ok(());
    }
    let users: BTreeSet<Uuid> = open.iter().map(|hold| hold.user_id).collect();
    let mut book = Book::open(tx, &users).await?;
    // Again, now that nobody else can settle them.
    let ids: Vec<Uuid> = open.iter().map(|hold| hold.id).collect();
    let text = format!(
        "SELECT {HOLD} FROM credit_holds WHERE id IN {{list}} AND state = 'held' ORDER BY id"
    );
    let holds: Vec<Hold> = sql::all(tx, &text, args![list(&ids)]).await?;
    let months: BTreeSet<&str> = holds.iter().map(|hold| hold.month_year.as_str()).collect();
    book.read_usage(tx, &months.into_iter().collect::<Vec<_>>()).await?;
    let now = book.now;
    for mut hold in holds {
        let Some(account) = book.accounts.get_mut(&hold.user_id) else { continue };
        match open.iter().find(|open| open.id == hold.id).and_then(|open| open.state) {
            Some(JobState::Succeeded) => account.capture(&mut hold, now),
            Some(_) => account.release(&mut hold, HoldState::Released, now),
            None => account.release(&mut hold, HoldState::Expired, now),
        }
        book.settled.push(hold);
    }
    book.close(tx).await
}
