//! `job_watchers`: everybody who asked for a piece of work — users, and jobs that wait for it.

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
    for chunk in watchers.chunks(1_000) {
        let rows = chunk
            .iter()
            .filter(|(_, user, parent)| user.is_some() || parent.is_some())
            .map(|(job, user, parent)| {
                // A parent watches as a job: its user reads the child through the parent.
                let user = if parent.is_some() { None } else { *user };
                args![Uuid::now_v7(), *job, user, *parent]
            })
            .collect::<Vec<_>>();
        if rows.is_empty() {
            continue;
        }
        for (unique, by_user) in [("user_id", true), ("parent_id", false)] {
            let part: Vec<_> = rows
                .iter()
                .zip(chunk.iter().filter(|(_, user, parent)| user.is_some() || parent.is_some()))
                .filter(|(_, (_, _, parent))| parent.is_none() == by_user)
                .map(|(row, _)| row.clone())
                .collect();
            if part.is_empty() {
                continue;
            }
            sql::execute(
                tx,
                &format!(
                    "INSERT INTO job_watchers (id, job_id, user_id, parent_id, created_at) \
                     SELECT column1::uuid, column2::uuid, column3::uuid, column4::uuid, {{now}} \
                     FROM (VALUES {{rows}}) AS v WHERE true \
                     ON CONFLICT (job_id, {unique}) WHERE {unique} IS NOT NULL \
                     DO UPDATE SET left_at = NULL"
                ),
                vec![Arg::Rows(part)],
            )
            .await?;
        }
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
        Leaver::Operator => {}
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
