//! Writes creators, and their posts, into a file for a user.
//!
//! Running it twice is safe: each run writes a file of its own, under a key that names the run, and
//! the transaction that ends the job makes one of them known. A file nobody knows of is removed
//! here, or swept up later. Access is looked at before the first row is read, and again in that
//! transaction.

use std::fs::File;
use std::io::{Read, Seek};

use entity::access;
use entity::export::rows::{self, PostRow, ProfileRow};
use entity::export::{self as row, NewExport};
use entity::stored_object::{self, NewObject};
use jobs::hex;
use jobs::kinds::export::{Export, Exported, not_unlocked};
use jobs::storage::{PRIVATE, StorageError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::engine::{Done, JobContext, JobError};
use crate::exports::{Wanted, WriteError, Writer};

/// Rows of one statement.
const PAGE: u32 = 500;
/// Pages read ahead of the writer.
const AHEAD: usize = 2;

pub(crate) async fn run(job: Export, ctx: &JobContext<'_>) -> Result<Done<Exported>, JobError> {
    let user = ctx.job().user_id;
    let user = user.ok_or_else(|| JobError::fatal("no_owner", "nobody asked for the export"))?;
    let db = ctx.db().read();
    refuse_locked(&access::locked(db, user, &job.profile_ids).await?)?;
    let posts = if job.posts { rows::count_posts(db, &job.profile_ids).await? } else { 0 };
    ctx.count("collect", (job.profile_ids.len() as i64 + posts).max(1) as u32).await?;
    let file = write(&job, ctx).await?;
    ctx.note("upload", 0);
    let key = format!("exports/{}/{}.{}", ctx.job().id, ctx.fence().run, job.format);
    let content_type = row::content_type(job.format);
    let storage = &ctx.deps().storage;
    let content = file.content.try_clone().map_err(WriteError::from)?;
    storage.put_file(&key, content, content_type).await?;
    let ended = end(&job, user, &key, &file, ctx).await;
    if ended.is_err() {
        // Nobody will ever ask for it. What cannot be removed now is swept up later.
        let _ = storage.delete(&key).await;
    }
    ended
}

async fn end(
    job: &Export,
    user: Uuid,
    key: &str,
    file: &Written,
    ctx: &JobContext<'_>,
) -> Result<Done<Exported>, JobError> {
    let output = Exported {
        format: job.format,
        rows: file.rows,
        profiles: file.profiles,
        size_bytes: file.size,
        sha256: file.sha256.clone(),
    };
    let checkpoint = ctx.checkpoint().await?;
    let tx = checkpoint.tx();
    refuse_locked(&access::locked(tx, user, &job.profile_ids).await?)?;
    let object = NewObject {
        key: key.to_owned(),
        content_type: row::content_type(job.format),
        cache_control: PRIVATE,
        size_bytes: file.size as i64,
        sha256: file.sha256.clone(),
    };
    stored_object::note(tx, &[object]).await?;
    let new = NewExport {
        job_id: ctx.job().id,
        user_id: user,
        format: job.format,
        object_key: key.to_owned(),
        rows_written: file.rows as i64,
        profiles: file.profiles as i32,
        size_bytes: file.size as i64,
        sha256: file.sha256.clone(),
    };
    row::add(tx, &new).await?;
    checkpoint.commit(&output).await?.done().await
}

fn refuse_locked(locked: &[String]) -> Result<(), JobError> {
    if locked.is_empty() {
        return Ok(());
    }
    Err(JobError::fatal("profiles_locked", not_unlocked(locked)))
}

/// A file as written to this machine's disk, without a name there: gone with whoever holds it,
/// however that ends.
struct Written {
    content: File,
    rows: u64,
    profiles: u32,
    size: u64,
    sha256: String,
}

/// What the writer is handed.
enum Page {
    Profile(Box<ProfileRow>),
    Posts(Vec<PostRow>),
}

/// Reads page by page and writes on a thread that may block. No connection is held while it does.
async fn write(job: &Export, ctx: &JobContext<'_>) -> Result<Written, JobError> {
    let (send, receive) = mpsc::channel(AHEAD);
    let wanted =
        Wanted { profiles: job.profiles, posts: job.posts, byte_order_mark: job.byte_order_mark };
    let format = job.format;
    let writer = tokio::task::spawn_blocking(move || write_pages(receive, format, wanted));
    let read = tokio::select! {
        read = read_pages(job, send, ctx) => read,
        () = ctx.cancel().cancelled() => Err(JobError::Cancelled),
    };
    // With nobody to send any more it ends by itself; its fault comes before that of the reader.
    let written = writer.await.map_err(|error| JobError::retry("export_failed", error.to_string()));
    let written = written?.map_err(JobError::from);
    read.and(written)
}

async fn read_pages(
    job: &Export,
    send: mpsc::Sender<Page>,
    ctx: &JobContext<'_>,
) -> Result<(), JobError> {
    let db = ctx.db().read();
    let mut done = 0;
    let mut after = String::new();
    loop {
        let profiles = rows::profiles(db, &job.profile_ids, &after, PAGE).await?;
        let Some(last) = profiles.last() else { return Ok(()) };
        after.clone_from(&last.username);
        for profile in profiles {
            let id = profile.id;
            if send.send(Page::Profile(Box::new(profile))).await.is_err() {
                // The writer ended, and says why.
                return Ok(());
            }
            done += 1;
            let mut next = job.posts.then_some(None);
            while let Some(after) = next {
                let posts = rows::posts(db, id, after, PAGE).await?;
                done += posts.len() as i32;
                let last = posts.last().filter(|_| posts.len() == PAGE as usize);
                next = last.map(|last| Some((last.taken_at_timestamp.unwrap_or(0), last.id)));
                if send.send(Page::Posts(posts)).await.is_err() {
                    return Ok(());
                }
                ctx.note("write", done);
            }
            ctx.note("write", done);
        }
    }
}

fn write_pages(
    mut pages: mpsc::Receiver<Page>,
    format: entity::enums::ExportFormat,
    wanted: Wanted,
) -> Result<Written, WriteError> {
    let mut content = tempfile::tempfile()?;
    let mut writer = Writer::open(content.try_clone()?, format, wanted)?;
    let mut profiles = 0;
    while let Some(page) = pages.blocking_recv() {
        match page {
            Page::Profile(row) => {
                profiles += 1;
                writer.profile(*row)?;
            }
            Page::Posts(rows) => rows.iter().try_for_each(|row| writer.post(row))?,
        }
    }
    let rows = writer.finish()?;
    let (size, sha256) = digest(&mut content)?;
    Ok(Written { content, rows, profiles, size, sha256 })
}

fn digest(file: &mut File) -> std::io::Result<(u64, String)> {
    file.rewind()?;
    let (mut size, mut hash, mut part) = (0, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok((size, hex(&hash.finalize()))),
            n => {
                hash.update(&part[..n]);
                size += n as u64;
            }
        }
    }
}

impl From<WriteError> for JobError {
    fn from(error: WriteError) -> Self {
        Self::retry("export_failed", error.to_string())
    }
}

impl From<StorageError> for JobError {
    fn from(error: StorageError) -> Self {
        Self::retry("storage_failed", error.to_string())
    }
}
