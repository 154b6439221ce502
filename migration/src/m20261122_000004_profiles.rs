//! Creators, their posts, the accounts beside them, and who may see them.

use sea_orm_migration::prelude::*;

use crate::ddl;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: &[&str] = &[
    "CREATE TABLE profiles (
        id {uuid} PRIMARY KEY,
        username text NOT NULL UNIQUE,
        instagram_user_id text UNIQUE,
        full_name text,
        biography text,
        external_url text,
        profile_pic_url text,
        profile_pic_url_hd text,
        followers_count {big},
        following_count {big},
        posts_count {big},
        is_verified {bool},
        is_private {bool},
        is_business_account {bool},
        is_professional_account {bool},
        partial {bool} NOT NULL,
        engagement_rate {float},
        influence_score {float},
        avg_likes {float},
        avg_comments {float},
        posting_frequency_per_day {float},
        last_post_at {ts},
        data_quality_score {float} NOT NULL,
        category text,
        instagram_business_category text,
        ai_primary_content_type text,
        ai_content_distribution {json},
        ai_avg_sentiment_score {float},
        ai_language_distribution {json},
        ai_content_quality_score {float},
        ai_profile_analyzed_at {ts},
        refresh_count {int} NOT NULL,
        last_refreshed {ts} NOT NULL,
        posts_refreshed_at {ts},
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL,
        raw_data {json} NOT NULL,
        CHECK (username = lower(username))
    ) {strict}",
    "CREATE TABLE posts (
        id {uuid} PRIMARY KEY,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        instagram_post_id text,
        shortcode text NOT NULL,
        media_type text,
        is_video {bool},
        display_url text,
        thumbnail_src text,
        thumbnail_tall_src text,
        video_url text,
        video_view_count {big},
        video_duration {big},
        has_audio {bool},
        width {big},
        height {big},
        caption text,
        accessibility_caption text,
        likes_count {big},
        comments_count {big},
        comments_disabled {bool},
        like_and_view_counts_disabled {bool},
        viewer_can_reshare {bool},
        has_upcoming_event {bool},
        location_name text,
        location_id text,
        is_carousel {bool},
        carousel_media_count {big},
        taken_at_timestamp {big},
        posted_at {ts},
        thumbnail_resources {json},
        sidecar_children {json},
        tagged_users {json},
        coauthor_producers {json},
        hashtags {json} NOT NULL,
        mentions {json} NOT NULL,
        post_images {json} NOT NULL,
        post_thumbnails {json} NOT NULL,
        engagement_rate {float},
        ai_content_category text,
        ai_category_confidence {float},
        ai_sentiment text,
        ai_sentiment_score {float},
        ai_sentiment_confidence {float},
        ai_language_code text,
        ai_language_confidence {float},
        ai_analyzed_at {ts},
        ai_analysis_version text,
        created_at {ts} NOT NULL,
        updated_at {ts} NOT NULL,
        raw_data {json} NOT NULL,
        UNIQUE (profile_id, shortcode)
    ) {strict}",
    "CREATE INDEX posts_newest ON posts (profile_id, (COALESCE(taken_at_timestamp, 0)) DESC, id DESC)",
    "CREATE TABLE related_profiles (
        id {uuid} PRIMARY KEY,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        related_username text NOT NULL,
        related_full_name text,
        related_is_verified {bool},
        related_is_private {bool},
        related_profile_pic_url text,
        similarity_score {float} NOT NULL,
        relationship_type text NOT NULL,
        source text NOT NULL,
        discovered_at {ts} NOT NULL,
        UNIQUE (profile_id, related_username)
    ) {strict}",
    "CREATE TABLE user_profile_access (
        id {uuid} PRIMARY KEY,
        user_id {uuid} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        profile_id {uuid} NOT NULL REFERENCES profiles (id) ON DELETE CASCADE,
        granted_at {ts} NOT NULL,
        expires_at {ts} NOT NULL,
        UNIQUE (user_id, profile_id)
    ) {strict}",
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
        ddl::drop_tables(manager, &["user_profile_access", "related_profiles", "posts", "profiles"])
            .await
    }
}
