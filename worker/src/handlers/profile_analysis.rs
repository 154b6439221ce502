//! Analyses the captions of a profile's posts, chunk by chunk.
//!
//! Running it twice is safe: each chunk's answers are stored under the fence, the aggregate with
//! the last of them and the job's end, and a second run takes only the posts that are left. An
//! answer about a caption that is another one by now is not stored; the post is read again.

use entity::aggregate::COMPLETE_SHARE;
use entity::post::analysis::{self, Caption, Redo, Scope};
use entity::profile;
use jobs::kinds::profile_analysis::{PostFailed, ProfileAnalysis, ProfileAnalyzed};

use crate::analysis::{Answers, CHUNK, Counts, Models, Text, aggregate, answered, tier};
use crate::engine::{Done, JobContext, JobError};

/// Failed posts that are named in a result.
const NAMED: usize = 50;

pub(crate) async fn run(
    job: ProfileAnalysis,
    ctx: &JobContext<'_>,
) -> Result<Done<ProfileAnalyzed>, JobError> {
    ctx.stage("models");
    let models = Models::of(ctx, job.model_set).await?;
    let redo = if job.only_missing {
        Redo::Older { serving: models.serving, version: models::analysis::VERSION }
    } else {
        // What an earlier run of this job has done is done.
        Redo::Since(ctx.job().started_at.unwrap_or(ctx.job().created_at))
    };
    let mut scope = Scope { profile: job.profile_id, redo, tried: vec![] };
    let left = scope.count(ctx.db().read()).await?;
    if left > 0 {
        ctx.count("posts", left).await?;
    }
    let mut failed = vec![];
    loop {
        let posts = scope.next(ctx.db().read(), CHUNK as u64).await?;
        let texts: Vec<Text> =
            posts.iter().map(|p| Text::of(p.caption.as_deref(), &p.hashtags())).collect();
        let answers = models.ask(ctx, &texts.iter().collect::<Vec<_>>()).await?;
        let chunk = Chunk { posts, texts, answers };
        chunk.sort_out(&models, &mut scope, &mut failed);
        if let Some(done) = store(&chunk, &mut scope, &failed, ctx).await? {
            return Ok(done);
        }
    }
}

/// Posts, and what was answered about them.
struct Chunk {
    posts: Vec<Caption>,
    texts: Vec<Text>,
    answers: Answers,
}

impl Chunk {
    /// Which posts this run need not look at again, whatever is stored: those without an answer, and
    /// those whose answer is of a lower tier than what should have answered, or has answered before.
    fn sort_out(&self, models: &Models<'_>, scope: &mut Scope, failed: &mut Vec<PostFailed>) {
        for (post, told) in self.posts.iter().zip(&self.answers.told) {
            match told {
                Ok(told) => {
                    let least = post.tier().unwrap_or(models.serving).max(models.serving);
                    if tier(told.analysis.tier) < least {
                        scope.tried.push(post.id);
                    }
                }
                Err(offence) => {
                    scope.tried.push(post.id);
                    failed.push(PostFailed {
                        shortcode: post.shortcode.clone(),
                        reason: offence.to_string(),
                    });
                }
            }
        }
    }
}

/// Stores a chunk; with the last one the aggregate and the end of the job.
async fn store(
    chunk: &Chunk,
    scope: &mut Scope,
    failed: &[PostFailed],
    ctx: &JobContext<'_>,
) -> Result<Option<Done<ProfileAnalyzed>>, JobError> {
    let tx = ctx.db().begin().await?;
    // Before the job's own row: a fetch of the profile holds it when it joins this job.
    let held = profile::hold(&tx, scope.profile).await?;
    let checkpoint = ctx.checkpoint_in(tx).await?;
    let Some(profile) = held else {
        return Err(JobError::fatal("profile_gone", "the profile is not stored any more"));
    };
    let tx = checkpoint.tx();
    let read = chunk.posts.iter().zip(&chunk.texts).zip(&chunk.answers.told);
    let answers: Vec<_> = read
        .filter_map(|((post, text), told)| Some(answered(post, text, told.as_ref().ok()?)))
        .collect();
    analysis::store(tx, &answers).await?;
    chunk.answers.keep(tx).await?;
    let left = scope.count(tx).await?;
    checkpoint.left("posts", left).await?;
    if left > 0 {
        checkpoint.done().await?;
        return Ok(None);
    }
    let Counts { posts, analyzed } = aggregate(tx, profile.id).await?;
    let tiers = analysis::tiers(tx, profile.id).await?;
    if !failed.is_empty() && f64::from(analyzed) < COMPLETE_SHARE * f64::from(posts) {
        checkpoint.done().await?;
        let message = format!(
            "{analyzed} of {posts} posts could be analysed; {} of them could not, the first: {}",
            failed.len(),
            failed[0].reason
        );
        return Err(JobError::fatal("incomplete", message));
    }
    let output = ProfileAnalyzed {
        profile_id: profile.id,
        username: profile.username,
        posts,
        analyzed,
        tiers: tiers.into_iter().map(|tier| (tier.tier, tier.posts as u32)).collect(),
        failed: failed.iter().take(NAMED).cloned().collect(),
    };
    let commit = checkpoint.commit(&output).await?;
    commit.done().await.map(Some)
}
