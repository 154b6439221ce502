//! `ai_answers`: what was answered about a text a short while ago. The same text is not computed
//! twice by the same models.

use sea_orm::prelude::Json;
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::args;
use crate::sql::{self, Arg, list};

/// How long an answer is used again, in milliseconds: 7 days.
pub const KEEP_MS: i64 = 7 * 24 * 3_600_000;

/// An answer about a text.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Answer {
    /// Hash of the text as the models read it.
    pub content_hash: String,
    /// What was answered.
    pub answer: Json,
}

/// The answers these models gave about any of these texts, and which are still good.
pub async fn known<C: ConnectionTrait>(
    db: &C,
    models_hash: &str,
    texts: &[String],
) -> Result<Vec<Answer>, DbErr> {
    if texts.is_empty() {
        return Ok(vec![]);
    }
    sql::all(
        db,
        "SELECT content_hash, answer FROM ai_answers WHERE content_hash IN {list} \
         AND models_hash = ? AND created_at > {now-?}",
        vec![list(texts), models_hash.into(), KEEP_MS.into()],
    )
    .await
}

/// Keeps answers; the newest about a text counts.
pub async fn keep<C: ConnectionTrait>(
    db: &C,
    models_hash: &str,
    answers: &[Answer],
) -> Result<(), DbErr> {
    // Rows are locked in one order, each once, or two who keep the same would wait for each other.
    let mut answers: Vec<&Answer> = answers.iter().collect();
    answers.sort_by(|a, b| a.content_hash.cmp(&b.content_hash));
    answers.dedup_by(|a, b| a.content_hash == b.content_hash);
    if answers.is_empty() {
        return Ok(());
    }
    let row = |kept: &&Answer| args![kept.content_hash.clone(), models_hash, kept.answer.clone()];
    sql::execute(
        db,
        "INSERT INTO ai_answers (content_hash, models_hash, answer, created_at) \
         SELECT column1::text, column2::text, column3::jsonb, {now} FROM {rows} WHERE true \
         ON CONFLICT (content_hash, models_hash) DO UPDATE SET answer = excluded.answer, \
         created_at = excluded.created_at",
        vec![Arg::Rows(answers.iter().map(row).collect())],
    )
    .await?;
    Ok(())
}

/// Deletes at most `limit` answers that are not used any more.
pub async fn prune<C: ConnectionTrait>(db: &C, limit: u64) -> Result<u64, DbErr> {
    sql::execute(
        db,
        "DELETE FROM ai_answers WHERE (content_hash, models_hash) IN (SELECT content_hash, \
         models_hash FROM ai_answers WHERE created_at <= {now-?} LIMIT ? {skip locked})",
        args![KEEP_MS, limit as i64],
    )
    .await
}
