//! `job_watchers`: everybody who asked for a piece of work — users, and jobs that wait for it.

use std::collections::BTreeSet;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::job::cancel::Leaver;
use crate::sql::{self, Arg};

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Adds watchers `(job, user, parent)`; one who left comes back.
pub async fn add(tx: &Tx, watchers: &[(Uuid, Option<Uuid>, Option<Uuid>)]) -> Result<(), DbErr> {
    // A parent watches as a job: its user reads the child through the parent.
    let users = watchers.iter().filter(|(_, _, parent)| parent.is_none());
    let users = users.filter_map(|(job, user, _)| user.map(|user| (*job, user)));
    add_as(tx, "user_id", users.collect()).await?;
    let parents = watchers.iter().filter_map(|(job, _, parent)| parent.map(|p| (*job, p)));
    add_as(tx, "parent_id", parents.collect()).await
}

async fn add_as(tx: &Tx, column: &str, watchers: BTreeSet<(Uuid, Uuid)>) -> Result<(), DbErr> {
    let rows: Vec<_> =
        watchers.into_iter().map(|(job, who)| args![Uuid::now_v7(), job, who]).collect();
    for chunk in rows.chunks(1_000) {
        sql::execute(
            tx,
            &format!(
                "INSERT INTO job_watchers (id, job_id, {column}, created_at) \
                 SELECT column1::uuid, column2::uuid, column3::uuid, {{now}} \
                 FROM {{rows}} WHERE true \
                 ON CONFLICT (job_id, {column}) WHERE {column} IS NOT NULL \
                 DO UPDATE SET left_at = NULL"
            ),
            vec![Arg::Rows(chunk.to_vec())],
        )
        .await?;
    }
    Ok(())
}

/// Marks the leaver as gone. An operator leaves for everybody.
pub async fn leave(tx: &Tx, job: Uuid, leaver: Leaver) -> Result<(), DbErr> {
    let mut text = String::from(
        "UPDATE job_watchers SET left_at = {now} WHERE job_id = ? AND left_at IS NULL",
    );
    let mut args = args![job];
    match leaver {
        Leaver::User(user) => {
            text.push_str(" AND user_id = ?");
            args.push(user.into());
        }
        Leaver::Parent(parent) => {
            text.push_str(" AND parent_id = ?");
            args.push(parent.into());
        }
        // Parents stay: they wait for the end, whatever it is.
        Leaver::Operator => text.push_str(" AND user_id IS NOT NULL"),
    }
    sql::execute(tx, &text, args).await?;
    Ok(())
}

/// Whether anybody still waits for the job.
pub async fn anybody_left(tx: &Tx, job: Uuid) -> Result<bool, DbErr> {
    let row: Option<Id> = sql::one(
        tx,
        "SELECT id FROM job_watchers WHERE job_id = ? AND left_at IS NULL LIMIT 1",
        args![job],
    )
    .await?;
    Ok(row.is_some())
}

/// The jobs a parent started or joined.
pub async fn children<C: ConnectionTrait>(db: &C, parent: Uuid) -> Result<Vec<Uuid>, DbErr> {
    let rows: Vec<Id> = sql::all(
        db,
        "SELECT job_id AS id FROM job_watchers WHERE parent_id = ? ORDER BY job_id",
        args![parent],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Takes a parent off all its children.
pub async fn forget_children(tx: &Tx, parent: Uuid) -> Result<(), DbErr> {
    sql::execute(tx, "DELETE FROM job_watchers WHERE parent_id = ?", args![parent]).await?;
    Ok(())
}

/// The users who asked for the job themselves and still wait for it.
pub async fn direct_users<C: ConnectionTrait>(db: &C, job: Uuid) -> Result<Vec<Uuid>, DbErr> {
    let rows: Vec<Id> = sql::all(
        db,
        "SELECT user_id AS id FROM job_watchers \
         WHERE job_id = ? AND user_id IS NOT NULL AND left_at IS NULL",
        args![job],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The users who wait for the job now: those who asked for it themselves, and those of the jobs
/// that wait for it, up to the root.
pub async fn users<C: ConnectionTrait>(db: &C, job: Uuid) -> Result<Vec<Uuid>, DbErr> {
    let rows: Vec<Id> = sql::all(
        db,
        "WITH RECURSIVE tree(id) AS ( \
           SELECT ?::uuid UNION \
           SELECT w.parent_id FROM job_watchers w JOIN tree ON w.job_id = tree.id \
           WHERE w.parent_id IS NOT NULL AND w.left_at IS NULL) \
         SELECT DISTINCT w.user_id AS id FROM job_watchers w JOIN tree ON w.job_id = tree.id \
         WHERE w.user_id IS NOT NULL AND w.left_at IS NULL",
        args![job],
    )
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
