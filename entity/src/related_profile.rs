//! `related_profiles`: accounts the provider names beside a profile; at most 15, replaced whole.

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::db::Tx;
use crate::sql::{self, Arg};

/// A related account.
#[derive(Clone, Debug, PartialEq, FromQueryResult, serde::Serialize)]
pub struct Related {
    /// Handle, lower case.
    pub related_username: String,
    /// Shown name.
    pub related_full_name: Option<String>,
    /// Verified badge.
    pub related_is_verified: Option<bool>,
    /// Private account.
    pub related_is_private: Option<bool>,
    /// Picture at the provider.
    pub related_profile_pic_url: Option<String>,
    /// `max(100 − 5·index, 10)` (provider.md 3).
    pub similarity_score: f64,
}

/// Replaces the related accounts of a profile.
pub async fn replace(tx: &Tx, profile: Uuid, related: &[Related]) -> Result<(), DbErr> {
    sql::execute(tx, "DELETE FROM related_profiles WHERE profile_id = ?", args![profile]).await?;
    if related.is_empty() {
        return Ok(());
    }
    let rows = related
        .iter()
        .map(|r| {
            args![
                Uuid::now_v7(),
                profile,
                r.related_username.clone(),
                r.related_full_name.clone(),
                r.related_is_verified,
                r.related_is_private,
                r.related_profile_pic_url.clone(),
                r.similarity_score
            ]
        })
        .collect();
    sql::execute(
        tx,
        "INSERT INTO related_profiles (id, profile_id, related_username, related_full_name, \
         related_is_verified, related_is_private, related_profile_pic_url, similarity_score, \
         relationship_type, source, discovered_at) \
         SELECT column1::uuid, column2::uuid, column3::text, column4::text, column5::boolean, \
         column6::boolean, column7::text, column8::float8, 'suggested', 'decodo', \
         {now} FROM {rows} WHERE true \
         ON CONFLICT (profile_id, related_username) DO NOTHING",
        vec![Arg::Rows(rows)],
    )
    .await?;
    Ok(())
}

/// The related accounts of a profile, most similar first.
pub async fn of<C: ConnectionTrait>(db: &C, profile: Uuid) -> Result<Vec<Related>, DbErr> {
    sql::all(
        db,
        "SELECT * FROM related_profiles WHERE profile_id = ? \
         ORDER BY similarity_score DESC, related_username",
        args![profile],
    )
    .await
}
