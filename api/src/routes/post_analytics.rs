//! The analysis of single posts: of stored ones by their code, or of captions that are sent along.

use entity::job::query::{self, Filter, Viewer};
use entity::post::analysis as posts;
use entity::{post, profile};
use jobs::Kind;
use jobs::kinds::post_analysis::{MAX_ITEMS, PostAnalysis};
use poem::Request;
use poem::http::StatusCode;
use poem::web::Data;
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;
use uuid::Uuid;

use super::follow;
use super::jobs::parse_cursor;
use super::profile_body::post_ai;
use super::profile_view::PostAi;
use super::submit::{self, JobAnswer, Work, options};
use crate::body::JsonBody;
use crate::idempotency;
use crate::identity::Caller;
use crate::problem::Problem;
use crate::query as rules;
use crate::routes::Tag;
use crate::state::AppState;
use crate::view::{self, JobView};

/// The analysis of single posts.
#[derive(Debug)]
pub struct PostAnalytics;

/// Longest caption, in characters; the platform's own limit is 2,200.
pub(crate) const MAX_CAPTION: usize = 5_000;
/// Longest code of a post, in characters.
const MAX_SHORTCODE: usize = 64;

/// A post to analyse: one of the two.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct AnalyzePost {
    /// Code of a stored post, to whose creator the caller has access.
    shortcode: Option<String>,
    /// A caption, hashtags included; at most 5,000 characters.
    caption: Option<String>,
}

/// Posts to analyse, 1 to 50 in all.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct AnalyzePosts {
    /// Codes of stored posts, to whose creators the caller has access.
    shortcodes: Option<Vec<String>>,
    /// Captions, hashtags included; each at most 5,000 characters.
    captions: Option<Vec<String>>,
}

/// What is stored of a post's analysis.
#[derive(Debug, Object)]
struct StoredAnalysis {
    shortcode: String,
    post_id: Uuid,
    /// Its creator.
    username: String,
    /// Whether there is an analysis.
    analyzed: bool,
    /// Why not.
    reason: Option<String>,
    /// When; RFC 3339.
    analyzed_at: Option<String>,
    ai_analysis: Option<PostAi>,
    /// Every score, who answered and how.
    details: Option<Value>,
}

/// A page of jobs.
#[derive(Debug, Object)]
struct AnalysisPage {
    /// Newest first; a finished one has its `result` for a day.
    items: Vec<JobView>,
    /// `cursor` of the next page; null at the end.
    next: Option<String>,
}

#[OpenApi(prefix_path = "/api/v1/post-analytics", tag = "Tag::Ai")]
impl PostAnalytics {
    /// Analyse a post
    ///
    /// Starts a `post_analysis` job, or joins the one that does the same. A stored post keeps the
    /// answer. Credit action: `post_analytics`.
    #[oai(path = "/analyze", method = "post", operation_id = "analyze_post")]
    async fn analyze(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<AnalyzePost>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        let job = match (body.0.shortcode, body.0.caption) {
            (Some(code), None) => {
                let code = shortcode("shortcode", &code, None)?;
                PostAnalysis { shortcodes: vec![code], captions: vec![] }
            }
            (None, Some(caption)) => {
                check_caption("caption", &caption, None)?;
                PostAnalysis { shortcodes: vec![], captions: vec![caption] }
            }
            (None, None) => {
                return Err(Problem::body("shortcode", "is required, or a caption in its place"));
            }
            (Some(_), Some(_)) => {
                return Err(Problem::body("caption", "must not stand beside a shortcode"));
            }
        };
        start(&state, &caller, request, prefer.0.as_deref(), job).await
    }

    /// Analyse many posts
    ///
    /// As for one, with up to 50 in one job; the result has one item for each. Credit action:
    /// `post_analytics`.
    #[oai(path = "/analyze/batch", method = "post", operation_id = "analyze_posts_batch")]
    async fn batch(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        request: &Request,
        /// `wait=N`: hold the answer for up to N seconds.
        #[oai(name = "Prefer")]
        prefer: Header<Option<String>>,
        /// A repeat with the same key gets the same answer, for 24 h.
        #[oai(name = "Idempotency-Key")]
        _idempotency_key: Header<Option<String>>, // documented here, read raw below
        body: JsonBody<AnalyzePosts>,
    ) -> Result<JobAnswer<JobView>, Problem> {
        let given = body.0.shortcodes.unwrap_or_default();
        let captions = body.0.captions.unwrap_or_default();
        // Of the longer list is too much, or too little.
        let field = if given.len() > captions.len() { "shortcodes" } else { "captions" };
        if !(1..=MAX_ITEMS).contains(&(given.len() + captions.len())) {
            let rule = format!("shortcodes and captions must be 1 to {MAX_ITEMS} together");
            return Err(Problem::body(field, rule).with("max", MAX_ITEMS));
        }
        let mut shortcodes: Vec<String> = vec![];
        for (index, code) in given.iter().enumerate() {
            let code = shortcode("shortcodes", code, Some(index))?;
            if !shortcodes.contains(&code) {
                shortcodes.push(code);
            }
        }
        for (index, caption) in captions.iter().enumerate() {
            check_caption("captions", caption, Some(index))?;
        }
        let job = PostAnalysis { shortcodes, captions };
        start(&state, &caller, request, prefer.0.as_deref(), job).await
    }

