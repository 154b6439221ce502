//! `teams` and `team_members`. Everybody is alone in a team of their own from the start; what a
//! teammate may see, one may see ([`crate::access`]).

use sea_orm::DbErr;
use sea_orm::prelude::Uuid;

use crate::args;
use crate::db::Tx;
use crate::sql;

/// Gives a user the team of their own, unless they have one.
pub async fn ensure_personal(tx: &Tx, user: Uuid, name: &str) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "INSERT INTO teams (id, name, personal_of, created_at, updated_at) \
         VALUES (?, ?, ?, {now}, {now}) ON CONFLICT (personal_of) DO NOTHING",
        args![Uuid::now_v7(), name, user],
    )
    .await?;
    sql::execute(
        tx,
        "INSERT INTO team_members (id, team_id, user_id, role, status, joined_at) \
         SELECT ?::uuid, t.id, t.personal_of, 'owner', 'active', {now} FROM teams t \
         WHERE t.personal_of = ? ON CONFLICT (team_id, user_id) DO NOTHING",
        args![Uuid::now_v7(), user],
    )
    .await?;
    Ok(())
}
