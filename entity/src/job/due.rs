//! Which waiting rows should have tickets: due, of queues that are not paused and kinds that a
//! live worker announced, users by turns.
//!
//! Every statement reads a short range of one index, so that a refill costs the same over a
//! thousand waiting rows and over a million. (Rows of a kind that nobody announced are stepped
//! over one by one.)

use std::collections::VecDeque;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use super::Priority;
use crate::sql::{self, Arg, list};
use crate::time::Time;
use crate::{args, queue_control, worker};

/// A due row that should have a ticket.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Due {
    /// The job.
    pub id: Uuid,
    /// Its queue.
    pub queue: String,
    /// Its lane.
    pub priority: Priority,
    /// Since when it is due.
    pub run_at: Time,
}

/// Users of a lane who get a turn in one refill; others come in one of the next.
const OWNERS: usize = 50;

/// The next due rows of these lanes, at most `per_lane` each: round-robin over users, each user's
/// oldest first.
pub async fn due<C: ConnectionTrait>(
    db: &C,
    lanes: &[(&str, Priority)],
    per_lane: usize,
) -> Result<Vec<Due>, DbErr> {
    let kinds = worker::live_kinds(db).await?;
    if kinds.is_empty() || lanes.is_empty() {
        return Ok(vec![]);
    }
    let paused = queue_control::paused(db).await?;
    let mut all = vec![];
    for lane in occupied(db, lanes).await? {
        if paused.iter().any(|pause| pause.queue == lane.queue) {
            continue;
        }
        match of_lane(db, &lane, &kinds, per_lane).await {
            Ok(due) => all.extend(due),
            // One lane that cannot be read must not empty the others.
            Err(error) => tracing::warn!(%error, queue = %lane.queue, "a lane was not refilled"),
        }
    }
    Ok(all)
}

async fn of_lane<C: ConnectionTrait>(
    db: &C,
    lane: &Lane,
    kinds: &[String],
    per_lane: usize,
) -> Result<Vec<Due>, DbErr> {
    let owners = owners(db, lane).await?;
    // With many owners each has few; a short list is filled up by the next refill.
    let each = if owners.len() <= 8 { per_lane } else { (2 * per_lane / owners.len()).max(4) };
    let mut lists = vec![];
    for owner in owners {
        lists.push(of_owner(db, lane, owner, kinds, each).await?);
    }
    Ok(by_turns(lists, per_lane))
}

#[derive(FromQueryResult)]
struct Lane {
    queue: String,
    priority: Priority,
}

/// Those of the lanes in which anything is due.
async fn occupied<C: ConnectionTrait>(
    db: &C,
    lanes: &[(&str, Priority)],
) -> Result<Vec<Lane>, DbErr> {
    let rows = lanes.iter().map(|(queue, priority)| args![*queue, *priority as i16]).collect();
    sql::all(
        db,
        // `run >= 0` asks for the index by due time, which the other statements here must not use.
        "SELECT column1::text AS queue, column2::smallint AS priority FROM {rows} \
         WHERE EXISTS (SELECT 1 FROM jobs WHERE state IN ('queued', 'retrying') AND run >= 0 \
           AND queue = column1::text AND priority = column2::smallint AND run_at <= {now})",
        vec![Arg::Rows(rows)],
    )
    .await
}

#[derive(FromQueryResult)]
struct Owner {
    user_id: Uuid,
}

/// Users with waiting rows in a lane, from `after` on: one step of the index per user, however
/// many rows each has.
async fn owners_after<C: ConnectionTrait>(
    db: &C,
    lane: &Lane,
    after: Uuid,
) -> Result<Vec<Uuid>, DbErr> {
    let (queue, priority) = (lane.queue.as_str(), lane.priority as i16);
    let owners: Vec<Owner> = sql::all(
        db,
        "WITH RECURSIVE owners(user_id) AS ( \
           SELECT user_id FROM (SELECT user_id FROM jobs WHERE state IN ('queued', 'retrying') \
             AND queue = ? AND priority = ? AND user_id > ? ORDER BY user_id LIMIT 1) AS first \
           UNION ALL \
           SELECT (SELECT j.user_id FROM jobs j WHERE j.state IN ('queued', 'retrying') \
             AND j.queue = ? AND j.priority = ? AND j.user_id > owners.user_id \
             ORDER BY j.user_id LIMIT 1) FROM owners WHERE owners.user_id IS NOT NULL) \
         SELECT user_id FROM owners WHERE user_id IS NOT NULL LIMIT ?",
        args![queue, priority, after, queue, priority, OWNERS as i64 + 1],
    )
    .await?;
    Ok(owners.into_iter().map(|owner| owner.user_id).collect())
}

/// Who gets a turn: everybody, or, of more than [`OWNERS`], a part that is another one each time.
/// `None` is the farm itself.
async fn owners<C: ConnectionTrait>(db: &C, lane: &Lane) -> Result<Vec<Option<Uuid>>, DbErr> {
    let mut some = owners_after(db, lane, Uuid::nil()).await?;
    if some.len() > OWNERS {
        let mut rest = owners_after(db, lane, Uuid::new_v4()).await?;
        rest.extend(some);
        some = rest;
        some.truncate(OWNERS);
    }
    Ok(std::iter::once(None).chain(some.into_iter().map(Some)).collect())
}

async fn of_owner<C: ConnectionTrait>(
    db: &C,
    lane: &Lane,
    owner: Option<Uuid>,
    kinds: &[String],
    limit: usize,
) -> Result<VecDeque<Due>, DbErr> {
    // All of one user, or of nobody; named in the order, nobody's are not sorted either.
    let whose = if owner.is_some() { "user_id = ?" } else { "user_id IS NULL" };
    let mut args = args![lane.queue.clone(), lane.priority as i16];
    args.extend(owner.map(Arg::from));
    args.extend([list(kinds), (limit as i64).into()]);
    let rows: Vec<Due> = sql::all(
        db,
        &format!(
            "SELECT id, queue, priority, run_at FROM jobs WHERE state IN ('queued', 'retrying') \
             AND queue = ? AND priority = ? AND {whose} AND run_at <= {{now}} \
             AND (deadline_at IS NULL OR deadline_at > {{now}}) AND kind IN {{list}} \
             ORDER BY user_id, run_at, id LIMIT ?"
        ),
        args,
    )
    .await?;
    Ok(rows.into())
}

/// One of each list after the other, the list with the oldest row first.
fn by_turns(mut lists: Vec<VecDeque<Due>>, most: usize) -> Vec<Due> {
    lists.retain(|list| !list.is_empty());
    lists.sort_by_key(|list| list.front().map(|due| (due.run_at, due.id)));
    let mut turns = vec![];
    while turns.len() < most && !lists.is_empty() {
        turns.extend(lists.iter_mut().filter_map(VecDeque::pop_front));
        lists.retain(|list| !list.is_empty());
    }
    turns.truncate(most);
    turns
}
