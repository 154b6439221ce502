//! Exports that are killed, or lose their right, while they are written.

use entity::enums::ExportFormat;
use entity::sql;
use jobs::Options;
use jobs::kinds::export::Export;
use tempfile::TempDir;
use tests::program::program;

use crate::{Beside, Farm};

/// A creator with many posts, unlocked for the demo user, and the export of all of it.
async fn large_export(beside: &Beside, posts: i64) -> (Export, Options) {
    use sea_orm::ConnectionTrait;
    let db = beside.jobs.db();
    for text in [
        "INSERT INTO profiles (id, username, partial, data_quality_score, refresh_count, \
         last_refreshed, created_at, updated_at, raw_data) \
         SELECT randomblob(16), 'large', 0, 50, 1, ms, ms, ms, '{}' FROM farm_now"
            .to_owned(),
        "INSERT INTO user_profile_access (id, user_id, profile_id, granted_at, expires_at) \
         SELECT randomblob(16), u.id, p.id, ms, ms + 86400000 FROM users u, profiles p, farm_now \
         WHERE u.email = 'demo@example.test'"
            .to_owned(),
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {posts}) \
             INSERT INTO posts (id, profile_id, shortcode, caption, taken_at_timestamp, hashtags, \
             mentions, post_images, post_thumbnails, created_at, updated_at, raw_data) \
             SELECT randomblob(16), p.id, 'P' || i, 'Number ' || i, i, '[]', '[]', '[]', '[]', ms, \
             ms, '{{}}' FROM n, profiles p, farm_now"
        ),
    ] {
        db.write().execute_unprepared(&text).await.unwrap();
    }
    let owner = entity::user::by_email(db.read(), "demo@example.test").await.unwrap().unwrap().id;
    let large = entity::profile::by_username(db.read(), "large").await.unwrap().unwrap().id;
    let export = Export {
        profile_ids: vec![large],
        profiles: true,
        posts: true,
        format: ExportFormat::Xlsx,
        byte_order_mark: false,
    };
    (export, Options { user_id: Some(owner), ..Options::default() })
}

/// The run of that number has begun to write.
fn writes(run: i32) -> String {
    format!(
        "jobs WHERE kind = 'export' AND state = 'running' AND run = {run} AND progress_done > 0"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_killed_is_made_once_and_no_part_of_it_is_seen() {
    const POSTS: i64 = 40_000;
    let (program, data) = (program(), TempDir::new().unwrap());
    let mut farm = Farm::up(&program, data.path(), 1);
    let beside = Beside::open(data.path()).await;
    let (export, options) = large_export(&beside, POSTS).await;
    let id = beside.jobs.submit(&export, &options).await.unwrap().id;
    for run in 1..=2 {
        beside.until(&writes(run), 1).await;
        assert_eq!(beside.count("exports").await, 0, "nothing is known of it yet");
        farm.kill();
        farm = Farm::up(&program, data.path(), 1);
    }
    beside.until("jobs WHERE kind = 'export' AND state = 'succeeded'", 1).await;
    assert_eq!(beside.count("exports").await, 1);
    let db = beside.jobs.db();
    let file = entity::export::by_job(db.read(), id).await.unwrap().unwrap();
    assert_eq!(file.rows_written, POSTS + 1);
    let bytes = std::fs::read(data.path().join("objects").join(&file.object_key)).unwrap();
    assert_eq!(jobs::storage::sha256_hex(&bytes), file.sha256, "whole");
    let job = entity::job::query::by_id(db.read(), id).await.unwrap().unwrap();
    assert_eq!((job.lost, job.run), (2, 3), "killed twice in the middle of it");
    assert!(farm.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_creator_becomes_locked_while_it_is_written_leaves_no_file() {
    let (program, data) = (program(), TempDir::new().unwrap());
    let farm = Farm::up(&program, data.path(), 1);
    let beside = Beside::open(data.path()).await;
    let (export, options) = large_export(&beside, 40_000).await;
    let id = beside.jobs.submit(&export, &options).await.unwrap().id;
    beside.until(&writes(1), 1).await;
    let db = beside.jobs.db();
    let text = "UPDATE user_profile_access SET expires_at = 1";
    sql::execute(db.write(), text, vec![]).await.unwrap();
    beside.until("jobs WHERE kind = 'export' AND state = 'failed'", 1).await;
    let job = entity::job::query::by_id(db.read(), id).await.unwrap().unwrap();
    assert_eq!((job.error_code.as_deref(), job.run), (Some("profiles_locked"), 1));
    assert_eq!(job.error_message.as_deref(), Some("not unlocked: large"));
    assert_eq!((beside.count("exports").await, beside.count("stored_objects").await), (0, 0));
    let folder = data.path().join("objects/exports").join(id.to_string());
    let left = std::fs::read_dir(&folder).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{}", folder.display());
    assert!(farm.stop().success());
}
