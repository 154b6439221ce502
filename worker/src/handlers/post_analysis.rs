//! Analyses single captions: of stored posts, which keep the answers, or sent along.
//!
//! Running it twice is safe: what is stored with posts, their profiles' aggregates and the result
//! are one transaction under the fence. Answers are remembered chunk by chunk, so that a second
//! run asks for none of them again.

use std::collections::BTreeSet;

use entity::post::analysis::{self, Caption};
use entity::profile;
use jobs::kinds::post_analysis::{ItemAnalyzed, PostAnalysis, PostsAnalyzed};
use models::Offence;
use uuid::Uuid;

use crate::analysis::{Answers, CHUNK, Models, Text, Told, aggregate, answered, caption_analysis};
use crate::engine::{Done, JobContext, JobError};
use crate::provider::hashtags;

pub(crate) async fn run(
    job: PostAnalysis,
    ctx: &JobContext<'_>,
) -> Result<Done<PostsAnalyzed>, JobError> {
    ctx.stage("models");
    let models = Models::of(ctx, None).await?;
    let posts = analysis::of_shortcodes(ctx.db().read(), &job.shortcodes).await?;
    let of_posts = posts.iter().map(|post| Text::of(post.caption.as_deref(), &post.hashtags()));
    let of_captions = job.captions.iter().map(|text| Text::of(Some(text), &hashtags(text)));
    let texts: Vec<Text> = of_posts.chain(of_captions).collect();
    let mut told = vec![];
    let mut last = None;
    for chunk in texts.chunks(CHUNK) {
        let answers = models.ask(ctx, &chunk.iter().collect::<Vec<_>>()).await?;
        told.extend(answers.told.iter().cloned());
        if told.len() < texts.len() {
            remember(&answers, texts.len() - told.len(), ctx).await?;
        } else {
            last = Some(answers);
        }
    }
    finish(&job, &posts, &texts, &told, last.as_ref(), ctx).await
}

async fn remember(answers: &Answers, left: usize, ctx: &JobContext<'_>) -> Result<(), JobError> {
    let checkpoint = ctx.checkpoint().await?;
    answers.keep(checkpoint.tx()).await?;
    checkpoint.left("posts", left as u32).await?;
    checkpoint.done().await
}

async fn finish(
    job: &PostAnalysis,
    posts: &[Caption],
    texts: &[Text],
    told: &[Result<Told, Offence>],
    last: Option<&Answers>,
    ctx: &JobContext<'_>,
) -> Result<Done<PostsAnalyzed>, JobError> {
    let profiles: BTreeSet<Uuid> = posts.iter().map(|post| post.profile_id).collect();
    let tx = ctx.db().begin().await?;
    // Before the job's own row, and in one order, like everybody.
    for profile in &profiles {
        profile::hold(&tx, *profile).await?;
    }
    let checkpoint = ctx.checkpoint_in(tx).await?;
    let tx = checkpoint.tx();
    let read = posts.iter().zip(texts).zip(told);
    let answers: Vec<_> = read
        .filter_map(|((post, text), told)| Some(answered(post, text, told.as_ref().ok()?)))
        .collect();
    analysis::store(tx, &answers).await?;
    if let Some(last) = last {
        last.keep(tx).await?;
    }
    for profile in &profiles {
        aggregate(tx, *profile).await?;
    }
    let items = items(job, posts, told);
    let analyzed = items.iter().filter(|item| item.analysis.is_some()).count();
    let failed = items.len() - analyzed;
    if analyzed == 0 {
        let reason = items.into_iter().find_map(|item| item.reason).unwrap_or_default();
        return Err(JobError::fatal(
            "not_analyzed",
            format!("no item could be analysed: {reason}"),
        ));
    }
    let output = PostsAnalyzed {
        items,
        analyzed: analyzed as u32,
        failed: failed as u32,
        profiles: profiles.into_iter().collect(),
    };
    let commit = checkpoint.commit(&output).await?;
    commit.done().await
}

/// One for each item of the request, in its order.
fn items(
    job: &PostAnalysis,
    posts: &[Caption],
    told: &[Result<Told, Offence>],
) -> Vec<ItemAnalyzed> {
    let (of_posts, of_captions) = told.split_at(posts.len().min(told.len()));
    let stored = job.shortcodes.iter().map(|code| {
        // It may stand in several timelines; what could be read counts.
        let mut found = posts.iter().zip(of_posts).filter(|(post, _)| post.shortcode == *code);
        let told = found.clone().find(|(_, told)| told.is_ok()).or_else(|| found.next());
        match told {
            Some((_, told)) => item(Some(code), told),
            None => ItemAnalyzed {
                shortcode: Some(code.clone()),
                analysis: None,
                reason: Some("the post is not stored any more".to_owned()),
            },
        }
    });
    stored.chain(of_captions.iter().map(|told| item(None, told))).collect()
}

fn item(shortcode: Option<&String>, told: &Result<Told, Offence>) -> ItemAnalyzed {
    let reason = match told {
        Ok(told) => told.analysis.empty.clone(),
        Err(offence) => Some(offence.to_string()),
    };
    let analysis = told.as_ref().ok().map(|told| caption_analysis(&told.analysis));
    ItemAnalyzed { shortcode: shortcode.cloned(), analysis, reason }
}
