//! `farm bench export`: rows a second into each format, and what it takes of memory.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use entity::enums::{ExportFormat, Role as UserRole, Tier};
use entity::user::{self, NewUser};
use jobs::kinds::export::{Export, Exported};
use jobs::process::Failure;
use jobs::{Options as JobOptions, Storage};
use uuid::Uuid;

use super::figure::{Report, Spread};
use super::stack::{self, Stack};
use super::{Common, host, say};
use crate::config::Settings;

/// Longest time for one export.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// How much to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(super) common: Common,
    /// Profiles.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    profiles: u32,
    /// Posts of each.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    posts: u32,
    /// Keep the files of the last round there, to be looked at.
    #[arg(long, value_name = "DIR")]
    keep: Option<std::path::PathBuf>,
}

pub(super) async fn run(settings: &Settings, options: &Options) -> Result<Report, Failure> {
    let stack = Stack::start(settings).await?;
    say("storing rows");
    let owner = fill(&stack, options).await?;
    let objects = stack.folder().join("objects");
    let storage = Storage::folder(&objects)?;
    let url = format!("file://{}", objects.display());
    let worker = stack.worker(entity::enums::Queue::Export, 1, &[("STORAGE_URL", url)]).await?;
    let pid = worker.pid().ok_or_else(|| Failure::new("the worker is gone"))?;
    let mut on = host::describe();
    on.extend(stack.versions().await?);
    on.push((
        "rows".to_owned(),
        format!("{} profiles x {} posts", options.profiles, options.posts),
    ));
    let (rest, _) = host::memory(pid)?;
    let mut report = Report::new("farm bench export", on);
    for format in ExportFormat::ALL {
        let (mut rate, mut over, mut size) = (Spread::default(), Spread::default(), 0.0);
        for _ in 0..options.common.rounds {
            say(&format!("{format}"));
            let one = export(&stack, owner, *format, pid).await?;
            rate.add(one.rows as f64 / one.took.as_secs_f64());
            over.add((one.peak_mib - rest).max(0.0));
            size = one.size as f64 / f64::from(1 << 20);
            if let Some(folder) = &options.keep {
                keep(&storage, &one.key, &folder.join(format!("export.{format}"))).await?;
            }
        }
        let key = |what: &str| format!("{format}.{what}");
        report.figure(&key("rows_per_s"), &format!("{format}, rows"), "/s", rate, "");
        let note = "at most 150, resident";
        report.figure(
            &key("over_idle_mib"),
            &format!("{format}, memory over idle"),
            "MiB",
            over,
            note,
        );
        report.figure(&key("file_mib"), &format!("{format}, the file"), "MiB", size.into(), "");
    }
    report.figure("worker_rest_mib", "worker at rest", "MiB", rest.into(), "resident");
    stack::stop(worker).await?;
    stack.finish().await?;
    Ok(report)
}

/// Somebody, to whom so many profiles with so many posts each are unlocked.
async fn fill(stack: &Stack, options: &Options) -> Result<Uuid, Failure> {
    let new = NewUser {
        email: "bench@example.test",
        hashed_password: None,
        full_name: None,
        role: UserRole::User,
        tier: Tier::Premium,
    };
    let owner = user::upsert(stack.db(), &new).await?.id;
    let Options { profiles, posts, .. } = options;
    for text in [
        format!(
            "INSERT INTO profiles (id, username, full_name, followers_count, posts_count, partial, \
             data_quality_score, refresh_count, last_refreshed, created_at, updated_at, raw_data) \
             SELECT gen_random_uuid(), 'bench_' || n, 'Bench ' || n, n * 1000, {posts}, false, 50, \
             1, now(), now(), now(), '{{}}' FROM generate_series(1, {profiles}) AS n"
        ),
        format!(
            "INSERT INTO user_profile_access (id, user_id, profile_id, granted_at, expires_at) \
             SELECT gen_random_uuid(), '{owner}', id, now(), now() + interval '1 day' FROM profiles"
        ),
        format!(
            "INSERT INTO posts (id, profile_id, shortcode, media_type, caption, likes_count, \
             comments_count, taken_at_timestamp, posted_at, hashtags, mentions, post_images, \
             post_thumbnails, engagement_rate, ai_sentiment, ai_sentiment_score, ai_language_code, \
             created_at, updated_at, raw_data) \
             SELECT gen_random_uuid(), p.id, 'B' || n, 'GraphImage', \
             'A day at the lake, the light was perfect and so were you. Number ' || n || ' of many, \
             with a \"quote\", a comma and enough words for a caption of the usual length.', \
             n * 7, n % 90, 1700000000 + n * 3600, to_timestamp(1700000000 + n * 3600), \
             '[\"#lake\", \"#light\"]', '[]', '[]', '[]', 1.5, 'positive', 0.8, 'en', now(), now(), \
             '{{}}' FROM profiles p, generate_series(1, {posts}) AS n"
        ),
        "ANALYZE".to_owned(),
    ] {
        stack.execute(&text).await?;
    }
    Ok(owner)
}

struct One {
    rows: u64,
    size: u64,
    took: Duration,
    peak_mib: f64,
    key: String,
}

/// One export to its end; memory is looked at while it runs.
async fn export(
    stack: &Stack,
    owner: Uuid,
    format: ExportFormat,
    worker: u32,
) -> Result<One, Failure> {
    let rows = entity::sql::rows(stack.db().read(), "SELECT id FROM profiles", vec![]).await?;
    let profile_ids: Result<Vec<Uuid>, _> = rows.iter().map(|row| row.try_get("", "id")).collect();
    let profile_ids = profile_ids.map_err(Failure::during("the profiles"))?;
    let job = Export { profile_ids, profiles: true, posts: true, format, byte_order_mark: false };
    let options = JobOptions { user_id: Some(owner), ..JobOptions::default() };
    let began = Instant::now();
    let sent = stack.jobs.submit(&job, &options).await;
    let id = sent.map_err(Failure::during("the export"))?.id;
    let mut peak_mib = 0.0_f64;
    while began.elapsed() < PATIENCE {
        peak_mib = peak_mib.max(host::memory(worker)?.0);
        let found = entity::job::query::by_id(stack.db().read(), id).await?;
        let job = found.ok_or_else(|| Failure::new("the export is gone"))?;
        if !job.state.is_done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let took = began.elapsed();
        let result = job.result.and_then(|json| serde_json::from_value::<Exported>(json).ok());
        let Some(done) = result else {
            let why = job.error_message.unwrap_or_default();
            return Err(Failure::new(format!("the export failed: {why}")));
        };
        let file = entity::export::by_job(stack.db().read(), id).await?;
        let key = file.map(|file| file.object_key).unwrap_or_default();
        return Ok(One { rows: done.rows, size: done.size_bytes, took, peak_mib, key });
    }
    Err(Failure::new("the export did not end"))
}

async fn keep(storage: &Storage, key: &str, path: &Path) -> Result<(), Failure> {
    let failed = || Failure::during(format!("{} cannot be written", path.display()));
    let bytes = storage.get(key).await.map_err(Failure::during("the file"))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed())?;
    }
    std::io::copy(
        &mut bytes.as_ref().take(u64::MAX),
        &mut std::fs::File::create(path).map_err(failed())?,
    )
    .map(drop)
    .map_err(failed())
}
