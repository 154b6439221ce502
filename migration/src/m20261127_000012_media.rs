//! Pictures on the CDN and files for users: what is stored, which picture each thumbnail is of, how
//! the work on them goes, and the exports. Lists as far as an export may name one.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    // What a folder or a bucket cannot be asked: type and caching of each object.
    "CREATE TABLE stored_objects (
        key text PRIMARY KEY,
        content_type text NOT NULL,
        cache_control text NOT NULL,
        size_bytes {big} NOT NULL,
        sha256 text NOT NULL,
        created_at {ts} NOT NULL
    ) {strict}",
    "CREATE TABLE cdn_image_assets (
        id {uuid} PRIMARY KEY,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        source_type text NOT NULL CHECK (source_type IN ('profile_avatar', 'post_thumbnail')),
        source_id {uuid} NOT NULL,
        media_id text NOT NULL,
        source_url text NOT NULL,
        source_path text NOT NULL,
        source_etag text,
        source_last_modified text,
        source_content_type text,
        source_sha256 text,
        cdn_path_256 text,
        cdn_path_512 text,
        original_width {int},
        original_height {int},
        original_format text,
        original_size {big},
        width_256 {int},
        height_256 {int},
        width_512 {int},
        height_512 {int},
        output_format text NOT NULL DEFAULT 'webp',
        processing_status text NOT NULL
            CHECK (processing_status IN ('pending', 'completed', 'failed')),
        processing_error_code text,
        processing_error text,
        processing_attempts {int} NOT NULL DEFAULT 0,
        refetches {int} NOT NULL DEFAULT 0,
        needs_update {bool} NOT NULL DEFAULT (false),
        last_checked {ts},
        processing_completed_at {ts},
        download_time_ms {int},
        processing_time_ms {int},
        upload_time_ms {int},
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL,
        UNIQUE (source_type, source_id, media_id)
    ) {strict}",
    "CREATE INDEX cdn_image_assets_profile ON cdn_image_assets (profile_id)",
    "CREATE INDEX cdn_image_assets_open ON cdn_image_assets (created_at)
        WHERE processing_status = 'pending'",
    "CREATE INDEX cdn_image_assets_failed ON cdn_image_assets (updated_at)
        WHERE processing_status = 'failed'",
    "CREATE INDEX cdn_image_assets_checked ON cdn_image_assets (last_checked)
        WHERE processing_status = 'completed'",
    "CREATE INDEX cdn_image_assets_256 ON cdn_image_assets (cdn_path_256)
        WHERE cdn_path_256 IS NOT NULL",
    "CREATE INDEX cdn_image_assets_512 ON cdn_image_assets (cdn_path_512)
        WHERE cdn_path_512 IS NOT NULL",
    "CREATE TABLE cdn_processing_stats (
        hour {ts} PRIMARY KEY,
        jobs_processed {big} NOT NULL DEFAULT 0,
        jobs_failed {big} NOT NULL DEFAULT 0,
        images_stored {big} NOT NULL DEFAULT 0,
        images_unchanged {big} NOT NULL DEFAULT 0,
        images_failed {big} NOT NULL DEFAULT 0,
        total_bytes {big} NOT NULL DEFAULT 0,
        download_time_ms {big} NOT NULL DEFAULT 0,
        processing_time_ms {big} NOT NULL DEFAULT 0,
        upload_time_ms {big} NOT NULL DEFAULT 0,
        error_categories {json},
        queue_depth {big},
        assets_total {big},
        assets_completed {big},
        assets_failed {big}
    ) {strict}",
    "CREATE TABLE user_lists (
        id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name text NOT NULL CHECK (name <> ''),
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL
    ) {strict}",
    "CREATE INDEX user_lists_user ON user_lists (user_id)",
    "CREATE TABLE user_list_items (
        id {uuid} PRIMARY KEY,
        list_id {uuid} NOT NULL REFERENCES user_lists (id) ON DELETE CASCADE,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        position {int} NOT NULL CHECK (position >= 0),
        created_at {ts} NOT NULL,
        UNIQUE (list_id, profile_id)
    ) {strict}",
    "CREATE INDEX user_list_items_profile ON user_list_items (profile_id)",
    // Outlives its job's row, which is pruned after a week.
    "CREATE TABLE exports (
        job_id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        format text NOT NULL CHECK (format IN ('csv', 'xlsx', 'json', 'ndjson')),
        object_key text NOT NULL UNIQUE,
        rows_written {big} NOT NULL,
        profiles {int} NOT NULL,
        size_bytes {big} NOT NULL,
        sha256 text NOT NULL,
        download_count {int} NOT NULL DEFAULT 0,
        created_at {ts} NOT NULL,
        expires_at {ts} NOT NULL,
        removed_at {ts}
    ) {strict}",
    "CREATE INDEX exports_user ON exports (user_id, created_at)",
    "CREATE INDEX exports_due ON exports (expires_at) WHERE removed_at IS NULL",
];

const TABLES: &[&str] = &[
    "exports",
    "user_list_items",
    "user_lists",
    "cdn_processing_stats",
    "cdn_image_assets",
    "stored_objects",
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
        ddl::drop_tables(manager, TABLES).await
    }
}
