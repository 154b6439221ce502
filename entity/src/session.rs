//! `sessions` and `refresh_tokens`: a sign-in at the local issuer, and the tokens that continue it.
//!
//! Each refresh token may be used once, and then for a moment more, because tabs race. Whoever
//! shows one after that has it from somebody else: the session ends, for both.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql;
use crate::time::Time;
use crate::user;

/// How long a refresh token is good for, in milliseconds: 7 days.
pub const REFRESH_MS: i64 = 7 * 24 * 3_600_000;
/// How long one stays good after it was replaced, in milliseconds: 30 s.
pub const GRACE_MS: i64 = 30_000;

/// What a refresh token is worth.
#[derive(Clone, Debug, PartialEq)]
pub enum Rotation {
    /// Another pair may be handed out.
    Next {
        /// The session that goes on.
        session: Uuid,
        /// Whose it is.
        user: Box<user::Model>,
    },
    /// Nothing: nobody knows it, or its time or its session is over.
    Nothing,
    /// It was used before, and not just now: its session has ended with this.
    Reused {
        /// That session.
        session: Uuid,
    },
}

/// Begins a session with its first refresh token, of which only the hash is kept.
pub async fn open(tx: &Tx, user: Uuid, token_hash: &str) -> Result<Uuid, DbErr> {
    let session = Uuid::now_v7();
    sql::execute(
        tx,
        "INSERT INTO sessions (id, user_id, created_at, expires_at) \
         VALUES (?, ?, {now}, {now+?})",
        args![session, user, REFRESH_MS],
    )
    .await?;
    insert(tx, session, token_hash, None).await?;
    Ok(session)
}

async fn insert(
    tx: &Tx,
    session: Uuid,
    token_hash: &str,
    parent: Option<&str>,
) -> Result<(), DbErr> {
    sql::execute(
        tx,
        "INSERT INTO refresh_tokens (token_hash, session_id, parent_hash, created_at, expires_at) \
         VALUES (?, ?, ?, {now}, {now+?})",
        args![token_hash, session, parent, REFRESH_MS],
    )
    .await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Shown {
    session_id: Uuid,
    user_id: Uuid,
    expires_at: Time,
    replaced_at: Option<Time>,
    revoked_at: Option<Time>,
    now: Time,
}

impl Shown {
    fn is_over(&self) -> bool {
        self.revoked_at.is_some() || self.now >= self.expires_at
    }

    fn is_reused(&self) -> bool {
        self.replaced_at.is_some_and(|at| self.now.millis_since(at) > GRACE_MS)
    }
}

/// Takes a refresh token and puts another in its place. What this says stands once the transaction
/// is committed, the end of a session too.
pub async fn rotate(tx: &Tx, token_hash: &str, next_hash: &str) -> Result<Rotation, DbErr> {
    // Locked: of two that race, the second sees what the first did.
    let shown: Option<Shown> = sql::one(
        tx,
        "SELECT t.session_id, s.user_id, t.expires_at, t.replaced_at, s.revoked_at, {now} AS now \
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id \
         WHERE t.token_hash = ? {for update}",
        args![token_hash],
    )
    .await?;
    let Some(shown) = shown.filter(|shown| !shown.is_over()) else { return Ok(Rotation::Nothing) };
    let session = shown.session_id;
    if shown.is_reused() {
        revoke(tx, session).await?;
        return Ok(Rotation::Reused { session });
    }
    let user = user::by_id(tx, shown.user_id).await?.filter(user::Model::is_open);
    let Some(user) = user else {
        // An account that is opened again begins anew.
        revoke(tx, session).await?;
        return Ok(Rotation::Nothing);
    };
    sql::execute(
        tx,
        "UPDATE refresh_tokens SET replaced_at = {now} \
         WHERE token_hash = ? AND replaced_at IS NULL",
        args![token_hash],
    )
    .await?;
    insert(tx, session, next_hash, Some(token_hash)).await?;
    let longer = "UPDATE sessions SET expires_at = {now+?} WHERE id = ?";
    sql::execute(tx, longer, args![REFRESH_MS, session]).await?;
    Ok(Rotation::Next { session, user: Box::new(user) })
}

/// Ends a session: its refresh tokens, and the access tokens that name it.
pub async fn revoke<C: ConnectionTrait>(db: &C, session: Uuid) -> Result<(), DbErr> {
    let end = "UPDATE sessions SET revoked_at = {now} WHERE id = ? AND revoked_at IS NULL";
    sql::execute(db, end, args![session]).await?;
    Ok(())
}

/// Deletes at most `limit` sessions, and as many tokens, that nobody can continue any more. An
/// access token ends days before the session that it names could be among them.
pub async fn prune<C: ConnectionTrait>(db: &C, limit: u64) -> Result<u64, DbErr> {
    let limit = limit as i64;
    let sessions = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions \
         WHERE expires_at < {now} LIMIT ?)";
    let tokens = "DELETE FROM refresh_tokens WHERE token_hash IN (SELECT token_hash \
         FROM refresh_tokens WHERE expires_at < {now} LIMIT ?)";
    let gone = sql::execute(db, sessions, args![limit]).await?;
    Ok(gone + sql::execute(db, tokens, args![limit]).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(now: i64, replaced_at: Option<i64>) -> Shown {
        Shown {
            session_id: Uuid::nil(),
            user_id: Uuid::nil(),
            expires_at: Time(REFRESH_MS),
            replaced_at: replaced_at.map(Time),
            revoked_at: None,
            now: Time(now),
        }
    }

    #[test]
    fn a_token_is_good_once_and_for_half_a_minute_more() {
        assert!(!shown(0, None).is_reused());
        // The clock of the statement may be read before the other's commit.
        assert!(!shown(99, Some(100)).is_reused());
        assert!(!shown(30_100, Some(100)).is_reused());
        assert!(shown(30_101, Some(100)).is_reused());
    }

    #[test]
    fn a_token_ends_with_its_time_and_with_its_session() {
        assert!(!shown(REFRESH_MS - 1, None).is_over());
        assert!(shown(REFRESH_MS, None).is_over());
        assert!(Shown { revoked_at: Some(Time(0)), ..shown(1, None) }.is_over());
    }
}
