//! What the analysis of captions leaves behind: which tier answered about a post and how, the
//! categories of a profile, answers that need not be computed twice, and what a worker says of its
//! models.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "ALTER TABLE posts ADD COLUMN ai_tier text",
    "ALTER TABLE posts ADD COLUMN ai_analysis_raw {json}",
    "ALTER TABLE profiles ADD COLUMN ai_top_3_categories {json}",
    "ALTER TABLE profiles ADD COLUMN ai_top_10_categories {json}",
    "ALTER TABLE profiles ADD COLUMN fraud_hints {json}",
    "ALTER TABLE workers ADD COLUMN ai {json}",
    "CREATE TABLE ai_answers (
        content_hash text NOT NULL,
        models_hash text NOT NULL,
        answer {json} NOT NULL,
        created_at {ts} NOT NULL,
        PRIMARY KEY (content_hash, models_hash)
    ) {strict}",
    "CREATE INDEX ai_answers_age ON ai_answers (created_at)",
    "CREATE INDEX posts_unanalyzed ON posts (profile_id) WHERE ai_analyzed_at IS NULL",
    "CREATE INDEX posts_tier ON posts (ai_tier, profile_id) WHERE ai_tier IS NOT NULL",
    "CREATE INDEX posts_analyzed ON posts (ai_analyzed_at) WHERE ai_analyzed_at IS NOT NULL",
    "CREATE INDEX posts_shortcode ON posts (shortcode)",
];

const DOWN: &[&str] = &[
    "DROP INDEX posts_shortcode",
    "DROP INDEX posts_analyzed",
    "DROP INDEX posts_tier",
    "DROP INDEX posts_unanalyzed",
    "DROP TABLE ai_answers",
    "ALTER TABLE workers DROP COLUMN ai",
    "ALTER TABLE profiles DROP COLUMN fraud_hints",
    "ALTER TABLE profiles DROP COLUMN ai_top_10_categories",
    "ALTER TABLE profiles DROP COLUMN ai_top_3_categories",
    "ALTER TABLE posts DROP COLUMN ai_analysis_raw",
    "ALTER TABLE posts DROP COLUMN ai_tier",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    fn use_transaction(&self) -> Option<bool> {
        ddl::WHOLE
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        ddl::run(manager, DOWN).await
    }
}