    /// What is stored of a post's analysis
    ///
    /// For those with access to its creator. Credit action: `post_analytics`.
    #[oai(path = "/analysis/:shortcode", method = "get", operation_id = "get_post_analysis")]
    async fn stored(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        shortcode: Path<String>,
    ) -> Result<Json<StoredAnalysis>, Problem> {
        let code = self::shortcode_of_path(&shortcode.0)?;
        let reached = within_reach(&state, &caller, std::slice::from_ref(&code)).await?;
        let reach = reached.into_iter().next().ok_or_else(Problem::internal)?;
        let db = &state.scope(&caller.0).reading().await?;
        let stored = post::by_id(db, reach.id).await?.ok_or_else(|| not_stored(&[code]))?;
        let creator = profile::by_id(db, reach.profile_id).await?.ok_or_else(Problem::internal)?;
        let details = posts::details(db, reach.id).await?;
        let ai_analysis = post_ai(&stored);
        let analyzed = ai_analysis.is_some();
        Ok(Json(StoredAnalysis {
            shortcode: stored.shortcode,
            post_id: stored.id,
            username: creator.username,
            analyzed,
            reason: (!analyzed).then(|| "the post has not been analysed yet".to_owned()),
            analyzed_at: stored.ai_analyzed_at.map(entity::Time::rfc3339),
            ai_analysis,
            details: details.filter(|_| analyzed),
        }))
    }

    /// Your analyses of single posts
    ///
    /// The jobs you started or joined, newest first.
    #[oai(path = "/my-analyses", method = "get", operation_id = "list_my_analyses")]
    async fn mine(
        &self,
        state: Data<&AppState>,
        caller: Caller,
        /// `next` of the page before.
        cursor: Query<Option<String>>,
        /// 1 to 100.
        limit: Query<Option<i64>>,
    ) -> Result<Json<AnalysisPage>, Problem> {
        let limit = rules::limit(limit.0, 20)?;
        let before = cursor.0.as_deref().map(parse_cursor).transpose()?;
        let kind = Some(Kind::PostAnalysis.as_str().to_owned());
        let filter = Filter { kind, before, ..Filter::default() };
        // An operator's own, too.
        let (scope, viewer) = (state.scope(&caller.0), Viewer::User(caller.id()));
        let mut ids = query::page(scope.read(), viewer, &filter, limit + 1).await?;
        let more = ids.len() as u64 > limit;
        ids.truncate(limit as usize);
        let next = ids.last().filter(|_| more).map(Uuid::to_string);
        let mut items = vec![];
        for seen in follow::seen(&scope, viewer, &ids).await? {
            items.push(view::job_view(&state, &seen).await?);
        }
        Ok(Json(AnalysisPage { items, next }))
    }
}

async fn start(
    state: &AppState,
    caller: &Caller,
    request: &Request,
    prefer: Option<&str>,
    job: PostAnalysis,
) -> Result<JobAnswer<JobView>, Problem> {
    let wait = rules::prefer_wait(prefer)?.unwrap_or(0);
    if !job.shortcodes.is_empty() {
        within_reach(state, caller, &job.shortcodes).await?;
    }
    let (codes, captions) = (job.shortcodes.len().to_string(), job.captions.len().to_string());
    let mut what = vec!["POST", "analyze_post", codes.as_str(), captions.as_str()];
    what.extend(job.shortcodes.iter().chain(&job.captions).map(String::as_str));
    let key = idempotency::key(request.headers(), caller.id(), &what)?;
    let work = Work::new(&job, &options(caller, request))?;
    submit::post(state, caller, work, key, wait).await
}

/// The posts of these codes in timelines the caller may see; refuses codes of which there is none.
async fn within_reach(
    state: &AppState,
    caller: &Caller,
    codes: &[String],
) -> Result<Vec<posts::Reach>, Problem> {
    let mut found = posts::reach(state.scope(&caller.0).read(), caller.id(), codes).await?;
    let absent = |found: &[posts::Reach]| -> Vec<String> {
        let is_absent = |code: &&String| !found.iter().any(|reach| reach.shortcode == **code);
        codes.iter().filter(is_absent).cloned().collect()
    };
    let missing = absent(&found);
    if !missing.is_empty() {
        return Err(not_stored(&missing));
    }
    let admin = caller.0.user.role.is_admin();
    found.retain(|reach| admin || reach.open);
    let locked = absent(&found);
    if locked.is_empty() {
        return Ok(found);
    }
    let detail = format!("posts of creators without access for you: {}", locked.join(", "));
    Err(Problem::new(StatusCode::FORBIDDEN, "no_access", detail).with("locked", locked))
}

fn not_stored(codes: &[String]) -> Problem {
    let detail = format!("no post with this code is stored: {}", codes.join(", "));
    Problem::not_found("post_not_stored", detail)
        .with("field", "shortcode")
        .with("missing", codes.to_vec())
}

fn shortcode_of_path(text: &str) -> Result<String, Problem> {
    code(text).map_err(|rule| Problem::field("shortcode", rule))
}

fn shortcode(field: &str, text: &str, index: Option<usize>) -> Result<String, Problem> {
    code(text).map_err(|rule| at(field, index, &rule))
}

fn code(text: &str) -> Result<String, String> {
    let is_code = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > MAX_SHORTCODE || !text.chars().all(is_code) {
        return Err(format!("must be 1 to {MAX_SHORTCODE} letters, digits, - and _"));
    }
    Ok(text.to_owned())
}

fn check_caption(field: &str, text: &str, index: Option<usize>) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(at(field, index, "must not be empty"));
    }
    if text.chars().count() > MAX_CAPTION {
        return Err(at(field, index, &format!("must be at most {MAX_CAPTION} characters")));
    }
    if text.contains('\0') {
        return Err(at(field, index, "must not contain the NUL character"));
    }
    Ok(())
}

/// Names the field, its place in a list, and the rule.
fn at(field: &str, index: Option<usize>, rule: &str) -> Problem {
    match index {
        Some(index) => {
            Problem::body(field, format!("number {} {rule}", index + 1)).with("index", index)
        }
        None => Problem::body(field, rule),
    }
}
