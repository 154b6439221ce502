//! `audit_log`: what operators did, with what there was before and after, and why. Nothing in it can
//! be altered.

use sea_orm::DbErr;
use sea_orm::prelude::{Json, Uuid};

use crate::args;
use crate::db::Tx;
use crate::sql;

/// Something an operator did.
#[derive(Clone, Debug)]
pub struct Act<'a> {
    /// Who; nobody when it was done from the command line.
    pub actor: Option<Uuid>,
    /// What, as a word.
    pub act: &'static str,
    /// To what.
    pub subject: String,
    /// As it was.
    pub before: Json,
    /// As it is.
    pub after: Json,
    /// Why, not empty.
    pub reason: &'a str,
}

/// Notes it, in the transaction that does it.
pub async fn note(tx: &Tx, act: &Act<'_>) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "INSERT INTO audit_log (id, actor, act, subject, before, after, reason, at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, {now})",
        args![
            Uuid::now_v7(),
            act.actor,
            act.act,
            act.subject.clone(),
            act.before.clone(),
            act.after.clone(),
            act.reason
        ],
    )
    .await?;
    Ok(())
}
